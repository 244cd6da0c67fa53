// Bundles src/ into the npm package's modules and page/ into the demo page's script. pkg-scripts/build-web calls it.
import { build } from 'esbuild';

const common = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  logLevel: 'warning',
};

// What page and worker share becomes a chunk: an application without a worker loads no second copy.
await build({
  ...common,
  entryPoints: ['src/index.ts', 'src/worker.ts'],
  splitting: true,
  chunkNames: 'shared-[hash]',
  outdir: 'dist',
});

// The page uses the package as an application would: from its built files.
await build({
  ...common,
  entryPoints: ['page/main.ts'],
  outdir: 'dist/page',
  plugins: [
    {
      name: 'package-as-built',
      setup(context) {
        context.onResolve({ filter: /src\/index\.ts$/ }, () => ({ path: '../index.js', external: true }));
      },
    },
  ],
});
