import type { MigrationInterface, QueryRunner } from 'typeorm';

/*
 * Only columns that may be null, behind the others: instances of the version before go on reading and inserting.
 *
 * `granted_scopes`: all scopes of a key. `scopes` keeps those that the version before knows, since it cannot show others.
 * Null for keys that it made, also after this has run: what they may do follows from `scopes`.
 *
 * `sealed_headers`: the values of a webhook's own headers, encrypted; `headers` has their masks beside it. Sealing needs
 * LIVEHOOK_SECRET_KEY, and the version before needs the values in `headers`: so it is not done here but by the instances
 * of this version, once the last of that version has gone. `instances.version` tells them: null for those.
 */
export class AddScopesAndSealedHeaders1764800700000 implements MigrationInterface {
  readonly name = 'AddScopesAndSealedHeaders1764800700000';

  async up(runner: QueryRunner): Promise<void> {
    const isMysql = runner.connection.options.type === 'mysql';
    const text = isMysql ? 'mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin' : 'text';
    const ascii = isMysql ? ' CHARACTER SET ascii COLLATE ascii_bin' : '';
    await runner.query(`ALTER TABLE api_keys ADD COLUMN granted_scopes ${text}`);
    await runner.query(`ALTER TABLE webhooks ADD COLUMN sealed_headers ${text}`);
    await runner.query(`ALTER TABLE instances ADD COLUMN version varchar(48)${ascii}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE instances DROP COLUMN version');
    await runner.query('ALTER TABLE webhooks DROP COLUMN sealed_headers');
    await runner.query('ALTER TABLE api_keys DROP COLUMN granted_scopes');
  }
}
