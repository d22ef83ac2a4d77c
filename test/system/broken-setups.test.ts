// Whoever looks at a broken set-up, wherever they look, is told what is wrong and what to do: the doctor, the log, the
// caller's response and the status page. 2 = cause and fix, 1 = half, 0 = neither.
import { readFileSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { BROKEN_SETUPS, type BrokenSetup } from '../support/broken-setups.ts';
import { describeWithOpenssl } from '../support/certificates.ts';
import { type Account, type Expected, look, type Seen, scoreOf, VIEWS, type View } from '../support/four-views.ts';
import { createPatient } from '../support/patient.ts';

/** Shorter than in earnest, so that what is silent is told to be so within seconds. */
const SHORT = { timeouts: { connect: '500ms', firstByte: '2s' }, token: { attemptTimeout: '600ms' } };

type Scores = Readonly<Record<View, number | undefined>>;
const table: { readonly what: string; readonly scores: Scores }[] = [];

function expectedOf(setup: BrokenSetup, view: View): Expected | string {
  return setup.views?.[view] ?? setup;
}

function scoresOf(setup: BrokenSetup, { accounts }: Seen): Scores {
  const score = (view: View) => {
    const expected = expectedOf(setup, view);
    return typeof expected === 'string' ? undefined : scoreOf(accounts[view] ?? [], expected);
  };
  return { check: score('check'), log: score('log'), response: score('response'), page: score('page') };
}

const isTold = (setup: BrokenSetup) => (view: View, said: readonly Account[]) => {
  const expected = expectedOf(setup, view);
  return typeof expected === 'string' || scoreOf(said, expected) === 2;
};

/** What the views say that say too little, for whoever mends it. */
function shortfalls(scores: Scores, { accounts }: Seen): string[] {
  return VIEWS.filter((view) => (scores[view] ?? 2) < 2).map(
    (view) => `${view} ${scores[view]}: ${JSON.stringify(accounts[view])?.slice(0, 3000)}`,
  );
}

describeWithOpenssl('a broken set-up', () => {
  afterAll(() => {
    const line = ({ what, scores }: (typeof table)[number]) =>
      `${what.padEnd(58)}${VIEWS.map((view) => String(scores[view] ?? '–').padEnd(9)).join(' ')}`;
    const head = `${''.padEnd(58)}${VIEWS.map((view) => view.padEnd(9)).join(' ')}`;
    const order = BROKEN_SETUPS.flatMap(({ what }) => table.filter((row) => row.what === what));
    process.stdout.write(`\n${[head, ...order.map(line)].join('\n')}\n`);
  });

  it.concurrent.each(BROKEN_SETUPS.filter(({ isPossible }) => isPossible?.() ?? true))(
    'is explained in every view: $what',
    async (setup) => {
      await using patient = await createPatient();
      Object.assign(patient.config, SHORT);
      await setup.harm(patient);
      const seen = await look(patient, setup.method ?? 'GET', isTold(setup));
      const scores = scoresOf(setup, seen);
      table.push({ what: setup.what, scores });
      expect(shortfalls(scores, seen)).toEqual([]);
      // A token is longer than what is random in the name of a folder.
      expect(/CANARY|PRIVATE KEY|\beyJ[\w-]{8}/.exec(seen.all)?.[0]).toBeUndefined();
    },
  );
});

it('docs/troubleshooting.md has a row for every cause that these set-ups lead to', () => {
  const rows = readFileSync(new URL('../../docs/troubleshooting.md', import.meta.url), 'utf8');
  const causes = BROKEN_SETUPS.flatMap((setup) =>
    VIEWS.map((view) => expectedOf(setup, view)).flatMap((one) => (typeof one === 'string' ? [] : (one.cause ?? []))),
  );
  expect(causes.length).toBeGreaterThan(100);
  expect([...new Set(causes)].filter((cause) => !rows.includes(`\`${cause}\``))).toEqual([]);
});
