import { type ExecutionArgs, type ExecutionResult, execute } from 'graphql';
import type { HubError } from '../errors';
import type { Context } from './context';
import { asGraphqlError } from './present-error';

/**
 * Executes an operation within the budget of its context. One that passes it has its result at once: what still runs of
 * it nobody waits for, and it reads nothing more. A mutation runs to its end.
 */
export function executeWithin(args: ExecutionArgs): ExecutionResult | Promise<ExecutionResult> {
  const { budget } = args.contextValue as Context;
  const result = execute(args);
  if (budget.isMutation) return result;
  if (!(result instanceof Promise)) return budget.problem ? resultOf(budget.problem) : result;
  return new Promise((resolve, reject) => {
    budget.whenExceeded((problem) => resolve(resultOf(problem)));
    result.then(resolve, reject);
  });
}

function resultOf(problem: HubError): ExecutionResult {
  return { data: null, errors: [asGraphqlError(problem)] };
}
