/**
 * Plans the steps that make IAM match the file. Pure. Never plans a deletion: what is not in the file is listed and
 * left unchanged.
 */

import type { Line } from '../../core/terminal.ts';
import { visible } from '../../core/terminal.ts';
import type { Client, ClientBody, ClientSecret, Policy } from '../api.ts';
import type { Desired } from './desired-state.ts';

/** The state before anything is done. */
export interface Actual {
  /** With its details; undefined = does not exist yet. */
  readonly client: Client | undefined;
  /** The client's secrets in IAM. */
  readonly secrets: readonly ClientSecret[];
  /** The client's subject; undefined = not listed yet, so `policies` is empty. */
  readonly subjectId: string | undefined;
  readonly policies: readonly Policy[];
  readonly secret: SecretState;
  readonly nowMs: number;
}

/**
 * `missing`: no secret in the file. `unfinished`: its creation began. `working`: it gets tokens. `unproven`: we created
 * it and IAM still has it, but it gets no token right now.
 */
export interface SecretState {
  readonly kind: 'missing' | 'unfinished' | 'working' | 'unproven';
  /** The same secret in IAM, if known. */
  readonly known?: ClientSecret | undefined;
}

export interface FieldChange {
  readonly field: keyof ClientBody;
  readonly from: string | readonly string[];
  readonly to: string | readonly string[];
}

export interface Step {
  readonly change: 'create' | 'update' | 'none' | 'leave';
  readonly what: 'client' | 'secret' | 'policy';
  /** Which one, for people. */
  readonly name: string;
  readonly fields?: readonly FieldChange[];
  readonly policy?: Pick<Policy, 'scope' | 'action'>;
  /** More about it, for people. */
  readonly note?: string;
}

const SOON_MS = 14 * 86_400_000;

/** Returns the steps in the order they are done. `leave`: exists, but is not in the file. */
export function planProvision(desired: Desired, actual: Actual): readonly Step[] {
  return [
    clientStep(desired, actual),
    secretStep(desired, actual),
    ...desired.policies.map((policy): Step => {
      const there = actual.policies.some((other) => isSame(policy, other));
      return { change: there ? 'none' : 'create', what: 'policy', name: policyName(policy), policy };
    }),
    ...actual.secrets
      .filter(({ clientSecretId }) => clientSecretId !== actual.secret.known?.clientSecretId)
      // IAM does not tell which of them is the working secret, so without that none is reported as foreign.
      .filter(() => actual.secret.kind === 'missing' || actual.secret.known !== undefined)
      .map(({ clientSecretId, description }) => left('secret', `${clientSecretId} (${description})`)),
    ...actual.policies
      .filter((policy) => !desired.policies.some((other) => isSame(policy, other)))
      .map((policy) => left('policy', policyName(policy))),
  ];
}

/** Returns the whole body, which IAM requires to create and to change a client. */
export function clientBody({ client }: Desired, actual?: Client): ClientBody {
  const { name, description, scopes } = client;
  const granted = actual?.allowedGrantTypes ?? [];
  const implied = granted.includes(SERVICE_GRANT) ? granted : [...granted, SERVICE_GRANT];
  return {
    name,
    description,
    // Fields that the file leaves out stay as they are: people may also log in with this client.
    allowedGrantTypes: client.allowedGrantTypes ?? implied,
    allowedScopes: scopes,
    redirectUris: client.redirectUris ?? actual?.redirectUris ?? [],
  };
}

const SERVICE_GRANT = 'client_credentials';
const FIELDS = ['name', 'description', 'allowedGrantTypes', 'allowedScopes', 'redirectUris'] as const;

function clientStep(desired: Desired, { client }: Actual): Step {
  const name = desired.client.name;
  if (!client) return { change: 'create', what: 'client', name };
  const body = clientBody(desired, client);
  const fields = FIELDS.flatMap((field): FieldChange[] => {
    const [from, to] = [client[field], body[field]];
    // A field that IAM does not show cannot be compared; it must not look changed in every run.
    return from === undefined || isEqual(from, to) ? [] : [{ field, from, to }];
  });
  const named = `${name} (${client.clientId})`;
  return fields.length > 0
    ? { change: 'update', what: 'client', name: named, fields }
    : { change: 'none', what: 'client', name: named };
}

function secretStep({ secret }: Desired, { secret: { kind, known }, nowMs }: Actual): Step {
  const step = { what: 'secret', name: secret.file } as const;
  if (kind === 'missing') return { ...step, change: 'create' };
  if (kind === 'unfinished') return { ...step, change: 'create', note: 'started earlier, continues' };
  const notes = [
    kind === 'unproven' && 'could not be tested: no token right now',
    known?.expiresAt !== undefined && expiryNote(known.expiresAt, nowMs),
  ].filter((note) => note !== false && note !== '');
  return { ...step, change: 'none', ...(notes.length > 0 && { note: notes.join('; ') }) };
}

function expiryNote(expiresAt: number, nowMs: number): string {
  const day = new Date(expiresAt).toISOString().slice(0, 10);
  if (expiresAt <= nowMs) return `expired on ${day}: run \`aritma-sidecar rotate\``;
  return expiresAt - nowMs < SOON_MS ? `expires on ${day}: run \`aritma-sidecar rotate\` soon` : '';
}

function left(what: 'secret' | 'policy', name: string): Step {
  return { change: 'leave', what, name, note: 'not in the file, left unchanged' };
}

type Tuple = Pick<Policy, 'scope' | 'action'>;

const isSame = (a: Tuple, b: Tuple) => a.scope === b.scope && a.action === b.action;
const policyName = ({ scope, action }: Tuple) => `${action} on ${scope}`;

/** Compares lists as sets: IAM may sort them. */
function isEqual(a: FieldChange['from'], b: FieldChange['to']): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  const [one, other] = [new Set(a), new Set(b)];
  return one.size === other.size && [...one].every((item) => other.has(item));
}

const SIGNS: Readonly<Record<Step['change'], string>> = { create: '+', update: '~', none: ' ', leave: '·' };

/** Returns a step as text for people and as data for JSON lines. */
export function planLine(step: Step): Line {
  const { change, what, name, fields = [], policy, note } = step;
  const head = `${SIGNS[change]} ${what.padEnd(6)} ${name}${note === undefined ? '' : `   ${note}`}`;
  const lines = [head, ...fields.flatMap(fieldLines)];
  return {
    text: lines.map(visible).join('\n'),
    data: { change, what, name, ...(fields.length > 0 && { fields }), ...policy, ...(note !== undefined && { note }) },
  };
}

function fieldLines({ field, from, to }: FieldChange): string[] {
  return [`    - ${field}: ${shown(from)}`, `    + ${field}: ${shown(to)}`];
}

const shown = (value: FieldChange['from']) => (typeof value === 'string' ? value : `[${value.join(', ')}]`);
