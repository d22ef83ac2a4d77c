/** What docs/operations.md promises of the audit log. */
import { filesOf } from '../../../src/sidecar/audit/file-set.ts';
import { verifyFiles } from '../../../src/sidecar/audit/verify.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import { AUDIT_FILE } from '../world/audit.ts';
import type { Observation, UpstreamRequest } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';

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

/** From when on the log of a process can be written again, true ms: what was under way before may be missing. */
function watchFailures({ platform }: World) {
  const writableSince = new Map<SimulatedProcess, number>();
  return {
    see(observation: Observation) {
      if (isLogged(observation, 'auditFails')) writableSince.set(observation.process, Number.POSITIVE_INFINITY);
      if (isLogged(observation, 'auditWorks')) writableSince.set(observation.process, platform.time.nowMs);
    },
    mayLack: ({ from, called }: UpstreamRequest) =>
      from !== undefined && called.trueMs <= (writableSince.get(from) ?? Number.NEGATIVE_INFINITY),
  };
}

const UNWRITABLE = 'the audit log could not be written';

export const auditComesFirst: Invariant = {
  sentence:
    'With `fsync: always`, the line about a call is on disk before the call is executed. Excused: with `whenFailing: report`, while the log cannot be written.',
  watch(world, violated) {
    const failures = watchFailures(world);
    return (observation) => {
      failures.see(observation);
      if (observation.kind !== 'executed' || world.audit?.part.fsync !== 'always') return;
      const { id, requestId } = observation.request;
      if (world.audit.has('intent', requestId)) return;
      if (world.audit.part.whenFailing === 'report' && failures.mayLack(observation.request))
        world.observe({ kind: 'excused', why: UNWRITABLE });
      else violated(`payment ${id}, request ${requestId}, is executed and not on disk`);
    };
  },
};

export const auditIsThereFirst: Invariant = {
  sentence:
    'With `fsync: always`, the line about the outcome of a call is on disk before its response leaves. Excused: while the log cannot be written.',
  watch(world, violated) {
    const failures = watchFailures(world);
    const executed = new Map<string, UpstreamRequest>();
    return (observation) => {
      failures.see(observation);
      if (observation.kind === 'executed') executed.set(observation.request.requestId, observation.request);
      if (observation.kind !== 'told' || world.audit?.part.fsync !== 'always') return;
      const { id, status, requestId } = observation.told;
      const request = executed.get(requestId);
      executed.delete(requestId);
      if (status !== 201 || world.audit.has('request', requestId)) return;
      if (request && failures.mayLack(request)) world.observe({ kind: 'excused', why: UNWRITABLE });
      else violated(`payment ${id}, request ${requestId}, got 201, and that is not on disk`);
    };
  },
};
