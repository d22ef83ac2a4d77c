/**
 * Checks whether secrets can be rotated: reads the list in Aritma IAM and the folder's access, and changes nothing.
 * Gives only warnings, because the sidecar serves without rotation.
 */
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import type { LoadedConfig } from '../config/load.ts';
import { ERRORS, SidecarError } from '../core/errors.ts';
import { type ClientSecret, createIamApi } from '../iam/api.ts';
import { connectIam } from '../iam/connection.ts';
import { storeOf } from '../iam/rotation/credential-rotation.ts';
import { takeInventory } from '../iam/rotation/inventory.ts';
import { beginJournal, parseJournal } from '../iam/rotation/journal.ts';
import { within } from '../net/bounded-request.ts';
import { FINDING, type Finding, shown } from './finding.ts';

const LIMIT_MS = 10_000;
const DAY_MS = 86_400_000;

/** Checks each credential with secrets. Checks nothing without `iam.credential`: then no credential has IAM rights. */
export function rotationFindings(loaded: LoadedConfig): Promise<Finding[]>[] {
  const { iam, credentials } = loaded.config;
  if (iam?.credential === undefined) return [];
  return Object.entries(credentials)
    .filter(([, { auth }]) => /^client_secret/.test(auth))
    .map(async ([name]) => [...storeFindings(name, loaded), await iamFinding(name, loaded)]);
}

/** Checks the folders where a rotation replaces files. In Kubernetes there are none. */
function storeFindings(name: string, { config, resolve }: LoadedConfig): Finding[] {
  const { rotation, secrets } = config.credentials[name] ?? {};
  if (!rotation || rotation.kubernetes) return [];
  const file = rotation.exec ? undefined : secrets?.[0]?.file;
  const { journal } = rotation;
  const places = [
    ...(file === undefined ? [] : [{ what: 'the secret file', folder: dirname(resolve(file)) }]),
    ...(journal === undefined ? [] : [{ what: 'rotation.journal', folder: dirname(resolve(journal)) }]),
  ];
  return places.flatMap(({ what, folder }) => {
    const errno = whyNotWritable(folder);
    if (errno === undefined) return [];
    const isMissing = errno === 'ENOENT';
    return [
      FINDING.warning(`rotation ${name}`, 'ROTATION_STORE_FAILED', {
        cause: isMissing ? 'store_folder_missing' : 'store_read_only',
        message: `the folder of ${what} ${isMissing ? 'does not exist' : 'cannot be written by this user'} (${errno}), so the secret cannot be rotated`,
        fix: isMissing
          ? `create ${folder}, owned by the sidecar’s user`
          : 'make it writable for the sidecar’s user, or mount it writable; in Kubernetes set `rotation.kubernetes`',
      }),
    ];
  });
}

function whyNotWritable(folder: string): string | undefined {
  try {
    accessSync(folder, constants.W_OK);
    return undefined;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

async function iamFinding(name: string, loaded: LoadedConfig): Promise<Finding> {
  const subject = `rotation ${name}`;
  const late: Finding = FINDING.warning(subject, 'IAM_UNAVAILABLE', {
    cause: 'iam_timeout',
    message: `Aritma IAM does not respond within ${LIMIT_MS / 1000} s`,
    fix: 'check `iam.url`, proxy and firewall',
  });
  const asked = listSecrets(name, loaded)
    .then(async (secrets) => judge(subject, secrets, await isRotatable(name, secrets, loaded)))
    .catch((error: unknown) => failure(subject, error));
  return within(LIMIT_MS, asked, () => late);
}

async function listSecrets(name: string, loaded: LoadedConfig): Promise<ClientSecret[]> {
  await using iam = connectIam(loaded);
  const secrets: ClientSecret[] = [];
  const clientId = loaded.config.credentials[name]?.clientId ?? '';
  for await (const secret of createIamApi(iam.connection).secrets(clientId)) secrets.push(secret);
  return secrets;
}

/**
 * Whether a rotation could begin or continue with these secrets. Without `rotation`, two are normal: the user rotates
 * by hand.
 */
async function isRotatable(name: string, secrets: readonly ClientSecret[], loaded: LoadedConfig): Promise<boolean> {
  const { rotation, clientId = '' } = loaded.config.credentials[name] ?? {};
  // With `kubernetes` the journal is in the cluster, which this check does not ask: a rotation may be under way.
  if (!rotation || rotation.kubernetes) return liveOf(secrets).length <= 2;
  const nowMs = Date.now();
  const text = await storeOf(loaded, name).peek();
  const journal = text === undefined ? beginJournal(clientId, nowMs) : parseJournal(text);
  if (journal.attempt || journal.provision) return liveOf(secrets).length <= 2;
  try {
    takeInventory(secrets, { journal, nowMs, inUseWorks: true });
    return true;
  } catch {
    return false;
  }
}

function liveOf(secrets: readonly ClientSecret[]): ClientSecret[] {
  return secrets.filter(({ expiresAt = Infinity }) => expiresAt > Date.now());
}

function judge(subject: string, secrets: readonly ClientSecret[], rotatable: boolean): Finding {
  const live = liveOf(secrets);
  const soonest = Math.min(...live.map(({ expiresAt = Infinity }) => expiresAt));
  const expiry = Number.isFinite(soonest)
    ? `the first expires in ${Math.floor((soonest - Date.now()) / DAY_MS)} days`
    : 'none expires';
  const summary = `Aritma IAM lists ${live.length} live ${live.length === 1 ? 'secret' : 'secrets'}, ${expiry}`;
  if (rotatable) return FINDING.ok(subject, summary);
  return FINDING.warning(subject, 'ROTATION_TOO_MANY_SECRETS', {
    cause: 'too_many_secrets',
    message: `${summary}: a rotation allows only one live secret in addition to those it created itself`,
    fix: 'delete unused secrets with `aritma-sidecar iam secrets delete`',
  });
}

function failure(subject: string, error: unknown): Finding {
  if (!(error instanceof SidecarError)) throw error;
  const { problem, reason, errno, result } = error.extras.fields ?? {};
  const why = [problem, reason, errno, result].find((detail) => detail !== undefined);
  const title = `${ERRORS[error.code].title}${why === undefined ? '' : ` (${shown(why)})`}`;
  if (error.code.startsWith('ROTATION_')) {
    const message = `${title}, so its secret cannot be rotated`;
    return FINDING.warning(subject, error.code, { cause: 'journal_unusable', message, fix: ERRORS[error.code].detail });
  }
  return FINDING.warning(subject, error.code, {
    cause: 'iam_refused',
    message: `${title}, so secrets cannot be rotated and their expiry is unknown`,
    fix: 'check `iam.url`, the client of `iam.credential`, its scope `services.iam` and its rights',
  });
}
