// check --watch as a process: it ends by itself when all is good, and with the last exit code when it is interrupted.
import { describe, expect, it } from 'vitest';
import { jsonLines, start } from '../support/cli.ts';
import { createFolder } from '../support/folder.ts';
import { grant, json, startTokenServer } from '../support/token-server.ts';

const RIGHT = 'CANARY-right-secret';

async function startWatch() {
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
      default: { tokenEndpoint: identity.url, clientId: 'x', secrets: [{ file: secret }], scope: 'api' },
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
});
