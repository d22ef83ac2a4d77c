/**
 * Tries whether the store lets this user do what a member does: runs each script to its end, in all its ways, against names
 * that no member uses, and removes them.
 */
import { randomBytes } from 'node:crypto';
import type { Inspection } from '../fleet/inspection.ts';
import { faultOf } from '../fleet/store-fault.ts';
import { FINDING, type Finding } from './finding.ts';

/** Long enough for all steps; names that could not be removed are gone by then. */
const LIFE_MS = '5000';

/** Returns one finding: the first step that fails, or that none does. Never rejects for what the store says. */
export async function rightsFinding(store: Inspection): Promise<Finding> {
  const names = namesUnder(`${store.prefix}:{check-${randomBytes(4).toString('hex')}}`);
  let step = '';
  try {
    for (const [what, run] of steps(store, names)) {
      step = what;
      await run();
    }
    return FINDING.ok('fleet', 'this user may do all that a member does');
  } catch (error) {
    const { cause, problem, fix } = error instanceof Unexpected ? DENIED : faultOf(error);
    return FINDING.warning('fleet', 'CONFIG_INVALID', {
      ...{ cause: `fleet_${cause}`, message: `${problem} (tried to ${step}); so the fleet shares nothing`, fix },
    });
  } finally {
    await store.ask('DEL', ...Object.values(names)).catch(() => undefined);
  }
}

const DENIED = faultOf(new Error('NOPERM'));

/** A script ran, but not as for a member: it goes on after some refused commands. */
class Unexpected extends Error {}

type Names = ReturnType<typeof namesUnder>;

function namesUnder(begin: string) {
  const name = (what: string) => `${begin}:${what}`;
  return {
    ...{ token: name('token'), lock: name('lock'), generation: name('generation'), verdict: name('verdict') },
    ...{ times: name('times'), details: name('details'), since: name('since') },
    ...{ heardTimes: name('heardTimes'), heard: name('heard') },
    ...{ journal: name('journal'), lease: name('lease') },
  };
}

type Steps = readonly (readonly [what: string, run: () => Promise<void>])[];

const channelOf = ({ prefix }: Inspection) => `${prefix}:news`;

async function done(reply: Promise<unknown>, wanted: number): Promise<void> {
  if ((await reply) !== wanted) throw new Unexpected();
}

/** In the order of a token's life: claimed, stored, looked up, claimed again, given up. */
function steps(store: Inspection, names: Names): Steps {
  const { token, lock, generation, verdict } = names;
  const channel = channelOf(store);
  const acquire = async (known: string, wanted: string) => {
    const args = [known, 'check', LIFE_MS, LIFE_MS, '', ''];
    const reply = (await store.run('acquire', [token, lock, generation, verdict], args)) as
      | readonly unknown[]
      | undefined;
    const isWhole = wanted !== 'busy' || reply?.[2] === 'check';
    if (reply?.[0] !== wanted || !isWhole) throw new Unexpected();
    return String(reply[1]);
  };
  const giveUp = (sealed: string) =>
    store.run('giveUp', [lock, verdict], ['check', sealed, LIFE_MS, LIFE_MS, channel, 'check']);
  const put = () => store.run('put', [token, lock], ['check', claimed, `${claimed}:check`, LIFE_MS, channel, 'check']);
  let [claimed, next] = ['0', '0'];
  return [
    [
      'claim a token',
      async () => {
        claimed = await acquire('0', 'claimed');
      },
    ],
    ['see that another member fetches', async () => void (await acquire('0', 'busy'))],
    ['hold a claim', () => done(store.run('hold', [lock], ['check', LIFE_MS]), 1)],
    ['store a token', () => done(put(), 1)],
    ['look up a token', async () => void (await acquire('0', 'token'))],
    [
      'claim the next token',
      async () => {
        next = await acquire(claimed, 'claimed');
      },
    ],
    ['delay the next claim', () => done(giveUp(''), 1)],
    ['give a claim up', () => done(giveUp(`${next}:check`), 1)],
    ['look up a refusal', async () => void (await acquire(claimed, 'verdict'))],
    ...memberSteps(store, names),
    ...rotationSteps(store, names),
    ['run a script by its hash', () => runByHash(store, token)],
    ['subscribe', () => store.subscribe()],
  ];
}

function memberSteps(store: Inspection, { times, details, since, heardTimes, heard }: Names): Steps {
  const members = [times, details, since, heardTimes, heard];
  return [
    ['say that a member lives', () => done(store.run('beat', members, ['check', '', LIFE_MS, 'check', LIFE_MS]), 1)],
    ['read what members say', async () => void (await store.run('members', members, []))],
    // A negative time: all are gone.
    ['remove a member', () => done(store.run('beat', members, ['', '', `-${LIFE_MS}`, '', `-${LIFE_MS}`]), 0)],
  ];
}

/** Of the rotation of a client secret: the lease taken, the journal written and read, the lease given back. */
function rotationSteps(store: Inspection, { journal, lease }: Names): Steps {
  const channel = channelOf(store);
  const [holder, revision] = ['check', '1'];
  const expect = async (reply: Promise<unknown>, isRight: (reply: unknown) => boolean) => {
    if (!isRight(await reply)) throw new Unexpected();
  };
  const note = [holder, revision, `${revision}:check`, LIFE_MS, channel, 'check', '0'];
  const holds = (reply: unknown) => Array.isArray(reply) && reply[1] === holder;
  const shows = (reply: unknown) => Array.isArray(reply) && reply[1] === note[2];
  return [
    ['take the lease for a rotation', () => expect(store.run('lease', [lease], [holder, LIFE_MS, 'take']), holds)],
    ['keep the lease', () => expect(store.run('lease', [lease], [holder, LIFE_MS, 'keep']), holds)],
    ['write the journal of a rotation', () => done(store.run('note', [journal, lease], note), 1)],
    ['read the journal', () => expect(store.run('recall', [journal, lease], ['0']), shows)],
    ['give the lease back', () => done(store.run('release', [lease], [holder]), 1)],
  ];
}

async function runByHash(store: Inspection, token: string): Promise<void> {
  const unknown = '0'.repeat(40);
  const error = await store.ask('EVALSHA', unknown, '1', token).catch((reason: unknown) => reason);
  if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return;
  throw error;
}
