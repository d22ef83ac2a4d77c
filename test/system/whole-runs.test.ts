/** The tests of which `npm test` plays a third of the random cases, with all of them: see runsOf in test/support/share.ts. */
process.env['WHOLE_RUNS'] = 'true';
await import('../config/canary.test.ts');
await import('../sidecar/fleet/rotation-history.test.ts');
await import('../wire/properties.test.ts');
