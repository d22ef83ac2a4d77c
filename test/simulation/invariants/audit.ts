/** What docs/operations.md promises of the audit log. */
import { filesOf } from '../../../src/sidecar/audit/file-set.ts';
import { verifyFiles } from '../../../src/sidecar/audit/verify.ts';
import { AUDIT_FILE } from '../world/audit.ts';
import type { Invariant } from './invariants.ts';

export const auditIsWhole: Invariant = {
  sentence: 'The chain of the audit log verifies at the end, whatever happened to the disk and the process.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'stopped' || !world.audit) return;
    const verifying = world.process('audit verify', world.sidecar.machine);
    verifying.run(() => {
      verifyFiles(filesOf(AUDIT_FILE)).then(
        ({ broken, lines, unknown }) => {
          world.trace('audit verify', `${lines} lines, ${unknown.length} unknown`);
          if (broken) violated(`${broken.file}, line ${broken.line}: ${broken.problem}`);
        },
        (error: unknown) => violated(String(error)),
      );
    });
  },
};

export const auditComesFirst: Invariant = {
  sentence:
    'With `fsync: always` and `whenFailing: refuse`, the line about a call is on disk before the call is executed.',
  watch(world, violated) {
    let executed = 0;
    return (observation) => {
      if (observation.kind !== 'executed' || world.audit?.part.fsync !== 'always') return;
      executed += 1;
      if (world.audit.part.whenFailing === 'report') return;
      const intents = world.audit.count('intent');
      if (intents < executed)
        violated(`${executed} calls are executed, ${intents} are on disk; the last is ${observation.id}`);
    };
  },
};

export const auditIsThereFirst: Invariant = {
  sentence:
    'With `fsync: always`, the line about the outcome of a call is on disk before its response leaves. Excused: from when the log could not be written.',
  watch(world, violated) {
    let told = 0;
    let hasFailed = false;
    return (observation) => {
      if (observation.kind === 'log' && String(observation.line['message']).includes('audit log cannot be written'))
        hasFailed = true;
      if (observation.kind !== 'told' || world.audit?.part.fsync !== 'always' || hasFailed) return;
      if (observation.told.status !== 201) return;
      told += 1;
      const lines = world.audit.countText('"status":201');
      if (lines < told) violated(`${told} calls got 201, ${lines} are on disk; the last is ${observation.told.id}`);
    };
  },
};
