/** Options that name where something is read from: a secret, a certificate, a key. */
import { z } from 'zod';
import { meta } from './option.ts';

export const file = (description: string) => z.string().min(1).optional().meta(meta(description));

export const secretSource = z
  .strictObject({
    file: file('File with the secret; one trailing newline is ignored'),
    env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable')
      .optional()
      .meta(meta('Environment variable with the secret')),
    exec: z
      .array(z.string().regex(/^[^\0]+$/, 'must be text, not empty'))
      .min(1)
      .max(64)
      .optional()
      .meta(meta('Program and arguments that print the secret, without a shell; one trailing newline is ignored')),
    kid: z
      .string()
      .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII, not empty')
      .optional()
      .meta(meta('Key id, for private_key_jwt; default: `kid` of the JWK')),
    alg: z
      .enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'])
      .optional()
      .meta(meta('Signature algorithm, for private_key_jwt; default: from the JWK or key')),
  })
  .refine(({ file: name, env, exec }) => [name, env, exec].filter((one) => one !== undefined).length === 1, {
    message: 'must have exactly one of: file, env, exec',
  });

export const tls = z
  .strictObject({
    ca: file('PEM file with the CAs to trust, instead of the public ones'),
    cert: file('PEM file with a client certificate (mTLS, RFC 8705)'),
    key: file('PEM file with its private key'),
  })
  .refine(({ cert, key }) => (cert === undefined) === (key === undefined), 'must have both cert and key, or neither')
  .optional();
