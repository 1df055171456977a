import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Caller } from '../applications/api-keys';
import type { Identify } from './identify';
import type { Holding, Intake } from './intake';
import type { KeyLimits } from './key-limits';
import type { Refusals } from './refusals';
import { whenClosed } from './respond';

export interface Admission {
  readonly keyLimits: KeyLimits;
  readonly identify: Identify;
  readonly intake: Intake;
  readonly refusals: Refusals;
}

/** Who sends a request, and its place in the intake until it is answered: before anything of it is read. */
export async function admit(
  { keyLimits, identify, intake, refusals }: Admission,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<{ readonly caller: Caller | null; readonly holding: Holding }> {
  try {
    const caller = await identify(request, request.headers.authorization);
    keyLimits.request(caller);
    const holding = intake.hold(caller);
    whenClosed(response, () => holding.release());
    return { caller, holding };
  } catch (error) {
    refusals.unread(request, error);
    throw error;
  }
}
