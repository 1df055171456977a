import { run } from './global-setup';

export default async function globalTeardown(): Promise<void> {
  await run.livehookMariadb?.stop();
}
