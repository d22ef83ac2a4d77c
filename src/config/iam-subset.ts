/**
 * The part of a configuration that commands for Aritma IAM use, so that an administrator needs neither routes nor the
 * secrets of other programs: where IAM is, how to get there, and whose tokens open it.
 */
import { z } from 'zod';
import { type Doc, isDoc } from './layers.ts';
import type { Report } from './rules.ts';
import { ConfigSchema, RouteSchema } from './schema.ts';

export interface IamUse {
  /** Name of the credential; by default what `iam.credential` says, else `default`. */
  readonly credential?: string | undefined;
  /** Somebody brings a token along, so no credential is needed. */
  readonly ownToken: boolean;
}

export const IamPartSchema = ConfigSchema.extend({ routes: z.array(RouteSchema).default([]) });

const NO_URL =
  'is missing: set it in the file, by ARITMA_IAM_URL or --iam-url, or set an environment whose IAM is known (dev, emulator)';
const NO_CREDENTIAL =
  'has no client id: set ARITMA_CLIENT_ID and a secret, name another one with --credential, or bring a token with --token-file';

const USED = ['environment', 'iam', 'token', 'timeouts', 'unsafe'];

/** That part of a whole document; reports what is missing in it. */
export function iamPart(doc: Doc, { credential, ownToken }: IamUse, report: Report): Doc {
  const part = Object.fromEntries(USED.filter((key) => Object.hasOwn(doc, key)).map((key) => [key, doc[key]]));
  const { credential: configured, ...rest } = isDoc(doc['iam']) ? doc['iam'] : {};
  const found = rest['url'] !== undefined;
  if (!found) {
    report(['iam', 'url'], NO_URL);
    // What stands in its place would only be complained about once more.
    delete part['iam'];
  }
  const withIam = (iam: Doc): Doc => ({ ...part, ...(found && { iam }) });
  if (ownToken) return withIam(rest);
  const name = credential ?? (typeof configured === 'string' ? configured : 'default');
  const all = isDoc(doc['credentials']) ? doc['credentials'] : {};
  const chosen = Object.hasOwn(all, name) ? all[name] : undefined;
  if (isDoc(chosen) && chosen['clientId'] !== undefined) {
    return { ...withIam({ ...rest, credential: name }), credentials: { [name]: chosen } };
  }
  report(['credentials', name], NO_CREDENTIAL);
  return withIam(rest);
}
