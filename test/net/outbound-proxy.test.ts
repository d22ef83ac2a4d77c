/** Which origins go through the company's proxy, in every spelling of NO_PROXY. */
import { describe, expect, it } from 'vitest';
import { parseBaseUrl } from '../../src/config/parsers.ts';
import { Secret } from '../../src/core/secret.ts';
import { proxyFor } from '../../src/net/outbound-proxy.ts';

const https = new Secret('http://proxy.test:3128');
const http = new Secret('http://plain-proxy.test:3128');

const usesProxy = (url: string, noProxy: string) =>
  proxyFor(parseBaseUrl(url), { https, http: undefined, noProxy }) !== undefined;

describe('src/net/outbound-proxy.ts', () => {
  it('takes the proxy of the scheme, and none where only the other scheme has one', () => {
    const of = (url: string, settings: { https?: Secret; http?: Secret }) =>
      proxyFor(parseBaseUrl(url), { https: undefined, http: undefined, noProxy: '', ...settings });
    expect(of('https://bank.test', { https, http })).toBe(https);
    expect(of('http://bank.test', { https, http })).toBe(http);
    expect(of('https://bank.test', { http })).toBeUndefined();
    expect(of('http://bank.test', { https })).toBeUndefined();
    expect(proxyFor(parseBaseUrl('https://bank.test'), undefined)).toBeUndefined();
  });

  it.each(['https://localhost', 'https://127.0.0.1:8443', 'https://127.9.9.9', 'https://[::1]'])(
    'connects directly to %s, which is this machine',
    (url) => expect(usesProxy(url, '')).toBe(false),
  );

  it.each([
    ['https://bank.test', '*'],
    ['https://bank.test', 'bank.test'],
    ['https://bank.test', 'BANK.test'],
    ['https://api.bank.test', 'bank.test'],
    ['https://api.bank.test', '.bank.test'],
    ['https://api.bank.test', '*.bank.test'],
    ['https://bank.test', 'a.test, bank.test'],
    ['https://bank.test', 'a.test bank.test'],
    ['https://bank.test', 'bank.test:443'],
    ['https://bank.test:8443', 'bank.test:8443'],
    ['https://10.1.2.3', '10.1.2.3'],
    ['https://10.1.2.3', '10.0.0.0/8'],
    ['https://10.1.2.3:8443', '10.1.2.3:8443'],
    ['https://[fd00::5]', 'fd00::5'],
    ['https://[fd00::5]', '[fd00::5]:443'],
    ['https://[fd00::5]', 'fd00::/8'],
    ['https://10.1.2.3', '::ffff:10.1.2.3'],
    ['https://[::ffff:a01:203]', '10.1.2.3'],
    ['https://[::ffff:a01:203]', '10.0.0.0/8'],
  ])('connects directly to %s when NO_PROXY is %s', (url, noProxy) => expect(usesProxy(url, noProxy)).toBe(false));

  it.each([
    ['https://bank.test', ''],
    ['https://bank.test', ',, ,'],
    ['https://bank.test', 'api.bank.test'],
    ['https://evilbank.test', 'bank.test'],
    ['https://bank.test.example', 'bank.test'],
    ['https://bank.test', 'bank.test:8443'],
    ['https://10.1.2.3', '10.1.2.30'],
    ['https://10.1.2.3', '.1.2.3'],
    ['https://10.1.2.3', '11.0.0.0/8'],
    ['https://10.1.2.3', '10.0.0.0/99'],
    ['https://10.1.2.3', '10.0.0.0/x'],
    ['https://bank.test', '10.0.0.0/8'],
    ['https://[fd00::5]', 'fe80::/10'],
  ])('goes through the proxy to %s when NO_PROXY is "%s"', (url, noProxy) =>
    expect(usesProxy(url, noProxy)).toBe(true),
  );
});
