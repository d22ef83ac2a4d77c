/** In replacing client secrets. */
import type { Mistake } from './mistakes.ts';

export const ROTATION_MISTAKES: Readonly<Record<string, Mistake>> = {
  'given-up-is-rotated': {
    file: 'iam/rotation/rotate.ts',
    from: '  if (isOver && !hasRotatedSince(before, options.after)) throw givenUp();\n',
    to: '',
  },
  'begins-again-after-pause': {
    file: 'iam/rotation/rotate.ts',
    from: 'const isOver = options.after !== undefined && !before.attempt;',
    to: 'const isOver = options.after !== undefined && !before.attempt && before.current !== undefined;',
  },
  'stores-unproven': {
    file: 'iam/rotation/rotate.ts',
    from: "phase: works ? 'verified' : 'abandoned'",
    to: "phase: works ? 'verified' : 'verified'",
  },
  'retires-at-once': {
    file: 'iam/rotation/rotate.ts',
    from: "attempt.phase === 'promoted' ? (attempt.retireAt ?? 0)",
    to: "attempt.phase === 'promoted' ? 0",
  },
  'creates-third': {
    file: 'iam/rotation/inventory.ts',
    from: 'if (live.length < 2) return;',
    to: 'if (live.length < 9) return;',
  },
  'deletes-of-others': {
    file: 'iam/rotation/inventory.ts',
    from: 'description.startsWith(prefix) && clientSecretId',
    to: 'prefix !== description && clientSecretId',
  },
  'first-page-only': {
    file: 'iam/pagination.ts',
    from: 'if (total !== undefined && received < total) {',
    to: 'if (total !== undefined && received < total && number > 1) {',
  },
  'does-not-flush': {
    file: 'iam/rotation/durable-file.ts',
    from: 'await flush(file);',
    to: '',
  },
  'gives-up-late': {
    file: 'iam/rotation/verification.ts',
    from: "if (remainingMs <= 0 && verdict === 'refused') return false;",
    to: 'if (remainingMs <= 0) return false;',
  },
  'never-gives-up': {
    file: 'iam/rotation/retire.ts',
    from: 'if (isThere) throw kept(reason);',
    to: 'throw kept(reason);',
  },
  'overlap-from-creation': {
    file: 'iam/rotation/rotate.ts',
    from: 'const retireAt = (await sharedNow(options)) + options.policy.overlap;',
    to: 'const retireAt = attempt.startedAt + options.policy.overlap;',
  },
};
