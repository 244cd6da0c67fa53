// Bundles src/ into the npm package's modules and page/ into the demo pages' scripts. pkg-scripts/build-web calls it.
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
  plugins: [
    {
      name: 'language-apart',
      setup(context) {
        const built = ({ path }) => ({ path: path.replace(/ts$/, 'js'), external: true });
        context.onResolve({ filter: /^\.\/(text|speech|describe)\.ts$/ }, built);
      },
    },
  ],
});

/** Leaves the package out of a bundle: it is taken from its built files, at `path`. */
const packageAt = (path) => ({
  name: 'package-as-built',
  setup(context) {
    context.onResolve({ filter: /(\/src|^\.)\/index\.ts$/ }, () => ({ path, external: true }));
  },
});

// Text, speech and models that see apart, so that nothing of them is loaded by those who do without.
await build({
  ...common,
  entryPoints: ['src/text.ts', 'src/speech.ts', 'src/describe.ts', 'src/text-worker.ts'],
  splitting: true,
  chunkNames: 'text-[hash]',
  outdir: 'dist',
  plugins: [packageAt('./index.js')],
});

// The pages use the package as an application would: from its built files.
await build({
  ...common,
  entryPoints: ['page/main.ts', 'page/chat.ts', 'page/hear.ts', 'page/describe.ts', 'page/tokens.ts'],
  outdir: 'dist/page',
  plugins: [packageAt('../index.js')],
});
