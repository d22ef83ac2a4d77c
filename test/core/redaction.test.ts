import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRedactor, maskPathIds } from '../../src/core/redaction.ts';
import { Secret } from '../../src/core/secret.ts';
import { leaksOf } from '../support/leaks.ts';

/** Where a value may stand, by the form that it has there. */
const PLACES: Readonly<Record<string, (value: string) => string>> = {
  'as it is': (value) => `before ${value} after`,
  'without a gap': (value) => `id${value}0`,
  'in JSON': (value) => JSON.stringify({ message: `x ${value} y` }),
  'in JSON in JSON': (value) => JSON.stringify({ line: JSON.stringify({ value }) }),
  'percent-encoded': (value) => `https://id.example/path/${encodeURIComponent(value)}/end`,
  'percent-encoded in small letters': (value) =>
    encodeURIComponent(value).replace(/%../g, (code) => code.toLowerCase()),
  'form-encoded': (value) => `grant=x&${new URLSearchParams({ name: value })}&scope=y`,
  'percent-encoded, every byte': (value) => Buffer.from(value).toString('hex').replace(/../g, '%$&'),
  reversed: (value) => `<${[...value].reverse().join('')}>`,
  base64: (value) => Buffer.from(value).toString('base64'),
  'base64 behind one character': (value) => Buffer.from(`:${value}`).toString('base64'),
  'base64 in the middle': (value) => Buffer.from(`user-7:${value} and more`).toString('base64'),
  'base64 behind two characters': (value) => Buffer.from(`a:${value}!`).toString('base64url'),
  hexadecimal: (value) => Buffer.from(value).toString('hex'),
  'cut off': (value) => `the token comes from ${value.slice(0, -3)}…, and more`,
};

const values = fc.string({ unit: fc.constantFrom(...'ABCxyz019-_.~"\\/+=%&:;<>{}$'), minLength: 12, maxLength: 60 });

describe('a redacted text', () => {
  it('contains a known secret in no encoding, wherever in the text it was', async () => {
    const property = fc.asyncProperty(values, async (value) => {
      const redact = createRedactor([new Secret(`Bearer ${value}`)]);
      for (const [name, place] of Object.entries(PLACES)) {
        const clean = await redact(place(value));
        expect(leaksOf(clean, value), `${name}: ${clean}`).toEqual([]);
      }
    });
    await fc.assert(property, { numRuns: 200 });
  });

  it('keeps these values for a redactor that only replaces the value itself', () => {
    const value = 'x"9-some/secret+value';
    const kept = Object.entries(PLACES).filter(([, place]) => {
      return leaksOf(place(value).replaceAll(value, '[secret]'), value).length > 0;
    });
    expect(kept.length).toBeGreaterThanOrEqual(Object.keys(PLACES).length - 2);
  });

  it('has no line of a key of many lines', async () => {
    const lines = Array.from({ length: 4 }, (_, index) => `MIIline${index}${'k'.repeat(50)}`);
    const redact = createRedactor([new Secret(lines.join('\n'))]);
    expect(await redact(`only one: ${lines[2]}`)).toBe('only one: [secret]');
  });

  it('keeps words that a very short secret is part of', async () => {
    const redact = createRedactor([new Secret('abc')]);
    expect(await redact('abcess abc "abc"')).toBe('abcess [secret] "[secret]"');
  });

  it.each([
    ['eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln', '[token]'],
    ['Authorization: Bearer opaque-1234', 'Authorization: Bearer [secret]'],
    ['"authorization":"Basic dXNlcjpwYXNz"', '"authorization":"Basic [secret]"'],
    ['https://user:pa%20ss@proxy:3128/x', 'https://[secret]@proxy:3128/x'],
    ['/accounts/x?iban=NO9386011117947 and', '/accounts/x?[query] and'],
    ['client_secret=hunter2&scope=api', 'client_secret=[secret]&scope=api'],
    ['{"access_token":"opaque"}', '{"access_token":"[secret]"}'],
    ['X-Api-Key: 12345', 'X-Api-Key: [secret]'],
    ['"said":"{\\"password\\":\\"hunter2\\"}"', '"said":"{\\"password\\":\\"[secret]\\"}"'],
    ['"said":"url=/a/b?iban=NO93"', '"said":"url=/a/b?[query]"'],
    ['a?x/y?z=1', 'a?x/y?[query]'],
    ['a\n-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\nb', 'a\n[pem]\nb'],
    ['left over: aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF', 'left over: [long value]'],
  ])('replaces what looks like a secret: %s', async (text, clean) => {
    expect(await createRedactor([])(text)).toBe(clean);
  });

  it.each([
    'the API does not ask for a bearer token: it expects HTTP Basic authentication',
    'auth: client_secret_post, password:\n  file: /run/secrets/store',
    '"hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
    'GET /accounts/** is allowed? yes',
    '"requestId":"0f8fad5b-d9cb-469f-a165-70867728950e"',
    'aritma_sidecar_token_request_duration_seconds_bucket{le="0.01",credential="default"} 0',
    'tried: secret 1 (fingerprint 89f48061)',
  ])('keeps what only reads like it: %s', async (text) => {
    expect(await createRedactor([])(text)).toBe(text);
  });
});

