// What may get into a log line, and in which shape.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLog, type LogFields, type LogOptions, onceIn } from '../../src/core/log.ts';
import { Secret } from '../../src/core/secret.ts';

function collect(options: Omit<LogOptions, 'write'>) {
  const lines: string[] = [];
  return { lines, log: createLog({ ...options, write: (line) => lines.push(line) }) };
}

const ROOT = join(import.meta.dirname, '../..');

/** What a caller of the log who ignores the types can do. */
const forced = (fields: unknown) => fields as LogFields;

describe('log', () => {
  it('writes one JSON object a line with time, level, message and the fields', () => {
    const { lines, log } = collect({ level: 'info', format: 'json' });
    log.info('request', { status: 200, path: '/a\nb', replayed: true });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\{.*\}\n$/);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      message: 'request',
      status: 200,
      path: '/a\nb',
      replayed: true,
    });
  });

  it.each(['json', 'text'] as const)('drops fields without a place on the list, in %s', (format) => {
    const { lines, log } = collect({ level: 'debug', format });
    const planted = {
      authorization: 'CANARY',
      token: 'CANARY',
      body: 'CANARY',
      err: new Error('CANARY'),
      toJSON: () => 'CANARY',
    };
    for (const level of ['debug', 'info', 'warn', 'error'] as const) {
      log[level]('message', forced(planted));
      log[level]('message', forced(Object.create({ token: 'CANARY' })));
      log[level]('message', forced(new Error('CANARY')));
    }
    expect(lines).toHaveLength(12);
    expect(lines.join('')).not.toContain('CANARY');
  });

  it.each(['json', 'text'] as const)('writes no object that is forced into a field of the list, in %s', (format) => {
    const { lines, log } = collect({ level: 'info', format });
    const objects = [
      { token: 'CANARY' },
      ['CANARY'],
      new Error('CANARY'),
      Buffer.from('CANARY'),
      { toJSON: () => 'CANARY' },
    ];
    for (const reason of objects) log.info('message', forced({ reason }));
    log.info('message', forced({ secret: new Secret('CANARY') }));
    expect(lines).toHaveLength(objects.length + 1);
    expect(lines.join('')).not.toContain('CANARY');
    expect(lines.join('')).not.toContain(JSON.stringify([...Buffer.from('CANARY')]).slice(1, -1));
  });

  it('cannot have its own members overwritten by fields', () => {
    const { lines, log } = collect({ level: 'info', format: 'json' });
    log.info('real', forced({ level: 'debug', time: 'never', message: 'planted' }));
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', message: 'real' });
  });

  it.each([
    ['debug', 4],
    ['info', 3],
    ['warn', 2],
    ['error', 1],
    ['silent', 0],
  ] as const)('at level %s writes the lines that are as severe', (level, count) => {
    const { lines, log } = collect({ level, format: 'json' });
    log.debug('d');
    log.info('i');
    log.warn('w');
    log.error('e');
    expect(lines).toHaveLength(count);
  });

  it('as text is one line of printable characters, whatever a caller puts into path and method', () => {
    const { lines, log } = collect({ level: 'info', format: 'text' });
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary-ascii' }), (path, method) => {
        lines.length = 0;
        log.info('request', { path, method });
        expect(lines).toHaveLength(1);
        // C0 and C1 controls steer terminals; direction overrides and line separators disguise text.
        expect(lines[0]).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}](?!$)/u);
      }),
    );
  });

  it('as text keeps fields readable and apart', () => {
    const { lines, log } = collect({ level: 'info', format: 'text' });
    log.warn('request', { path: '/a b', status: 200, reason: 'x=y' });
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}request {2}path="\/a b" {2}status=200 {2}reason=x=y\n$/);
  });
});

describe('the log on standard output', () => {
  /** What a process writes that logs `lines` and then flushes; its reader begins when told to. */
  async function written(script: string): Promise<string> {
    const source = `import { createLog } from ${JSON.stringify(join(ROOT, 'src/core/log.ts'))};
      const log = createLog({ level: 'info', format: 'json' });
      ${script}
      await log.flush();`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  }

  it('has every line once and in order, whatever their characters and lengths', async () => {
    const output = await written(`for (let at = 0; at < 3000; at += 1) {
      const path = at % 100 === 7 ? 'x'.repeat(200_000) : 'bl\u00e5b\u00e6r \u20ac \ud83d\ude80'.repeat(at % 40);
      log.info('request', { status: at, path });
      if (at % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 60));
    }`);
    const lines = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { status: number; path: string });
    expect(lines.map(({ status }) => status)).toEqual([...Array(3000).keys()]);
    for (const { status, path } of lines)
      expect(path === (status % 100 === 7 ? 'x'.repeat(200_000) : 'blåbær € 🚀'.repeat(status % 40))).toBe(true);
  });

  it('counts the lines that nobody takes: each is written or lost, and none twice', async () => {
    const output = await written(`const long = 'x'.repeat(1000);
      // All at once, so that nobody can read meanwhile.
      for (let at = 0; at < 30_000; at += 1) log.info('request', { status: at, path: long });
      await new Promise((resolve) => setTimeout(resolve, 500));
      log.info('lost', { status: log.lost() });`);
    const lines = output.trimEnd().split('\n');
    const { message, status: lost } = JSON.parse(lines.pop() ?? '') as { message: string; status: number };
    expect([message, lost > 0]).toEqual(['lost', true]);
    expect(lines.length + lost).toBe(30_000);
  });

  it('writes what there is without being asked', async () => {
    expect(
      await written(`log.info('one'); await new Promise((resolve) => setTimeout(resolve, 300)); process.exit();`),
    ).toMatch(/"message":"one"\}\n$/);
  });
});

it('lets one line through in so many ms, the first at once', () => {
  let now = 5;
  const mayLog = onceIn(1000, () => now);
  expect([mayLog(), mayLog()]).toEqual([true, false]);
  now = 1004;
  expect(mayLog()).toBe(false);
  now = 1005;
  expect([mayLog(), mayLog()]).toEqual([true, false]);
});
