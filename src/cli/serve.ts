import { describeConfig, readConfig } from '../config';
import { Hub } from '../hub';
import { createLog } from '../log';

/** Serves until SIGTERM or SIGINT, then drains and exits 0. */
export async function serve(): Promise<void> {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  process.on('unhandledRejection', (reason) =>
    log.error({ error: reason instanceof Error ? reason.stack : String(reason) }, 'process.unhandled_rejection'),
  );
  log.info(describeConfig(config), 'hub.configured');

  const told = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  const hub = new Hub({ config, log });
  const { url, generatedAdminKey } = await hub.start();
  process.stdout.write(`Livehook is listening on ${url}\n`);
  if (generatedAdminKey !== undefined)
    process.stdout.write(
      `\nYour first admin key, shown this once:\n\n  ${generatedAdminKey}\n\nDashboard: ${url}/   GraphiQL: ${url}/graphql\n`,
    );

  await told;
  await hub.stop();
  process.exit(0); // a name server that is still being asked would hold the process for seconds
}
