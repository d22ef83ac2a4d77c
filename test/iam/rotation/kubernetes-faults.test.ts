// Faults of a cluster, each met by the store, which has to pass, and by a naive control, which must not.
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/core/secret.ts';
import { createKubernetesStore, type KubernetesStoreOptions } from '../../../src/iam/rotation/kubernetes-store.ts';
import type { SecretStore } from '../../../src/iam/rotation/store.ts';
import { createAuthority, describeWithOpenssl, type Issued, makeCertificates } from '../../support/certificates.ts';
import { createDeadline } from '../../support/deadline.ts';
import type { Fault } from '../../support/kubernetes-api.ts';
import {
  type KubernetesWorld,
  NEW,
  OLD,
  SECRET_ID,
  startKubernetesWorld,
  TOKEN,
} from '../../support/kubernetes-world.ts';
import { createNaiveStore } from '../../support/naive-kubernetes-store.ts';
import { PATIENCE_MS } from '../../support/own-time.ts';

interface Stage {
  readonly world: KubernetesWorld;
  readonly stranger: Issued;
  /** Verb of the control's or the store's writes. */
  readonly writing: string;
  readonly settled: Settled;
  store(pod?: string, more?: Partial<KubernetesStoreOptions>): SecretStore;
}

/** True when it is met as it should be. */
type Row = readonly [name: string, play: (stage: Stage) => Promise<boolean>];

/** How long something may take before it counts as hanging: the control does hang, so nobody waits long for it. */
const HANGS_MS = { store: PATIENCE_MS, naive: 2000 };

type Settled = (work: Promise<unknown>) => Promise<{ readonly state: string; readonly error?: unknown }>;

const within =
  (hangsMs: number): Settled =>
  (work) =>
    Promise.race([
      work.then(
        () => ({ state: 'kept' }),
        (error: unknown) => ({ state: 'refused', error }),
      ),
      new Promise<{ state: string }>((resolve) => setTimeout(resolve, hangsMs, { state: 'hangs' }).unref()),
    ]);

const write = async (store: SecretStore) => (await store.open()).writeSecret(new Secret(NEW));

/** A write that meets `fault` and is done all the same, once. */
const survives =
  (fault: Omit<Fault, 'verb'>, on: 'get' | 'write') =>
  async ({ world, store, writing, settled }: Stage): Promise<boolean> => {
    const open = await store().open();
    world.api.faults.push({ ...fault, verb: on === 'get' ? 'get' : writing });
    const { state } = await settled(open.writeSecret(new Secret(NEW)));
    return state === 'kept' && world.data()['client-secret'] === NEW && world.data()['other'] === 'not-ours';
  };

