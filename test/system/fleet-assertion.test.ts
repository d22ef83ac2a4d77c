/** Members of a fleet without a secret: each has a client assertion of its own, and still one token is enough for all. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ask } from '../support/fleet-world.ts';
import { createFolder } from '../support/folder.ts';
import { ok } from '../support/raw.ts';
import { newFleetKey } from '../support/redis-member.ts';
import { startRedis } from '../support/redis-server.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';
import { startTestSidecar } from '../support/sidecar.ts';
import { startTokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

function jwt(pod: string, livesForS: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + livesForS;
  return `${part({ alg: 'ES256' })}.${part({ sub: 'erp', jti: pod, exp })}.c2lnbmF0dXJl`;
}

async function createWorld({ isFleet }: { readonly isFleet: boolean }) {
  const redis = await startRedis();
  onTestFinished(() => redis[Symbol.asyncDispose]());
  const tokens = await startTokenServer();
  onTestFinished(() => tokens.close());
  const upstream = await startUpstream(() => ok('fine'));
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const keys = [{ file: folder.write('fleet-key', newFleetKey()) }];
  const fleet = { url: `redis://127.0.0.1:${redis.port}`, keys, timeout: '5s' };
  return {
    tokens,
    upstream,
    async join(pod: string, livesForS = 600) {
      const file = join(folder.path, pod);
      writeFileSync(file, jwt(pod, livesForS));
      const sidecar = await startTestSidecar({
        ...{ upstream: upstream.url, tokenEndpoint: tokens.url },
        credential: { secrets: undefined, auth: 'client_assertion_file', assertion: { file } },
        config: { token: { waitTimeout: '5s' }, ...(isFleet && { fleet }) },
      });
      onTestFinished(async () => void (await sidecar.stop()));
      await until('the sidecar is served', async () => (await ask(sidecar)).status === 200, 30_000);
      return sidecar;
    },
  };
}

describeWithRedis('members with client_assertion_file', () => {
  it('share one token, each with an assertion of its own, also one whose assertion has expired', async () => {
    const { tokens, upstream, join } = await createWorld({ isFleet: true });
    const members = [await join('pod-1'), await join('pod-2'), await join('pod-3', -60)];
    expect(tokens.calls).toHaveLength(1);
    const sent = tokens.calls[0]?.form.get('client_assertion')?.split('.') ?? [];
    expect(Buffer.from(sent[1] ?? '', 'base64url').toString()).toContain('pod-1');
    const used = upstream.requests.map(({ fields }) => fields.find(([name]) => /^authorization$/i.test(name))?.[1]);
    expect(new Set(used).size).toBe(1);
    for (const member of members) for (const part of sent.slice(1)) expect(member.rawLogs.join('')).not.toContain(part);
  });

  it('each request a token without a fleet', async () => {
    const { tokens, join } = await createWorld({ isFleet: false });
    await join('pod-1');
    await join('pod-2');
    expect(tokens.calls).toHaveLength(2);
  });
});
