/**
 * For TypeORM's own command line: `npx typeorm migration:show -d ormconfig.ts`. It loads this file with plain `require`, on
 * whatever version of Node: JavaScript, which TypeScript takes as well.
 */
require('./src/cli/build.js').build();
module.exports = require('./dist/src/cli/typeorm.js');
