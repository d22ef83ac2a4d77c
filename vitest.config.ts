import { defineConfig } from 'vitest/config';
import { PATIENCE_MS } from './test/support/own-time.ts';

/** Nothing but functions, temporary folders and sockets of their own: many of these files may share one process. */
const SHARING = [
  '*',
  '{admin,bench,check,config,core,deploy,docs,emulator,oauth,proxy}/**/*',
  'cli/iam/*',
  'cli/signals-in-process',
  'iam/{provision/*,*}',
  'iam/rotation/scheduler',
  '{interop,net,wire}/*',
  'sidecar/audit/*',
];
const together = SHARING.map((files) => `test/${files}.test.ts`);
/** Want programs of the machine, or more time than a developer's test run should take. */
const system = ['test/{system,browser}/**/*.test.ts'];

export default defineConfig({
  test: {
    // Both prove "does not hang" and nothing else, on a machine however busy: see CONTRIBUTING.md.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: PATIENCE_MS, interval: 10 } },
    pool: 'forks',
    // More than cores: most of these tests wait for sockets and processes most of the time.
    maxWorkers: 4,
    projects: [
      { extends: true, test: { name: 'together', include: together, isolate: false } },
      {
        extends: true,
        test: {
          name: 'apart',
          include: ['test/**/*.test.ts'],
          exclude: [...together, ...system],
          globalSetup: 'test/support/build-program.ts',
        },
      },
      { extends: true, test: { name: 'system', include: system } },
    ],
  },
});
