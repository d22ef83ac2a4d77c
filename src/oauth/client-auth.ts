/**
 * The ways a client proves who it is at the token endpoint (RFC 6749 §2.3.1), as functions of one type that know
 * nothing of each other. Each changes only the form or only the headers: never two methods in one request.
 */
import type { Secret } from '../secret.ts';

export interface ClientIdentity {
  readonly clientId: string;
  readonly secret: Secret;
}

/** Adds the proof to an outgoing token request. */
export type ClientAuth = (identity: ClientIdentity, form: URLSearchParams, headers: Record<string, string>) => void;

export const CLIENT_AUTH = {
  client_secret_post({ clientId, secret }, form) {
    form.set('client_id', clientId);
    form.set('client_secret', secret.reveal());
  },
  /** Both parts are form-encoded before base64 (RFC 6749 App. B), so `:` and `%` in them survive. */
  client_secret_basic({ clientId, secret }, _form, headers) {
    const pair = `${formEncode(clientId)}:${formEncode(secret.reveal())}`;
    headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`;
  },
} as const satisfies Record<string, ClientAuth>;

function formEncode(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}
