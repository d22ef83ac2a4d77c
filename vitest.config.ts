import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    pool: 'forks',
    // More than cores: most of these tests wait for sockets and processes most of the time.
    maxWorkers: 3,
  },
});
