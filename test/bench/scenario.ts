import type { DatabaseKind } from './databases';
import type { World } from './rig';
import type { Row } from './table';

export interface Scenario {
  readonly name: string;
  readonly databases: readonly DatabaseKind[];
  run(world: World, database: DatabaseKind): Promise<readonly Row[]>;
}
