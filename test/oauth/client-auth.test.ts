import { describe, expect, it } from 'vitest';
import { CLIENT_AUTH, type ClientAuth } from '../../src/oauth/client-auth.ts';
import { Secret } from '../../src/secret.ts';

/** Characters that form encoding, base64 and the `:` between the parts all treat in their own way. */
const identity = { clientId: 'a:b', secret: new Secret('p%+ /ü@!&=') };

function apply(auth: ClientAuth): { form: URLSearchParams; headers: Record<string, string> } {
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  const headers: Record<string, string> = {};
  auth(identity, form, headers);
  return { form, headers };
}

describe('src/oauth/client-auth.ts', () => {
  it('client_secret_post puts id and secret into the form, and nothing into the headers', () => {
    const { form, headers } = apply(CLIENT_AUTH.client_secret_post);
    const read = new URLSearchParams(form.toString());
    expect([read.get('client_id'), read.get('client_secret')]).toEqual(['a:b', 'p%+ /ü@!&=']);
    expect(headers).toEqual({});
  });

  it('client_secret_basic form-encodes both parts before base64, and puts nothing into the form', () => {
    const { form, headers } = apply(CLIENT_AUTH.client_secret_basic);
    const pair = Buffer.from(String(headers['authorization']).replace(/^Basic /, ''), 'base64').toString('ascii');
    const [id = '', secret = '', ...rest] = pair.split(':');
    expect(rest).toEqual([]);
    expect([id, secret].map((part) => new URLSearchParams(`x=${part}`).get('x'))).toEqual(['a:b', 'p%+ /ü@!&=']);
    expect([...form.keys()]).toEqual(['grant_type']);
  });
});
