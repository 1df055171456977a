import { join } from 'node:path';
import { build } from 'esbuild';

const SRC = join(__dirname, '..', '..', 'src');

/** What somebody gets who imports an entry of the package, minified. */
async function bundled(entry: string) {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(SRC, entry)],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    absWorkingDir: SRC,
    outdir: 'out',
  });
  const imports = Object.values(metafile.inputs).flatMap((input) =>
    input.imports.filter(({ external }) => external).map(({ path }) => path),
  );
  return { bytes: outputFiles[0]?.contents.length ?? 0, files: Object.keys(metafile.inputs), externals: [...new Set(imports)] };
}

test('livehook/receiver is at most 10 kB, and nothing of the hub or of other packages is in it', async () => {
  const { bytes, files, externals } = await bundled('receiver/index.ts');
  expect(bytes).toBeGreaterThan(1_000);
  expect(bytes).toBeLessThanOrEqual(10_000);
  expect(files.filter((file) => !file.startsWith('receiver/'))).toEqual([]);
  expect(externals).toEqual(['node:crypto']);
});

test('livehook/client is at most 40 kB, and nothing of the hub or of other packages is in it', async () => {
  const { bytes, files, externals } = await bundled('client/index.ts');
  expect(bytes).toBeGreaterThan(1_000);
  expect(bytes).toBeLessThanOrEqual(40_000);
  expect(files.filter((file) => !file.startsWith('client/'))).toEqual([]);
  expect(externals).toEqual([]);
});
