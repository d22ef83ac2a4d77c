/**
 * Provisioning from the file to the exit code: read IAM, plan, show, ask, apply, print the sidecar's configuration,
 * check it. Holds the secret's lock from the first read to the last write, so that it does exactly what it showed.
 */
import { stringify } from 'yaml';
import type { Doc } from '../../config/layers.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Line, Report } from '../../core/terminal.ts';
import { readText } from '../rotation/durable-file.ts';
import { asSecret, createFileStore } from '../rotation/file-store.ts';
import { type Progress, retry } from '../rotation/retry.ts';
import type { OpenStore, SecretStore } from '../rotation/store.ts';
import { type Applying, applyProvision, type Planned } from './apply.ts';
import type { Desired } from './desired-state.ts';
import { parseMemory } from './journal.ts';
import { type Looking, lookAround, type Place } from './observed-state.ts';
import { planLine, planProvision } from './plan.ts';
import { sidecarDocument } from './sidecar-config.ts';

export interface ProvisionOptions extends Looking {
  readonly report: Report;
  readonly clock: Applying['clock'];
  /** Only show the plan; change no file and nothing in IAM. */
  readonly dryRun: boolean;
  /** Asks a person when there is something to do; absent = do not ask. */
  readonly confirm?: (() => Promise<boolean>) | undefined;
  /** Checks the resulting sidecar configuration and returns an exit code. */
  readonly check: (document: Doc) => Promise<number>;
  /** Default: the secret's file with its journal. */
  readonly store?: SecretStore;
}

const DONE = 0;

/**
 * Returns the exit code: that of `check` after provisioning, 0 after a dry run or a "no".
 * @throws SidecarError what `lookAround` and `applyProvision` throw; run it again after any of them and it continues
 * @example
 * const desired = loadDesired('erp.yaml', { cwd: process.cwd(), environment: 'dev' });
 * const code = await runProvision(desired, { iam, verify, clock, report, dryRun: true, check: async () => 0 });
 */
export async function runProvision(desired: Desired, options: ProvisionOptions): Promise<number> {
  const { report, dryRun, store = createFileStore(desired.secret.file) } = options;
  if (dryRun) {
    const stored = asSecret(await readText(desired.secret.file));
    const { plan } = await planFor(desired, { memory: parseMemory(await store.peek()), stored }, options);
    for (const step of plan) report.line(planLine(step));
    report.line(says('dry run: nothing was changed'));
    return DONE;
  }
  const clientId = await underLock(desired, await store.open(), options);
  if (clientId === undefined) return DONE;
  const { document } = sidecarDocument(desired, clientId);
  report.line({
    text: `\n# aritma-sidecar.yaml\n${stringify(document)}`,
    data: { message: 'configuration', document },
  });
  return options.check(document);
}

/** Returns the client's id; undefined when the person said no, so nothing was done. */
async function underLock(desired: Desired, store: OpenStore, options: ProvisionOptions): Promise<string | undefined> {
  const { report, confirm } = options;
  try {
    const look = async () => planFor(desired, await placeOf(store), options);
    const planned = await look();
    for (const step of planned.plan) report.line(planLine(step));
    const todo = planned.plan.filter(({ change }) => change === 'create' || change === 'update');
    if (todo.length > 0 && confirm && !(await confirm())) {
      report.line(says('nothing was changed'));
      return undefined;
    }
    const clientId = await applyAgain(desired, { planned, look }, { ...options, store });
    report.line(
      says(todo.length > 0 ? 'done: everything matches the file' : 'nothing to do: everything matches the file'),
    );
    return clientId;
  } finally {
    await store.close();
  }
}

interface Views {
  /** The plan that was shown and confirmed. */
  readonly planned: Planned;
  readonly look: () => Promise<Planned>;
}

/**
 * Applies the plan and returns the client's id; retries after a temporary failure. Each retry plans anew from what IAM
 * has then: a step whose response was lost may be done and drops out. No unconfirmed step appears: a plan only gets
 * smaller.
 */
function applyAgain(desired: Desired, views: Views, applying: Omit<Applying, 'onDone'> & { report: Report }) {
  const { report, clock } = applying;
  let planned: Planned | undefined = views.planned;
  const onDone: Applying['onDone'] = ({ change, what, name }) =>
    report.line({ text: `done: ${change} ${what} ${name}`, data: { done: change, what, name } });
  const onProgress = ({ step, fields }: Progress) =>
    report.line({ text: `${fields['code']}: ${step} in ${fields['inS']} s`, data: { step, ...fields } });
  return retry({ clock, onProgress }, async () => {
    const current = planned ?? (await views.look());
    planned = undefined;
    return applyProvision(desired, current, { ...applying, onDone });
  });
}

async function placeOf(store: OpenStore): Promise<Place> {
  return { memory: parseMemory(await store.readJournal()), stored: await store.readSecret() };
}

async function planFor(desired: Desired, place: Place, options: ProvisionOptions): Promise<Planned> {
  refuseDuringRotation(desired, place);
  const actual = await lookAround(desired, place, options);
  return { plan: planProvision(desired, actual), actual, memory: place.memory };
}

/** Provisioning and rotation both change the file: each would take the other's secret for a foreign one. */
function refuseDuringRotation({ secret: { file } }: Desired, { memory }: Place): void {
  if (memory.journal?.attempt === undefined || memory.journal.provision === undefined) return;
  const message = 'is being rotated; finish that first with `aritma-sidecar rotate`';
  throw new SidecarError('IAM_CONFLICT', { problems: [{ where: file, path: '', message }] });
}

const says = (message: string): Line => ({ text: message, data: { message } });
