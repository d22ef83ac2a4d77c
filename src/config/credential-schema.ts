/** Options of `credentials.<name>`: one OAuth client, and how it gets its tokens. */
import { z } from 'zod';
import { RotationSchema } from './iam-schema.ts';
import { meta, parsed } from './option.ts';
import { parseBaseUrl } from './parsers.ts';
import { secretSource, tls } from './sources.ts';
import { scope, visible } from './text-option.ts';

/** Parameters of the token request that the sidecar sets itself. */
const RESERVED = /^(?:grant_type|scope|audience|resource|client_(?:id|secret|assertion|assertion_type))$/;
const ASSERTION_FILE = 'client_assertion_file';
const parameter = visible.refine((key) => !RESERVED.test(key), 'is set by the sidecar itself');

export const CredentialSchema = z
  .strictObject({
    tokenEndpoint: parsed(parseBaseUrl, meta('URL of the token endpoint; or set `issuer`')).optional(),
    issuer: parsed(parseBaseUrl, meta('Issuer; its discovery document names the token endpoint')).optional(),
    clientId: visible.max(100).meta(meta('OAuth client id')),
    auth: z
      .enum(['client_secret_post', 'client_secret_basic', 'private_key_jwt', ASSERTION_FILE])
      .default('client_secret_post')
      .meta(meta('How the client authenticates; Aritma documents client_secret_post')),
    secrets: z
      .array(secretSource)
      .min(1)
      .max(5)
      .default([])
      .meta(
        meta(
          'Client secrets, or keys for private_key_jwt, in order; the next one is used on `invalid_client`; none with client_assertion_file',
        ),
      ),
    assertion: z
      .strictObject({
        file: z.string().min(1).meta(meta('File with a JWT that something else renews; read at each token request')),
      })
      .optional(),
    scope: scope.optional().meta(meta('Scope to request; absent = every scope of the client')),
    audience: visible.optional().meta(meta('`audience` of the token request')),
    resource: visible.optional().meta(meta('`resource` of the token request (RFC 8707)')),
    assertionAudience: visible
      .optional()
      .meta(meta('`aud` of the assertion for private_key_jwt; default: `issuer`, else `tokenEndpoint`')),
    parameters: z.record(parameter, visible).default({}).meta(meta('More parameters of the token request')),
    verify: z
      .boolean()
      .default(false)
      .meta(meta('Check signature, issuer and `audience` of every token; needs `issuer` and tokens that are JWTs')),
    tls,
    rotation: RotationSchema,
  })
  .refine(({ tokenEndpoint, issuer }) => (tokenEndpoint === undefined) !== (issuer === undefined), {
    message: 'is required, or issuer instead; not both',
    path: ['tokenEndpoint'],
  })
  .refine(({ verify, issuer }) => !verify || issuer !== undefined, {
    message: 'needs issuer: its discovery document names the keys',
    path: ['verify'],
  })
  .refine(({ auth, assertion }) => auth !== ASSERTION_FILE || assertion !== undefined, {
    message: 'is required with auth: client_assertion_file: set assertion.file',
    path: ['assertion'],
  })
  .refine(({ auth, assertion }) => auth === ASSERTION_FILE || assertion === undefined, {
    message: 'needs auth: client_assertion_file',
    path: ['assertion'],
  })
  .refine(({ auth, secrets }) => auth !== ASSERTION_FILE || secrets.length === 0, {
    message: 'must not be there with auth: client_assertion_file: the assertion takes their place',
    path: ['secrets'],
  })
  .refine(
    ({ auth, secrets }) =>
      auth === 'private_key_jwt' || auth === ASSERTION_FILE || secrets.every(({ kid, alg }) => !kid && !alg),
    {
      message: 'must not have kid or alg: they need auth: private_key_jwt',
      path: ['secrets'],
    },
  )
  .refine(({ auth, assertionAudience }) => auth === 'private_key_jwt' || assertionAudience === undefined, {
    message: 'needs auth: private_key_jwt; in a file, the assertion has its `aud` already',
    path: ['assertionAudience'],
  })
  .refine(({ auth, rotation }) => rotation === undefined || /^client_secret/.test(auth), {
    message: 'is only for client secrets; to replace a key, replace its file',
    path: ['rotation'],
  })
  .refine(({ rotation, secrets: [first] }) => !rotation || rotation.kubernetes || rotation.exec || first?.file, {
    message: 'needs kubernetes, exec, or a file as the first of secrets',
    path: ['rotation'],
  });
