/** In making a client, its first secret and its policies. */
import type { Mistake } from './mistakes.ts';

const FIRST_SECRET = 'iam/provision/first-secret.ts';

export const PROVISION_MISTAKES: Readonly<Record<string, Mistake>> = {
  'forgets-first-secret': {
    file: FIRST_SECRET,
    from: 'await store.writeJournal(MEMORY.textOf({ ...journal, provision: first }));',
    to: '',
  },
  'done-before-file': {
    file: FIRST_SECRET,
    from: '  await putInPlace(desired.secret.file, first, store);\n  const { clientSecretId',
    to: '  await store.writeJournal(MEMORY.textOf({ ...journal, provision: undefined, current: { clientSecretId: made.clientSecretId, description: made.description } }));\n  await putInPlace(desired.secret.file, first, store);\n  const { clientSecretId',
  },
  'retries-old-plan': {
    file: 'iam/provision/provision.ts',
    from: '    planned = undefined;\n',
    to: '',
  },
  'mark-stays': {
    file: 'iam/provision/apply.ts',
    from: "if (step.what === 'client' && step.change !== 'none') {",
    to: "if (step.what === 'client' && step.change === 'update') {",
  },
  'namesake-in-part': {
    file: 'iam/provision/client.ts',
    from: '.filter((client) => client.name === name);',
    to: ';',
  },
};
