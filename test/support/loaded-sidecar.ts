/** A sidecar in its own process that uses the secrets of all lanes of a rotation world all the time. */
import { type Addresses, addressesOf, start } from './cli.ts';
import { createFolder } from './folder.ts';
import { type PacedLoad, startPacedLoad } from './paced-load.ts';
import type { RotationWorld } from './rotation-lanes.ts';
import { until } from './until.ts';

export interface LoadedSidecar {
  readonly load: PacedLoad;
  readonly addresses: Addresses;
  /** Number of its token requests, by their outcome. */
  tokenRequests(): Promise<Readonly<Record<string, number>>>;
}

const LIMIT_MS = 1_500_000;

/** Resolves when every lane has its first token and the load has started. */
export async function startLoadedSidecar(world: RotationWorld, perSecond: number): Promise<LoadedSidecar> {
  const folder = world.keep(createFolder());
  const file = folder.write('config.json', JSON.stringify(configOf(world)));
  const running = world.keep(start(['serve', '--config', file], { limitMs: LIMIT_MS }));
  const addresses = await addressesOf(running);
  const urls = world.lanes.map(({ clientId }) => `${addresses.url}/banking/${clientId}/accounts`);
  await until(
    'every lane gets an answer',
    async () => (await Promise.all(urls.map(isAnswered))).every(Boolean),
    20_000,
  );
  return {
    load: world.keep(startPacedLoad(urls, perSecond)),
    addresses,
    async tokenRequests() {
      const metrics = await (await fetch(`${addresses.adminUrl}/metrics`)).text();
      const counts = [...metrics.matchAll(/^aritma_sidecar_token_requests_total\{.*result="(\w+)".*\} (\d+)$/gm)];
      const total = (result: string) =>
        counts.flatMap(([, its, n]) => (its === result ? [Number(n)] : [])).reduce(add, 0);
      return Object.fromEntries(counts.map(([, result = '']) => [result, total(result)]));
    },
  };
}

const add = (sum: number, n: number) => sum + n;

const isAnswered = async (url: string) => (await fetch(url)).ok;

function configOf({ aritma, lanes }: RotationWorld): object {
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    credentials: Object.fromEntries(
      lanes.map(({ clientId, secretFile }) => [
        clientId,
        { tokenEndpoint: `${aritma}/connect/token`, clientId, secrets: [{ file: secretFile }], scope: 'api' },
      ]),
    ),
    routes: lanes.map(({ clientId }) => ({
      path: `/banking/${clientId}`,
      upstream: `${aritma}/banking/api`,
      credential: clientId,
    })),
    log: { format: 'json' },
  };
}
