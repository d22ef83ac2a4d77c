import { defineConfig } from 'vitest/config';

/** Nothing but functions, temporary folders and sockets of their own: many of these files may share one process. */
const SHARING = [
  '*',
  '{admin,bench,check,config,core,deploy,emulator,oauth,proxy}/**/*',
  'cli/iam/*',
  'cli/signals-in-process',
  'iam/*',
  'iam/rotation/scheduler',
  'net/{file-descriptors,listen}',
  'sidecar/audit/*',
];
const together = SHARING.map((files) => `test/${files}.test.ts`);
/** Want programs of the machine, or more time than a developer's test run should take. */
const system = ['test/{system,browser}/**/*.test.ts'];

export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 20_000,
    pool: 'forks',
    // More than cores: most of these tests wait for sockets and processes most of the time.
    maxWorkers: 3,
    projects: [
      { extends: true, test: { name: 'together', include: together, isolate: false } },
      { extends: true, test: { name: 'apart', include: ['test/**/*.test.ts'], exclude: [...together, ...system] } },
      { extends: true, test: { name: 'system', include: system } },
    ],
  },
});
