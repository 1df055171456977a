/**
 * For TypeORM's own command line: `npx typeorm migration:show -d ormconfig.ts`. It loads this file with plain `require`, on
 * whatever version of Node: JavaScript, which TypeScript takes as well.
 */
require('reflect-metadata');
require('./src/cli/build.js').build();
const { DataSource } = require('typeorm');
const { readConfig } = require('./dist/src/config.js');
const { dataSourceOptions } = require('./dist/src/data-source.js');

module.exports = new DataSource(dataSourceOptions(readConfig(process.env).databaseUrl, 'writer'));
