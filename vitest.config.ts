import { defineConfig } from 'vitest/config';
import { COMPILED } from './test/support/compiled.ts';
import { PATIENCE_MS } from './test/support/own-time.ts';

// For the runner's own processes, and for those that tests start with this environment.
Object.assign(process.env, COMPILED);

/** Start the program as users do: from a bundle, with its own process for each file. */
const APART = [
  'cli/{check,control,demo,doctor-program,fleet,iam,output,rotate,serve,signals,status,usage}',
  'cli/completion/completion',
  'security/*',
];
const apart = APART.map((files) => `test/${files}.test.ts`);
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
      // One process reads the sources once for many files: that was a third of the time of the small ones.
      {
        extends: true,
        test: { name: 'together', include: ['test/**/*.test.ts'], exclude: [...apart, ...system], isolate: false },
      },
      {
        extends: true,
        test: {
          name: 'apart',
          include: apart,
          globalSetup: 'test/support/build-program.ts',
        },
      },
      { extends: true, test: { name: 'system', include: system } },
    ],
  },
});
