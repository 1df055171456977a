import { CreateTables1764000000000 } from './1764000000000-create-tables';

/** Every migration, oldest first: the same list for both databases. A landed one is never changed. */
export const migrations = [CreateTables1764000000000];
