import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Manifest {
  readonly version: string;
  readonly repository?: string | { readonly url: string };
}

/** package.json, which stands one level up in the sources and two in the build. */
const manifest = readManifest();

export const VERSION: string = manifest.version;

function readManifest(): Manifest {
  const places = [join(__dirname, '..', 'package.json'), join(__dirname, '..', '..', 'package.json')];
  const place = places.find((path) => existsSync(path));
  return place ? (JSON.parse(readFileSync(place, 'utf8')) as Manifest) : { version: '0.0.0' };
}

/** Where a page of the documentation of this version is: in the repository that package.json names, else by its path. */
export function documentAt(path: string, { version, repository }: Manifest = manifest): string {
  const url = typeof repository === 'string' ? repository : repository?.url;
  const [, home] = /^(?:git\+)?(https:\/\/.+?)(?:\.git)?$/.exec(url ?? '') ?? [];
  return home === undefined ? path : `${home}/blob/v${version}/${path}`;
}