describe('a text of a quarter of a MiB', () => {
  const SIZE = 256 * 1024;
  const lines = (line: string) => line.repeat(Math.ceil(SIZE / line.length));
  const secret = new Secret('9jK2mN5p+Q8sT1vW4/yZ7bC0dFaB3dE6gH9jK2mN5p=');

  it.each([
    ['in which one word is cut', `${lines('{"level":"info","path":"/api/accounts"}\n')}x…`],
    ['in which nearly everything is cut', lines('9jK2…')],
    ['that is one path', lines('/a')],
    ['that is one name of a host', lines('a.')],
    ['of backslashes', lines('password\\')],
  ])('%s is redacted without keeping the process busy for long', async (_, text) => {
    const started = performance.now();
    await createRedactor([secret])(text);
    maskPathIds(`{"path":"${text}`);
    // Some tens of ms; a pattern that begins anew at each character takes many times as long as this.
    expect(performance.now() - started).toBeLessThan(700);
  });
});

describe('a value that is cut off', () => {
  const value = `PLANT${'x1-'.repeat(120)}`;

  it.each([[10], [250], [value.length - 1]])('is not in the text with its first %i characters', async (length) => {
    const text = `a PLANTx PLA… ${value.slice(0, length)}…${value.slice(0, length)}… b`;
    expect(await createRedactor([new Secret(value)])(text)).toBe('a PLANTx PLA… [secret]…[secret]… b');
  });
});

describe('a path in a log line', () => {
  it('is masked also behind a quotation mark or a backslash', () => {
    for (const path of ['/pay/x"NO9386011117947', '/pay/x\\NO9386011117947/"1"', '/pay/"']) {
      const line = JSON.stringify({ path, status: 200 });
      expect(maskPathIds(line)).toMatch(/^\{"path":"\/pay\/\[id\](?:\/\[id\])?","status":200\}$/);
      expect(maskPathIds(`path=${JSON.stringify(path)}  x`)).toMatch(/^path="\/pay\/\[id\](?:\/\[id\])?" {2}x$/);
    }
  });

  it.each([
    ['/banking/v1/accounts/NO9386011117947/transactions', '/banking/v1/accounts/[id]/transactions'],
    ['/payments/0f8fad5b-d9cb-469f-a165-70867728950e', '/payments/[id]'],
    ['/customers/Ola%20Nordmann/', '/customers/[id]/'],
    ['/x/ola@nordmann.example', '/x/[id]'],
  ])('has only plain words: %s', (path, clean) => {
    expect(maskPathIds(`{"route":"/a1b2c3","path":"${path}","status":200}`)).toBe(
      `{"route":"/a1b2c3","path":"${clean}","status":200}`,
    );
    expect(maskPathIds(`GET  path=${path}  status=200`)).toBe(`GET  path=${clean}  status=200`);
  });
});
