/** Who is calling, by key: which proofs count, and that everything else is refused alike. */
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { createAdmission } from '../../src/proxy/admission.ts';
import { createIdentify } from '../../src/proxy/caller-auth.ts';
import { readRequestHead } from '../../src/proxy/headers.ts';

const OLD = 'old-key-of-the-erp-0000';
const NEW = 'new-key-of-the-erp-1111';
const REPORTS = 'key-of-the-reports-2222';
const identify = createIdentify({
  keys: new Map([
    ['erp', [new Secret(OLD), new Secret(NEW)]],
    ['reports', [new Secret(REPORTS)]],
  ]),
});
const basic = (pair: string) => `Basic ${Buffer.from(pair, 'latin1').toString('base64')}`;
const who = (keys: readonly string[], authorizations: readonly string[] = []) => {
  try {
    return identify?.({ keys, authorizations });
  } catch (error) {
    return (error as { code?: string }).code;
  }
};

describe('src/proxy/caller-auth.ts', () => {
  it.each([
    ['the first of its keys', [OLD], [], 'erp'],
    ['the second of its keys', [NEW], [], 'erp'],
    ['the key of another caller', [REPORTS], [], 'reports'],
    ['its key as Basic password', [], [basic(`erp:${NEW}`)], 'erp'],
    [
      'its key as Basic password, whatever the case of the scheme',
      [],
      [`bAsIc  ${basic(`erp:${NEW}`).slice(6)}`],
      'erp',
    ],
    ['its key in the header of ours and other credentials in Authorization', [OLD], ['Bearer x'], 'erp'],
  ])('knows a caller by %s', (_how, keys, authorizations, name) => {
    expect(who(keys, authorizations)).toBe(name);
  });

  it.each([
    ['nothing', [], []],
    ['an empty key', [''], []],
    ['a wrong key', ['wrong-key-of-the-erp-000'], []],
    ['the beginning of a key', [OLD.slice(0, -1)], []],
    ['a key with something behind it', [`${OLD} `], []],
    ['two key lines, one of them right', [OLD, 'x'], []],
    ['two key lines, both right', [OLD, NEW], []],
    ['a wrong key and a right Basic password', ['wrong'], [basic(`erp:${NEW}`)]],
    ['a Basic password of another user', [], [basic(`reports:${NEW}`)]],
    ['a Basic password without a user', [], [basic(`:${NEW}`)]],
    ['a Basic pair without a colon', [], [basic(NEW)]],
    ['two Authorization lines', [], [basic(`erp:${NEW}`), basic(`erp:${NEW}`)]],
    ['a Basic value that is no base64', [], [`Basic erp:${NEW}`]],
    ['a Bearer token', [], [`Bearer ${NEW}`]],
  ])('refuses a caller that shows %s', (_what, keys, authorizations) => {
    expect(who(keys, authorizations)).toBe('CALLER_KEY');
  });

  it('asks nobody for a key when there are none, and takes the name of the certificate', () => {
    const open = createIdentify({ keys: new Map() });
    const routes = [{ path: '/', basePath: '', allow: undefined }];
    const admit = createAdmission({ routes, hosts: new Set(['h']), allowForwarded: false, identify: open });
    const callerWith = (certificate: string | undefined, key: readonly string[]) => {
      const line = { method: 'GET', target: '/', httpVersion: '1.1', headerCount: 1, secure: true, certificate };
      return admit(line, readRequestHead(['Host', 'h', ...key])).caller;
    };
    expect(callerWith(undefined, ['X-Sidecar-Key', 'x'])).toBe('anyone');
    expect(callerWith('erp-1', [])).toBe('erp-1');
  });
});
