/** Which origins go through the company's proxy, in every spelling of NO_PROXY. */
import { describe, expect, it } from 'vitest';
import { readProxy } from '../../src/config/environment.ts';
import { parseBaseUrl } from '../../src/config/parsers.ts';
import type { Problem } from '../../src/config/problems.ts';
import { Secret } from '../../src/core/secret.ts';
import { proxyFor, proxyHost } from '../../src/net/outbound-proxy.ts';

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
    ['https://bank.test', 'bank.test.'],
    ['https://bank.test', ' bank.test ,'],
    ['https://bank.test', 'a.test,*'],
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

describe('HTTPS_PROXY and its kin', () => {
  const read = (env: Readonly<Record<string, string>>) => {
    const problems: Problem[] = [];
    const settings = readProxy(env, problems);
    return {
      https: settings?.https && proxyHost(settings.https),
      http: settings?.http && proxyHost(settings.http),
      problems,
    };
  };

  it.each([
    ['http://proxy.test:3128', 'proxy.test:3128'],
    ['proxy.test:3128', 'proxy.test:3128'],
    ['proxy.test', 'proxy.test'],
    ['proxy.test:3128/', 'proxy.test:3128'],
    ['HTTP://proxy.test:3128/', 'proxy.test:3128'],
    ['https://proxy.test:3129', 'proxy.test:3129'],
    ['erp:pa%40ss@proxy.test:3128', 'proxy.test:3128'],
    ['erp@proxy.test:3128', 'proxy.test:3128'],
    ['10.0.0.1:3128', '10.0.0.1:3128'],
    ['[fd00::5]:3128', '[fd00::5]:3128'],
    ['http://[fd00::5]:3128', '[fd00::5]:3128'],
    [' proxy.test:3128\n', 'proxy.test:3128'],
    ['localhost:3128', 'localhost:3128'],
  ])('%s leads to the proxy at %s, by either name', (value, host) => {
    expect(read({ HTTPS_PROXY: value })).toMatchObject({ https: host, http: undefined, problems: [] });
    expect(read({ https_proxy: value })).toMatchObject({ https: host, http: undefined, problems: [] });
    expect(read({ http_proxy: value, HTTPS_PROXY: '' })).toMatchObject({ https: undefined, http: host, problems: [] });
  });

  it.each([
    'socks5://proxy.test:1080',
    'ftp://proxy.test',
    'proxy.test:99999',
    'proxy.test:port',
    'http:/proxy.test:3128',
    'http:proxy.test:3128',
    '//proxy.test:3128',
    'proxy.test:3128/path',
    'fd00::5',
    'CANARY:pa%ss@proxy.test:3128',
    'CANARY:a/b@proxy.test:3128',
    'C:\\proxy',
    '=proxy test',
    'http://',
  ])('%s is refused without being quoted', (value) => {
    const { https, problems } = read({ HTTPS_PROXY: value });
    expect([https, problems.map(({ where }) => where)]).toEqual([undefined, ['environment variable HTTPS_PROXY']]);
    expect(JSON.stringify(problems)).not.toContain('CANARY');
  });

  it('is no proxy where it is empty', () => {
    expect(readProxy({ HTTPS_PROXY: '', https_proxy: ' ', NO_PROXY: '*' }, [])).toBeUndefined();
  });
});
