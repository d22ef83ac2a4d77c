/**
 * Loads the file that describes a service client: its fields, where its secret is stored, what it may do. Reports all
 * problems at once, each with its line and what is allowed there.
 */
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { readConfigFile } from '../../config/file.ts';
import { parseAgeMs } from '../../config/iam-schema.ts';
import { wording } from '../../config/issues.ts';
import { locate, type Problem } from '../../config/problems.ts';
import { allowedKeys } from '../../config/schema-path.ts';
import { SidecarError } from '../../core/errors.ts';
import { sidecarDocument } from './sidecar-config.ts';

const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((value) => value === value.trim(), { message: 'must not begin or end with white space' });

/** IAM matches actions exactly; scopes are paths in its tree of resources. */
const POLICY = z.strictObject({
  scope: z.string().regex(/^\/\S*$/, 'must be a path such as /subscriptions/123, or / for everything'),
  action: z.string().regex(/^[^\s]+$/, 'must be the name of an action, such as banking.pis.create'),
});

const CLIENT = z.strictObject({
  id: z.string().min(1).optional(),
  name: text(200),
  description: text(1000),
  scopes: z.array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be the name of one scope')).min(1),
  allowedGrantTypes: z.array(text(100)).optional(),
  redirectUris: z.array(text(2000)).optional(),
});

const LIFETIME = z.string().transform((value, context) => {
  if (value === 'never') return undefined;
  try {
    return parseAgeMs(value);
  } catch (error) {
    context.addIssue({ code: 'custom', message: `${(error as Error).message}; or never` });
    return z.NEVER;
  }
});

const DESIRED = z.strictObject({
  client: CLIENT.refine(({ allowedGrantTypes: types }) => types?.includes('client_credentials') ?? true, {
    message: 'must include client_credentials: a service gets its tokens with this grant',
    path: ['allowedGrantTypes'],
  }),
  secret: z.strictObject({
    file: z.string().min(1),
    /** Shown in IAM's list of secrets. */
    description: text(100).default('first secret, made by provisioning'),
    lifetime: LIFETIME,
  }),
  policies: z.array(POLICY).default([]),
  sidecar: z.record(z.string(), z.unknown()).default({}),
});

type Parsed = z.infer<typeof DESIRED>;

export interface Desired extends Omit<Parsed, 'secret'> {
  readonly secret: {
    /** Absolute. */
    readonly file: string;
    readonly description: string;
    /** Undefined = never expires. */
    readonly lifetimeMs: number | undefined;
  };
}

/** Defaults for what the file does not set. */
export interface DesiredDefaults {
  /** Working directory of the command. */
  readonly cwd: string;
  /** `environment` of the resulting sidecar configuration. */
  readonly environment: string | undefined;
}

/** Loads and validates the file. @throws SidecarError CONFIG_INVALID with every problem */
export function loadDesired(name: string, { cwd, environment }: DesiredDefaults): Desired {
  const file = readConfigFile({ asked: name, cwd });
  if ('problems' in file) throw new SidecarError('CONFIG_INVALID', { problems: file.problems });
  const problems: Problem[] = [];
  const report = (path: readonly PropertyKey[], message: string) =>
    void problems.push({ where: locate(path, [], file), path: path.join('.'), message });
  const result = DESIRED.safeParse(file.doc, { error: wording });
  for (const issue of result.error?.issues ?? []) {
    if (issue.code !== 'unrecognized_keys') report(issue.path, issue.message);
    else
      for (const key of issue.keys) report([...issue.path, key], `unknown option; allowed here: ${keysAt(issue.path)}`);
  }
  for (const index of repeated(file.doc['policies'])) report(['policies', index], 'repeats an earlier policy');
  if (!result.success) throw new SidecarError('CONFIG_INVALID', { problems });
  const { secret, sidecar, ...rest } = result.data;
  const hints = environment === undefined ? sidecar : { environment, ...sidecar };
  const base = dirname(file.path ?? cwd);
  const desired: Desired = {
    ...rest,
    sidecar: hints,
    secret: {
      file: resolve(base, secret.file),
      description: secret.description,
      lifetimeMs: secret.lifetime,
    },
  };
  // Find an unusable sidecar configuration before anything is created for it.
  for (const { path, message } of sidecarDocument(desired, 'any-client').problems)
    report(['sidecar', ...path], message);
  if (problems.length > 0) throw new SidecarError('CONFIG_INVALID', { problems });
  return desired;
}

function keysAt(path: readonly PropertyKey[]): string {
  return allowedKeys(path, DESIRED).join(', ');
}

/** Returns the indexes of policies that repeat an earlier one. */
function repeated(policies: unknown): number[] {
  if (!Array.isArray(policies)) return [];
  const tuples = policies.map((policy: { scope?: unknown; action?: unknown } | null) =>
    JSON.stringify([policy?.scope, policy?.action]),
  );
  return tuples.flatMap((tuple, index) => (tuples.indexOf(tuple) < index ? [index] : []));
}
