// Header policy both ways: what is dropped, what is noted for the gate, and that the rest keeps its bytes and order.
import { describe, expect, it } from 'vitest';
import { readRequestHead, readResponseHead } from '../../src/proxy/headers.ts';
import { collectGarbage } from '../support/garbage.ts';

const forwarded = (...raw: readonly string[]) => readRequestHead(raw).forward;

describe('src/proxy/headers.ts requests', () => {
  it('keeps order, case, repetition and empty values of what it forwards', () => {
    const lines = [
      'accept',
      '*/*',
      'X-b',
      '1',
      'x-A',
      '2',
      'X-B',
      '3',
      'COOKIE',
      'a=b',
      'Cookie',
      'c=d',
      'X-Empty',
      '',
    ];
    expect(forwarded(...lines)).toEqual(lines);
  });

  it.each(['_', '-_', '_-', 'a_'])('reads a name of 16 KB of %j in less time than anybody would notice', (unit) => {
    const name = `${unit.repeat(16_000 / unit.length)}a`;
    const times = Array.from({ length: 5 }, () => {
      const before = process.cpuUsage().user;
      expect(forwarded(name, 'x')).toEqual([name, 'x']);
      return process.cpuUsage().user - before;
    });
    expect(Math.min(...times)).toBeLessThan(20_000);
  });

  it.each([
    ['Authorization', 'Bearer evil'],
    ['AUTHORIZATION', 'Basic x'],
    ['Authorization_', 'Bearer evil'],
    ['authorization__', 'Bearer evil'],
    ['Proxy-Authorization', 'Basic x'],
    ['Proxy_Authorization', 'Basic x'],
    ['X-Sidecar-Key', 'k'],
    ['x_sidecar_key', 'k'],
    ['X-Sidecar-Error', 'X'],
    ['Keep-Alive', 'timeout=5'],
    ['Proxy-Connection', 'keep-alive'],
    ['TE', 'trailers'],
    ['Trailer', 'X'],
    ['Upgrade', 'websocket'],
    ['HTTP2-Settings', 'AAA'],
    ['Connection', 'keep-alive'],
    ['Host', 'x'],
    ['Host_', 'x'],
    ['Content-Length', '1'],
    ['Content_Length', '1'],
    ['Transfer-Encoding', 'chunked'],
    ['Transfer_Encoding', 'chunked'],
    ['Expect', '100-continue'],
    ['X-Request-Id', '1'],
    ['X_Request_Id', '1'],
  ])('never forwards %s: %s', (name, value) => {
    expect(forwarded('A', '1', name, value, 'B', '2')).toEqual(['A', '1', 'B', '2']);
  });

  it.each([
    ['in another case', ['Connection', 'X-A', 'x-a', '1']],
    ['among others', ['Connection', 'keep-alive, X-a ,close', 'X-A', '1']],
    ['on a second line', ['Connection', 'close', 'connection', 'x-a', 'X-A', '1', 'X-a', '2']],
    ['behind the field itself', ['X-A', '1', 'Connection', 'x-a']],
    ['among empty options', ['Connection', ', ,x-a,,', 'X-A', '1']],
  ])('drops what Connection names %s', (_case, lines) => {
    expect(forwarded('Y', '1', ...lines)).toEqual(['Y', '1']);
  });

  it('believes neither a length nor a coding nor a request id from a look-alike', () => {
    const head = readRequestHead([
      'Content_Length',
      '5',
      'Transfer_Encoding',
      'chunked',
      'X_Request_Id',
      'a',
      'Expect_',
      'x',
    ]);
    expect(head).toMatchObject({
      forward: [],
      contentLength: undefined,
      offersUpgrade: false,
      transferEncoding: undefined,
      requestId: undefined,
      expect: undefined,
    });
  });

  it('notes Host, length, coding and expectation without forwarding them', () => {
    const head = readRequestHead([
      'host',
      'a',
      'HOST',
      'b',
      'content-length',
      '5',
      'Transfer-Encoding',
      'x',
      'TRANSFER-ENCODING',
      'y',
      'Expect',
      'z',
    ]);
    expect(head).toMatchObject({
      hosts: ['a', 'b'],
      contentLength: '5',
      transferEncoding: 'x, y',
      expect: 'z',
      forward: [],
    });
  });

  it.each(['abc', 'a-b_c.d:e/f+g=', 'x'.repeat(128)])('takes over the request id %j', (id) => {
    expect(readRequestHead(['x-request-id', id]).requestId).toBe(id);
  });

  it.each(['', 'a b', 'a"b', 'a\u001b[31m', 'é', 'x'.repeat(129), 'a,b', '{}'])(
    'does not take over the request id %j',
    (id) => {
      expect(readRequestHead(['X-Request-Id', id])).toMatchObject({ requestId: undefined, forward: [] });
    },
  );

  it('survives field names that objects have of their own', () => {
    const lines = ['__proto__', 'a', 'constructor', 'b', 'hasOwnProperty', 'c', 'toString', 'd', '__PROTO__', 'e'];
    expect(forwarded(...lines)).toEqual(lines);
    expect(forwarded('Connection', '__proto__, constructor', '__proto__', 'a', 'constructor', 'b', 'x', 'c')).toEqual([
      'x',
      'c',
    ]);
  });

  it('keeps every byte from 0x80 up', () => {
    const bytes = Buffer.from(Array.from({ length: 128 }, (_, index) => 128 + index)).toString('latin1');
    expect(forwarded('X-Bytes', bytes)).toEqual(['X-Bytes', bytes]);
  });

  it('has nothing to say about no headers', () => {
    expect(readRequestHead([])).toEqual({
      authorizations: [],
      offersUpgrade: false,
      keys: [],
      forward: [],
      hosts: [],
      fromBrowser: false,
      navigates: false,
      forwarded: false,
      looped: false,
      expect: undefined,
      transferEncoding: undefined,
      contentLength: undefined,
      requestId: undefined,
    });
  });
});

