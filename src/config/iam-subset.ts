/**
 * The part of a configuration that commands for Aritma IAM use: URL, connection and credential of IAM. An administrator
 * then needs neither routes nor the secrets of other programs.
 */
import { z } from 'zod';
import { type Doc, isDoc } from './layers.ts';
import { RouteSchema } from './route-schema.ts';
import type { Report } from './rules.ts';
import { ConfigSchema } from './schema.ts';

export interface IamUse {
  /** Name of the credential; default: `iam.credential`, else `default`. */
  readonly credential?: string | undefined;
  /** The user supplies a token, so no credential is needed. */
  readonly ownToken: boolean;
}

export const IamPartSchema = ConfigSchema.extend({ routes: z.array(RouteSchema).default([]) });

const NO_URL =
  'is missing: set it in the file, with ARITMA_IAM_URL or --iam-url, or set environment to dev or emulator';
const NO_CREDENTIAL =
  'has no client id: set ARITMA_CLIENT_ID and a secret, choose another with --credential, or supply a token with --token-file';

const USED = ['environment', 'iam', 'token', 'timeouts', 'unsafe'];

/** Returns that part of a whole document; reports what is missing. */
export function iamPart(doc: Doc, { credential, ownToken }: IamUse, report: Report): Doc {
  const part = Object.fromEntries(USED.filter((key) => Object.hasOwn(doc, key)).map((key) => [key, doc[key]]));
  const { credential: configured, ...rest } = isDoc(doc['iam']) ? doc['iam'] : {};
  const found = rest['url'] !== undefined;
  if (!found) {
    report(['iam', 'url'], NO_URL);
    // Else the schema would report it a second time.
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
