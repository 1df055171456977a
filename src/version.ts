import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** From package.json, which stands one level up in the sources and two in the build. */
export const VERSION: string = readVersion();

function readVersion(): string {
  const places = [join(__dirname, '..', 'package.json'), join(__dirname, '..', '..', 'package.json')];
  const place = places.find((path) => existsSync(path));
  return place ? (JSON.parse(readFileSync(place, 'utf8')) as { version: string }).version : '0.0.0';
}
