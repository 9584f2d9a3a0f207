import { defineConfig } from 'vitest/config'

// The client library is built from its source, so that the page and the library cannot drift.
export default defineConfig({
  resolve: { conditions: ['parley-source', 'module', 'browser', 'development|production'] },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { proxy: { '/v1': { target: 'http://127.0.0.1:7880', ws: true } } },
  test: { include: ['test/**/*.test.ts'] },
})
