/** Answers of the API that break off: row 24 and P03. */
import type { AttackRow } from '../../support/attack-row.ts';

const HEAD = 'HTTP/1.1 200 OK\r\n';
const PARTS = [
  ['a length', 'Content-Length: 100', 'half'],
  ['chunks', 'Transfer-Encoding: chunked', '4\r\nhalf\r\n'],
] as const;

const brokenOff = (
  version: string,
  [what, head, part]: readonly [string, string, string],
  fault: 'end' | 'resetAndDestroy',
): AttackRow => ({
  id: 'R24',
  name: `an answer with ${what} that breaks off (${fault}), to HTTP/${version}: an abort, no clean end, no hang`,
  naiveFails: true,
  async play(stage) {
    stage.upstream.script(({ socket }) => {
      socket.write(`${HEAD}${head}\r\n\r\n${part}`, () => setTimeout(() => socket[fault](), 20));
      return undefined;
    });
    const caller = await stage.send(`GET /api/x HTTP/${version}\r\nHost: {host}\r\n\r\n`);
    const ending = await stage.ended(caller);
    stage.check('it looks complete', ending === 'reset' || /content-length|transfer-encoding/i.test(caller.received));
    stage.check('it has an end', !caller.received.includes('\r\n0\r\n\r\n'));
    stage.check('it did not begin', caller.received.includes('half'));
  },
});

export const BROKEN_ANSWER_ROWS: readonly AttackRow[] = [
  ...['1.0', '1.1'].flatMap((version) =>
    PARTS.flatMap((part) => [brokenOff(version, part, 'end'), brokenOff(version, part, 'resetAndDestroy')]),
  ),
];