/** An upstream's lines as undici hands them over. */
function answer(lines: readonly string[], status = 200) {
  return readResponseHead(
    lines.map((text) => Buffer.from(text, 'latin1')),
    status,
    'the-token',
  );
}

describe('the names that are remembered', () => {
  it('stay few, however many callers and APIs invent', () => {
    const read = (count: number) => {
      for (let index = 0; index < count; index += 1) {
        readRequestHead([`X-Request-Only-Name-Of-Some-Length-${index}`, '1']);
        readResponseHead([`X-Response-Only-Name-Of-Some-Length-${index}`, '1'], 200, 'token');
      }
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = read(2000);
    // 400,000 names of 40 characters would be some 40 MiB.
    expect(read(200_000) - before).toBeLessThan(4 * 1024 * 1024);
  });
});

describe('src/proxy/headers.ts answers', () => {
  it('keeps order, case and repetition, Set-Cookie above all', () => {
    const lines = ['set-cookie', 'a=1', 'X-b', '1', 'Set-Cookie', 'b=2', 'ETAG', '"x"', 'Content-Length', '4'];
    expect(answer(lines).headers).toEqual(lines);
  });

  it.each([
    ['Connection', 'close'],
    ['Keep-Alive', 'timeout=5'],
    ['Proxy-Authenticate', 'Basic'],
    ['Proxy-Connection', 'close'],
    ['TE', 'x'],
    ['Trailer', 'X-Sum'],
    ['Transfer-Encoding', 'chunked'],
    ['UPGRADE', 'h2c'],
    ['x-sidecar-error', 'TOKEN_UNAVAILABLE'],
  ])('never passes on %s: %s', (name, value) => {
    expect(answer(['A', '1', name, value, 'B', '2']).headers).toEqual(['A', '1', 'B', '2']);
  });

  it('drops what Connection names', () => {
    expect(answer(['X-A', '1', 'Connection', 'x-a, close', 'X-B', '2']).headers).toEqual(['X-B', '2']);
  });

  it.each([
    [200, true],
    [204, false],
    [205, true],
    [304, true],
  ])('on %i keeps Content-Length: %j', (status, kept) => {
    expect(answer(['Content-Length', '0'], status).headers).toEqual(kept ? ['Content-Length', '0'] : []);
  });

  it('collects every challenge and passes it on', () => {
    const lines = ['WWW-Authenticate', 'Bearer a', 'www-authenticate', 'Basic b'];
    expect(answer(lines, 401)).toMatchObject({ headers: lines, challenges: ['Bearer a', 'Basic b'] });
  });

  it('take out the token, wherever and however often the API repeats it', () => {
    const lines = ['X-Echo', 'Bearer the-token', 'Set-Cookie', 'a=the-token; b=the-token', 'X-Other', 'canary'];
    const hidden = ['X-Echo', 'Bearer [token]', 'Set-Cookie', 'a=[token]; b=[token]', 'X-Other', 'canary'];
    expect(answer(lines).headers).toEqual(hidden);
  });

  it.each([
    ['X-the-token', '1', 'x-*token*', '1'],
    ['X-THE-TOKEN-the-Token', '1', 'x-*token*-*token*', '1'],
    ['the-token', 'the-token', '*token*', '[token]'],
    ['Location', '/x?next=Bearer%20the-token&y', 'Location', '/x?next=Bearer%20[token]&y'],
    ['Location', '/x?next=the%2Dtoken&y', 'Location', '[token]'],
    ['Location', '/x?next=%74he-%74oken', 'Location', '[token]'],
    ['Location', '/100%/x%zz', 'Location', '/100%/x%zz'],
    ['X-the-toke', 'the-toke', 'X-the-toke', 'the-toke'],
  ])('make %s: %s into %s: %s', (name, value, maskedName, maskedValue) => {
    expect(answer([name, value]).headers).toEqual([maskedName, maskedValue]);
  });

  it('knows whether the API gave a request id of its own', () => {
    expect(answer(['x-Request-ID', 'api-1'])).toMatchObject({ headers: ['x-Request-ID', 'api-1'], hasRequestId: true });
    expect(answer(['X-Request', 'api-1']).hasRequestId).toBe(false);
  });

  it('keeps every byte from 0x80 up', () => {
    const bytes = Buffer.from(Array.from({ length: 128 }, (_, index) => 128 + index)).toString('latin1');
    expect(answer(['X-Bytes', bytes]).headers).toEqual(['X-Bytes', bytes]);
  });

  it('survives field names that objects have of their own', () => {
    const lines = ['__proto__', 'a', 'constructor', 'b'];
    expect(answer(lines).headers).toEqual(lines);
  });
});

describe('the head of a response that arrived in several pieces', () => {
  // Memory of their own, with the middle one at a place that exists in the other, too.
  const ownMemory = (text: string) => {
    const bytes = Buffer.allocUnsafeSlow(text.length);
    bytes.write(text);
    return bytes;
  };
  const whole = ownMemory('Date: now, Content-Type: text/plain');
  const [date, now, type, plain] = [
    whole.subarray(0, 4),
    whole.subarray(6, 9),
    whole.subarray(11, 23),
    whole.subarray(25),
  ];
  const apart = ownMemory('......X-Apart: alone').subarray(6);

  it.each([
    ['one buffer', [date, now, type, plain]],
    ['another buffer in the middle', [date, now, apart.subarray(0, 7), apart.subarray(9), type, plain]],
    ['another buffer first', [apart.subarray(0, 7), apart.subarray(9), date, now]],
    ['another buffer last', [date, now, apart.subarray(0, 7), apart.subarray(9)]],
    ['one buffer, in another order', [type, plain, date, now]],
  ])('is read as it was sent: %s', (_name, raw) => {
    expect(readResponseHead(raw, 200, 'a-token').headers).toEqual(raw.map((part) => part.toString('latin1')));
  });
});
