import { createConnection } from 'mysql2/promise';
import { createMysqlDatabase, type TestDatabase } from '../support/mariadb';
import { until } from '../support/until';
import { DatabaseProxy } from './proxy';

let database: TestDatabase;
let proxy: DatabaseProxy;
let url: string;

beforeAll(async () => {
  database = await createMysqlDatabase();
  proxy = await DatabaseProxy.to(Number(new URL(database.url).port));
  url = proxy.url(database.url);
});

afterAll(async () => {
  await proxy.close();
  await database.drop();
});

afterEach(() => proxy.heal());

describe('The proxy before the database', () => {
  test('cuts what is open and takes nothing more until it is healed', async () => {
    const connection = await createConnection(url);
    connection.on('error', () => {});
    proxy.cut();
    await expect(connection.query('SELECT 1')).rejects.toThrow();
    await expect(createConnection(url)).rejects.toThrow();
    proxy.heal();
    const next = await createConnection(url);
    await expect(next.query('SELECT 1')).resolves.toBeDefined();
    await next.end();
  });

  test('holds bytes back and lets them through in order later', async () => {
    const connection = await createConnection(url);
    let hasAnswered = false;
    proxy.stall();
    const answers = Promise.all([connection.query('SELECT 1 AS n'), connection.query('SELECT 2 AS n')]).finally(() => (hasAnswered = true));
    const direct = await createConnection(database.url);
    for (let look = 0; look < 20; look++) await direct.query('SELECT 1'); // what passes by is answered
    await direct.end();
    expect(hasAnswered).toBe(false);
    proxy.heal();
    expect((await answers).map(([rows]) => rows)).toEqual([[{ n: 1 }], [{ n: 2 }]]);
    await connection.end();
  });

  test.each(['before', 'after'] as const)('loses one COMMIT, %s the server has seen it', async (loss) => {
    const direct = await createConnection(database.url);
    await direct.query('CREATE OR REPLACE TABLE t (n int) ENGINE=InnoDB');
    const connection = await createConnection(url);
    connection.on('error', () => {});
    await connection.query('START TRANSACTION');
    await connection.query('INSERT INTO t VALUES (1)');
    const lost = proxy.loseCommit(loss);
    await expect(connection.query('COMMIT')).rejects.toThrow();
    await lost;
    await until(async () => Object.keys((await direct.query('SELECT * FROM t'))[0]).length === (loss === 'after' ? 1 : 0), {
      description: 'the server to have decided',
    });
    await direct.end();
  });
});
