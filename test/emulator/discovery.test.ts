import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type World } from './harness.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

describe('src/emulator/discovery.ts', () => {
  it('lists the fields in the order of IdentityServer, with endpoints under the origin asked', async () => {
    const response = await fetch(`${world.url}/.well-known/openid-configuration`);
    const document = (await response.json()) as Record<string, unknown>;
    expect(response.headers.get('content-type')).toBe('application/json; charset=UTF-8');
    expect(response.headers.has('cache-control')).toBe(false);
    expect(Object.keys(document).slice(0, 13)).toEqual([
      'issuer',
      'jwks_uri',
      'authorization_endpoint',
      'token_endpoint',
      'userinfo_endpoint',
      'end_session_endpoint',
      'check_session_iframe',
      'revocation_endpoint',
      'introspection_endpoint',
      'device_authorization_endpoint',
      'backchannel_authentication_endpoint',
      'pushed_authorization_request_endpoint',
      'require_pushed_authorization_requests',
    ]);
    expect(Object.keys(document).slice(17)).toEqual([
      'scopes_supported',
      'claims_supported',
      'grant_types_supported',
      'response_types_supported',
      'response_modes_supported',
      'token_endpoint_auth_methods_supported',
      'id_token_signing_alg_values_supported',
      'subject_types_supported',
      'code_challenge_methods_supported',
      'request_parameter_supported',
      'authorization_response_iss_parameter_supported',
    ]);
    expect(document).toMatchObject({
      issuer: world.url,
      token_endpoint: `${world.url}/connect/token`,
      scopes_supported: ['api', 'services.banking', 'services.iam', 'offline_access'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    });
  });

  it.each(['POST', 'HEAD', 'DELETE'])('answers 405 to %s', async (method) => {
    expect((await fetch(`${world.url}/.well-known/openid-configuration`, { method })).status).toBe(405);
    expect((await fetch(`${world.url}/.well-known/openid-configuration/jwks`, { method })).status).toBe(405);
  });

  it('publishes a 2048-bit key without its private half, which verifies the tokens', async () => {
    const document = (await (await fetch(`${world.url}/.well-known/openid-configuration`)).json()) as {
      jwks_uri: string;
    };
    const { keys } = (await (await fetch(document.jwks_uri)).json()) as { keys: [{ n: string }] };
    expect(Object.keys(keys[0])).toEqual(['kty', 'use', 'kid', 'e', 'n', 'alg']);
    expect(Buffer.from(keys[0].n, 'base64url')).toHaveLength(256);
    const verified = await jwtVerify(await world.token(), createRemoteJWKSet(new URL(document.jwks_uri)), {
      issuer: world.url,
      audience: 'aritma.api',
      typ: 'at+jwt',
      currentDate: new Date(world.clock.ms),
    });
    expect(verified.payload['client_id']).toBe('demo-erp');
  });

  it('has another key in every run', async () => {
    await using other = await createWorld();
    const read = async (url: string): Promise<string> =>
      (await fetch(`${url}/.well-known/openid-configuration/jwks`)).text();
    expect(await read(other.url)).not.toBe(await read(world.url));
  });
});
