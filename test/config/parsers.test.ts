// What is taken for a URL, an address, a duration and a size, and that refusals never repeat what was written.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isLoopback, parseAddress, parseBaseUrl, parseDurationMs, parseSizeBytes } from '../../src/config/parsers.ts';

/** The longest a timer of the runtime can wait; anything beyond fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

describe('config/values', () => {
  it.each([
    ['https://id.aritma.io', 'https://id.aritma.io', ''],
    ['https://id.aritma.io/', 'https://id.aritma.io', ''],
    ['https://banking.zdata.io/api', 'https://banking.zdata.io', '/api'],
    ['https://banking.zdata.io/api/', 'https://banking.zdata.io', '/api'],
    ['https://banking.zdata.io:8443/a/b.c', 'https://banking.zdata.io:8443', '/a/b.c'],
    ['https://banking.zdata.io:443/x', 'https://banking.zdata.io', '/x'],
    ['http://[::1]:7100/x', 'http://[::1]:7100', '/x'],
    ['http://127.0.0.1:7100', 'http://127.0.0.1:7100', ''],
    ['https://xn--bcher-kva.example', 'https://xn--bcher-kva.example', ''],
  ])('parses the URL %s', (text, origin, basePath) => {
    expect(parseBaseUrl(text)).toMatchObject({ origin, basePath });
  });

  it.each([
    'https://user:CANARY@host/',
    'https://CANARY@host/',
    'https://host/?CANARY=1',
    'https://host/#CANARY',
    'https://HOST-CANARY/',
    'HTTPS://canary/',
    'https://canary./',
    'https://bücher-canary.example/',
    'https://host\\@canary/',
    'https://host/a/../CANARY',
    'https://host/a//CANARY',
    'https://host/%2e%2e/CANARY',
    'https://host:0/CANARY',
    'https://host:99999/CANARY',
    'https://0x7f.1/CANARY',
    'https://127.1/CANARY',
    'https://[::ffff:127.0.0.1]/CANARY',
    ' https://host/CANARY',
    'https://host/CANARY ',
    'https://host/CANARY\n',
    'https://ho\tst/CANARY',
    'ftp://host/CANARY',
    'file:///CANARY',
    '//host/CANARY',
    'host/CANARY',
    'javascript:CANARY',
    '',
  ])('refuses the URL %j without repeating it', (text) => {
    expect(() => parseBaseUrl(text)).toThrow(/^must (be an http or https URL|have a host in|have a plain path)/);
    expect(() => parseBaseUrl(text)).not.toThrow(/canary/i);
  });

  it('connects to what is written and nothing else, whatever is written', () => {
    const part = fc.string({ unit: 'grapheme', maxLength: 12 });
    fc.assert(
      fc.property(
        fc.oneof(
          part,
          fc.webUrl(),
          fc.tuple(part, part).map(([a, b]) => `https://${a}/${b}`),
        ),
        (text) => {
          let parsed: ReturnType<typeof parseBaseUrl>;
          try {
            parsed = parseBaseUrl(text);
          } catch {
            return;
          }
          const url = new URL(parsed.origin + parsed.basePath);
          expect(url.origin).toBe(parsed.origin);
          expect(url.pathname.replace(/\/$/, '')).toBe(parsed.basePath);
          expect(text.startsWith(`${url.protocol}//${parsed.hostname}`)).toBe(true);
        },
      ),
    );
  });

  it.each([
    ['127.0.0.1:7080', { kind: 'tcp', host: '127.0.0.1', port: 7080 }],
    ['[::1]:0', { kind: 'tcp', host: '::1', port: 0 }],
    ['LOCALHOST:65535', { kind: 'tcp', host: 'localhost', port: 65_535 }],
    ['unix:/run/a b.sock', { kind: 'unix', path: '/run/a b.sock' }],
  ])('parses the address %s', (text, address) => {
    expect(parseAddress(text)).toEqual(address);
  });

  it.each([
    '7080',
    ':7080',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '::1:7080',
    '[127.0.0.1]:7080',
    '[::1]',
    'http://127.0.0.1:7080',
    'host:80 ',
    'unix:',
    'unix:a\0b',
    '',
  ])('refuses the address %j and says what is allowed', (text) => {
    expect(() => parseAddress(text)).toThrow(/^must (be host:port|have a path after unix:)/);
  });

  it.each(['unix:\\\\.\\pipe\\aritma', 'unix:\\\\?\\pipe\\aritma'])('takes the named pipe %s on Windows', (text) => {
    expect(parseAddress(text, 'win32')).toEqual({ kind: 'unix', path: text.slice('unix:'.length) });
  });

  it.each(['unix:C:\\run\\aritma.sock', 'unix:/run/aritma.sock', 'unix:\\\\.\\pipe\\', 'unix:\\\\host\\pipe\\x'])(
    'says what to write instead of %s on Windows',
    (text) => {
      expect(() => parseAddress(text, 'win32')).toThrow('must be a named pipe on Windows');
    },
  );

  it.each(['localhost', '127.0.0.1', '127.255.255.254', '::1', '[::1]'])('takes %s for this machine', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(['0.0.0.0', '::', '10.0.0.1', '127.evil.example', 'localhost.evil.example', '127.1', '128.0.0.1', ''])(
    'takes %j for another machine',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );

  it('counts durations and sizes', () => {
    expect(['0s', '500ms', '30s', '5m', '1h', '2d'].map(parseDurationMs)).toEqual([
      0, 500, 30_000, 300_000, 3_600_000, 172_800_000,
    ]);
    expect(['0B', '512B', '64KiB', '1MiB', '1GiB'].map(parseSizeBytes)).toEqual([
      0, 512, 65_536, 1_048_576, 1_073_741_824,
    ]);
  });

  it.each(['', '5', '5 s', '-5s', '1.5h', '5S', '5sec', '1e3s', '٥s', '5s5s', '9999999999s'])(
    'refuses the duration %j and says what is allowed',
    (text) => {
      expect(() => parseDurationMs(text)).toThrow(/^must be a whole number with a unit: 500ms/);
    },
  );

  it.each(['', '5', '64kb', '64KB', '64 KiB', '-1B', '1TiB'])(
    'refuses the size %j and says what is allowed',
    (text) => {
      expect(() => parseSizeBytes(text)).toThrow(/^must be a whole number with a unit: 512B/);
    },
  );

  it('accepts no duration that a timer would take for none at all', () => {
    fc.assert(
      fc.property(fc.nat(999_999_999), fc.constantFrom('ms', 's', 'm', 'h', 'd'), (count, unit) => {
        let ms = 0;
        try {
          ms = parseDurationMs(`${count}${unit}`);
        } catch {
          return;
        }
        expect(ms).toBeLessThanOrEqual(MAX_TIMER_MS);
      }),
    );
  });
});

describe('what is written without its unit, or with another spelling', () => {
  it.each([
    ['5', '; write 5s'],
    ['5000', '; write 5000ms'],
    ['5 seconds', '; write 5s'],
    ['5S', '; write 5s'],
    ['2min', '; write 2m'],
    ['1hour', '; write 1h'],
    ['soon', ''],
    ['5 fortnights', ''],
    ['5constructor', ''],
    ['1234567890', ''],
  ])('is told what to write for the duration %j', (text, said) => {
    expect(() => parseDurationMs(text)).toThrow(new Error(`${DURATION_WORDS}${said}`));
  });

  it.each([
    ['65536', '; write 65536B'],
    ['64kb', '; write 64KiB'],
    ['64 KB', '; write 64KiB'],
    ['1m', '; write 1MiB'],
    ['1GB', '; write 1GiB'],
    ['much', ''],
  ])('is told what to write for the size %j', (text, said) => {
    expect(() => parseSizeBytes(text)).toThrow(new Error(`${SIZE_WORDS}${said}`));
  });

  it.each([
    [':7080', '; write 127.0.0.1:7080'],
    ['7080', '; write 127.0.0.1:7080'],
    ['localhost', '; add a port, as in 127.0.0.1:7080'],
    ['http://127.0.0.1:7080', '; remove http:// and everything after the port'],
    ['::1', '; put the address in brackets, as in [::1]:7080'],
    ['127.0.0.1:99999', ''],
    ['a b', ''],
  ])('is told what to write for the address %j', (text, said) => {
    expect(() => parseAddress(text)).toThrow(new Error(`${ADDRESS_WORDS}${said}`));
  });
});

const DURATION_WORDS = 'must be a whole number with a unit: 500ms, 30s, 5m, 1h or 2d';
const SIZE_WORDS = 'must be a whole number with a unit: 512B, 64KiB, 1MiB or 1GiB';
const ADDRESS_WORDS = 'must be host:port, [IPv6 address]:port or unix:/path, with a port from 0 to 65535';
