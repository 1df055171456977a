import { AbusedHub } from '../support/abused-hub';
import { DnsServer } from '../support/dns-server';
import { mutated } from '../support/mutate';
import { until } from '../support/until';

test('Host names whose name servers are silent delay their own application only', async () => {
  const server = await DnsServer.listen((name) => (name.endsWith('hostile.test') ? 'silent' : ['127.0.0.1']));
  const hub = await AbusedHub.start({ LIVEHOOK_DNS_SERVERS: server.address });
  try {
    const [attacker, other] = [await hub.tenant('attacker'), await hub.tenant('other')];
    for (let index = 0; index < 100; index++)
      await mutated(attacker.client, 'webhookCreate', { input: { url: `http://h${index}.hostile.test:8080/`, timeoutSeconds: 30 } });
    const { port } = new URL(hub.receiver.url());
    for (let index = 0; index < 5; index++)
      await mutated(other.client, 'webhookCreate', { input: { url: `http://good${index}.test:${port}/other` } });
    const publish = (client: typeof other.client) =>
      mutated(client, 'eventPublish', { input: { type: 'order.created', payload: {} } }, 'event { id }');
    await hub.expectServed(async () => {
      for (let times = 0; times < 5; times++) await publish(attacker.client);
      await until(() => new Set(server.questions.filter((question) => question.includes('hostile'))).size >= 100, {
        description: 'the questions to be asked',
      });
      await publish(other.client);
      await hub.receiver.waitFor(5, '/other', 10_000);
    });
  } finally {
    await hub.stop();
    server.close();
  }
});