/** A listener with a certificate that is not the cluster's; whether it has been told the token. */
async function eavesdrop({ stranger, settled }: Stage, play: (url: string) => Promise<unknown>): Promise<boolean> {
  let heard = '';
  const server: Server = createServer({ cert: stranger.cert, key: stranger.key }, (req, res) => {
    heard += req.headers.authorization ?? '';
    res.end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await settled(play(`https://127.0.0.1:${(server.address() as AddressInfo).port}`));
    return heard.includes(TOKEN);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Where the control has to pass too: a control that can do nothing would prove nothing. */
const CALM: readonly Row[] = [
  [
    'nothing goes wrong: secret and journal are kept, the next one gets it',
    async ({ world, store, settled }) => {
      const open = await store('pod-1').open();
      await open.writeJournal('journal');
      await open.writeSecret(new Secret(NEW));
      const refused = (await settled(store('pod-2').open())).state === 'refused';
      await open.close();
      const next = await store('pod-2').open();
      const kept = (await next.readSecret())?.reveal() === NEW && (await next.readJournal()) === 'journal';
      return refused && kept && world.data()['other'] === 'not-ours';
    },
  ],
  [
    'the Secret is not there: it is told',
    async ({ world, store, settled }) => {
      world.api.secrets.remove(SECRET_ID);
      return (await settled(store().open())).state === 'refused';
    },
  ],
];

const ROWS: readonly Row[] = [
  [
    'another controller changes another key between read and write: both changes stay',
    async ({ world, store }) => {
      const open = await store().open();
      world.api.afterRead.push(() =>
        world.api.secrets.edit(SECRET_ID, ({ data = {} }) => {
          data['other'] = Buffer.from('changed').toString('base64');
        }),
      );
      await open.writeSecret(new Secret(NEW));
      return world.data()['other'] === 'changed' && world.data()['client-secret'] === NEW;
    },
  ],
  [
    'two pods take it at the same moment: one has it',
    async ({ store }) => {
      const outcomes = await Promise.allSettled(['pod-1', 'pod-2'].map((pod) => store(pod).open()));
      return outcomes.filter(({ status }) => status === 'fulfilled').length === 1;
    },
  ],
  [
    'a holder dies: another takes it over when the lease is over',
    async ({ world, store, settled }) => {
      await store('pod-1').open();
      world.api.nowMs += 80_000;
      return (await settled(store('pod-2').open())).state === 'kept';
    },
  ],
  [
    'a holder that was taken for dead comes back: it writes nothing',
    async ({ world, store, settled }) => {
      const lost = await store('pod-1').open();
      world.api.nowMs += 80_000;
      await settled(store('pod-2').open());
      await settled(lost.writeSecret(new Secret(NEW)));
      return world.data()['client-secret'] === OLD;
    },
  ],
  [
    'a write that was given up arrives after another one: it has no effect',
    async ({ world, store, writing, settled }) => {
      const open = await store().open();
      world.api.faults.push({ verb: writing, what: 'late' });
      await settled(open.writeJournal('first'));
      await settled(open.writeJournal('second'));
      world.api.deliver();
      return world.data()['client-secret.rotation'] === 'second';
    },
  ],
  [
    'the token is renewed while a rotation runs: the new one is used',
    async ({ world, store, settled }) => {
      const open = await store().open();
      world.mount('token', 'renewed-token');
      world.api.tokens.clear();
      world.api.tokens.add('renewed-token');
      return (await settled(open.writeSecret(new Secret(NEW)))).state === 'kept';
    },
  ],
  ['a read is cut off: it is repeated', survives({ what: 'reset' }, 'get')],
  ['a write is cut off before its effect: it is repeated', survives({ what: 'reset' }, 'write')],
  ['a write is cut off after its effect: it is found done', survives({ what: 'reset-after' }, 'write')],
  ['a read is never answered: it is repeated', survives({ what: 'silence' }, 'get')],
  ['a write is never answered, before its effect: it is repeated', survives({ what: 'silence' }, 'write')],
  ['a write is never answered, after its effect: it is found done', survives({ what: 'silence-after' }, 'write')],
  ['the API server is in trouble for a moment: 500', survives({ what: 500 }, 'write')],
  ['the API server is in trouble for a moment: 503', survives({ what: 503 }, 'get')],
  ['the API server has no time: 429', survives({ what: 429, retryAfter: '2' }, 'write')],
  [
    'nothing is answered at all: it ends',
    async ({ world, store, writing, settled }) => {
      const open = await store().open();
      world.api.faults.push(
        { verb: writing, what: 'silence', times: 100 },
        { verb: 'get', what: 'silence', times: 100 },
      );
      return (await settled(open.writeSecret(new Secret(NEW)))).state === 'refused';
    },
  ],
  [
    'a redirect: the token goes nowhere else',
    async (stage) =>
      !(await eavesdrop(stage, (url) => {
        stage.world.api.impostor = (res) => void res.writeHead(307, { location: `${url}/steal` }).end();
        return write(stage.store());
      })),
  ],
  [
    'a server with a certificate of another CA: it does not get the token',
    async (stage) => !(await eavesdrop(stage, (apiServer) => write(stage.store('pod-1', { apiServer })))),
  ],
  [
    'a refusal that quotes all that was sent: no error shows a secret',
    async ({ world, store, settled }) => {
      const open = await store().open();
      world.api.impostor = (res) => {
        const sent = world.api.calls.at(-1)?.body;
        const message = `patch: Invalid value: ${sent}${Buffer.from(OLD).toString('base64')}`;
        res.writeHead(422).end(JSON.stringify({ kind: 'Status', reason: 'Invalid', message, code: 422 }));
      };
      const { state, error } = await settled(open.writeSecret(new Secret(NEW)));
      const printed = inspect(error, { depth: 20, showHidden: true });
      const values = [NEW, OLD, TOKEN].flatMap((value) => [value, Buffer.from(value).toString('base64')]);
      return state === 'refused' && values.every((value) => !printed.includes(value));
    },
  ],
];

const SUBJECTS = {
  store: { create: createKubernetesStore, writing: 'patch', verbs: [] },
  naive: { create: createNaiveStore, writing: 'update', verbs: ['get', 'update'] },
} as const;

describeWithOpenssl('a store in a Kubernetes Secret under faults', () => {
  const certificates = makeCertificates((authority, folder) => ({
    server: authority.issue('api', 'IP:127.0.0.1'),
    stranger: createAuthority(folder, 'strangers').issue('stranger', 'IP:127.0.0.1'),
  }));
  const passed = { store: 0, naive: 0 };

  async function play(subject: keyof typeof SUBJECTS, run: Row[1]): Promise<boolean> {
    await using world = await startKubernetesWorld(certificates());
    const { create, writing, verbs } = SUBJECTS[subject];
    const resources = { namespace: 'payments', apiGroups: [''], resources: ['secrets'] };
    if (verbs.length > 0) world.api.rules.push({ ...resources, verbs });
    using deadline = createDeadline();
    world.api.onSilence = deadline.pass;
    const store: Stage['store'] = (pod, more) =>
      create({ ...world.storeOptions(pod), deadlineMs: deadline.ms, ...more });
    const settled = within(HANGS_MS[subject]);
    const fine = await run({ world, writing, store, settled, stranger: certificates().stranger }).catch(() => false);
    if (fine) passed[subject] += 1;
    return fine;
  }

  describe.concurrent('the store passes', () => {
    it.each([...CALM, ...ROWS])('%s', async (_name, run) => {
      expect(await play('store', run)).toBe(true);
    });
  });

  describe.concurrent('the naive control passes', () => {
    it.each(CALM)('%s', async (_name, run) => {
      expect(await play('naive', run)).toBe(true);
    });
  });

  describe.concurrent('the naive control fails', () => {
    it.each(ROWS)('%s', async (_name, run) => {
      expect(await play('naive', run)).toBe(false);
    });
  });

  afterAll(() => {
    process.stdout.write(
      `${CALM.length} calm and ${ROWS.length} faulty rows: store ${passed.store} pass, naive ${passed.naive} pass\n`,
    );
  });
});
