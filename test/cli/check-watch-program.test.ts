// check --watch as a process: it ends by itself when all is good, and with the last exit code when it is interrupted.
import { describe, expect, it } from 'vitest';
import { jsonLines, start } from '../support/cli.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { grant, json, startTokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

const RIGHT = 'CANARY-right-secret';

/** @param source of the secret; default: a file with a wrong one */
async function startWatch(source?: (folder: Folder) => object) {
  const identity = await startTokenServer();
  identity.answerWith((res, call, count) =>
    (call.form.get('client_secret') === RIGHT ? grant('CANARY-t') : json(400, { error: 'invalid_client' }))(
      res,
      call,
      count,
    ),
  );
  const folder = createFolder();
  const secret = folder.write('secret', 'CANARY-wrong-secret');
  const config = {
    ...{ listen: '127.0.0.1:0', admin: '127.0.0.1:0' },
    credentials: {
      default: {
        tokenEndpoint: identity.url,
        clientId: 'x',
        secrets: [source?.(folder) ?? { file: secret }],
        scope: 'api',
      },
    },
    routes: [{ path: '/api', upstream: 'http://127.0.0.1:9' }],
  };
  const file = folder.write('config.yaml', JSON.stringify(config));
  const watching = start(['check', '--config', file, '--no-upstream', '--watch', '--every', '1s']);
  await watching.untilStdout(/CREDENTIALS_REJECTED/);
  return {
    ...{ identity, folder, watching },
    async [Symbol.asyncDispose]() {
      await watching[Symbol.asyncDispose]();
      await identity.close();
      folder[Symbol.dispose]();
    },
  };
}

describe.concurrent('check --watch as a program', () => {
  it('reads the secret again, tells the change in one line, and ends with 0', async () => {
    await using world = await startWatch();
    world.folder.write('secret', RIGHT);
    const { code, stdout, stderr } = await world.watching.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const changes = jsonLines(stdout).filter(({ was }) => was !== undefined);
    expect(changes).toEqual([
      expect.objectContaining({ was: 'error', level: 'ok', subject: 'token default (api)', time: expect.any(String) }),
    ]);
    expect(jsonLines(stdout).at(-1)).toMatchObject({ exit: 0, next: expect.stringContaining('base URL') });
    expect(stdout).not.toContain('CANARY');
    expect(world.identity.calls.length).toBeLessThan(10);
  });

  it('ends on SIGINT with the exit code of the last findings and their next step', async () => {
    await using world = await startWatch();
    world.watching.kill('SIGINT');
    const { code, stdout } = await world.watching.ended;
    expect(code).toBe(5);
    expect(jsonLines(stdout).at(-1)).toMatchObject({ exit: 5, option: 'credentials.default' });
  });

  it('waits longer and longer while a program prints another secret each time and the server refuses them all', async () => {
    await using world = await startWatch((folder) => {
      folder.write('count', '');
      const script = 'echo x >> "$1"; echo "CANARY-wrong-secret-$(wc -l < "$1")"';
      return { exec: ['/bin/sh', '-c', script, 'sh', `${folder.path}/count`] };
    });
    const { calls } = world.identity;
    const asked = async (times: number) => {
      await until(`token request ${times}`, () => calls.length >= times);
      return performance.now();
    };
    const second = await asked(2);
    // Twice the second of --every.
    expect((await asked(3)) - second).toBeGreaterThan(1900);
    expect(new Set(calls.map(({ form }) => form.get('client_secret'))).size).toBe(calls.length);
  });
});
