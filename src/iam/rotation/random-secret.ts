/**
 * New client secrets.
 */
import { randomBytes } from 'node:crypto';
import { Secret } from '../../core/secret.ts';

/** 32 characters that no form, header or shell changes: 190 bits. Source: seed "OIDC Clients", 8 to 32 characters. */
export function randomSecret(): Secret {
  return new Secret(randomBytes(24).toString('base64url'));
}
