// A whole run with planted secrets: whatever goes wrong, neither secret nor token shows up anywhere but where it belongs.
import { describe, expect, it } from 'vitest';
import { jsonLines, run } from './support/cli.ts';
import { exchange, ok, startRawUpstream } from './support/raw.ts';
import { grant, type TokenAnswerer } from './support/token-server.ts';
import { createWorld, WORLD_SECRET } from './support/world.ts';

const TOKEN = 'CANARY-access-token-0815';

/** The worst a token endpoint can do: repeats what it was sent, in every place an answer has. */
const echoing: TokenAnswerer = (res, { form }) => {
  const secret = form.get('client_secret') ?? '';
  const body = { error: secret, error_description: form.toString(), error_uri: `https://x/?${form}` };
  res.writeHead(400, secret.replace(/\W/g, '-'), { 'X-Echo': secret, 'Content-Type': 'application/json' });
  res.end(JSON.stringify(body));
};

const HOSTILE = [
  'GET /api/x HTTP/1.1\r\nHost: evil.example\r\n',
  'GET /api/x HTTP/1.1\r\nHost: HOST\r\nOrigin: https://evil.example\r\n',
  'GET /api/x HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-For: 10.0.0.1\r\n',
  'GET /nothing HTTP/1.1\r\nHost: HOST\r\n',
  'GET /api/../x HTTP/1.1\r\nHost: HOST\r\n',
  'TRACE /api/x HTTP/1.1\r\nHost: HOST\r\n',
  'CONNECT x:1 HTTP/1.1\r\nHost: HOST\r\n',
  'GET /api/x HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer of-the-caller\r\n',
  'POST /api/x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n',
  'garbage\r\n',
] as const;

/** An API with a different way to fail for every request. */
function startNastyApi() {
  let count = 0;
  return startRawUpstream((socket, received) => {
    if (!received.endsWith('\r\n\r\n')) return;
    count += 1;
    const challenge =
      'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';
    const ways = [ok('{}'), challenge, 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n', 'not http\r\n\r\n', ''];
    const answer = ways[count % ways.length];
    if (answer) socket.write(answer);
    else socket.destroy();
  });
}

describe('sidecar', () => {
  it('shows secret and token to identity server and API alone', async () => {
    const api = await startNastyApi();
    await using world = await createWorld(api.url);
    world.identity.answerWith(grant(TOKEN));
    // Callers that come one after the other must not all wait for a server that stays broken.
    const sidecar = await world.serve({ adminActions: true, log: { level: 'debug' }, token: { waitTimeout: '900ms' } });
    const port = Number(new URL(sidecar.url).port);
    const admin = async (path: string, method = 'GET') => {
      const answer = await fetch(sidecar.adminUrl + path, { method });
      return JSON.stringify([...answer.headers]) + (await answer.text());
    };
    const seen: string[] = [];
    const traffic = async () => {
      for (const head of HOSTILE) {
        seen.push(await exchange(port, `${head.replace('HOST', `127.0.0.1:${port}`)}Connection: close\r\n\r\n`));
      }
      for (let round = 0; round < 10; round += 1) {
        const answer = await fetch(`${sidecar.url}/api/${round}?query=x`).catch(() => undefined);
        if (answer) seen.push(JSON.stringify([...answer.headers]) + (await answer.text().catch(() => '')));
      }
      for (const path of ['/livez', '/readyz', '/startupz', '/status', '/metrics', '/nothing', '/'])
        seen.push(await admin(path));
      seen.push(await admin('/token/refresh', 'POST'));
    };
    await traffic();
    world.identity.answerWith(echoing);
    await traffic();
    world.identity.answerWith((res) => res.destroy());
    await traffic();
    seen.push(await admin('/shutdown', 'POST'));
    const { code, stdout, stderr } = await sidecar.ended;
    expect(code).toBe(0);
    const everything = [stdout, stderr, ...seen].join('\n');
    expect(everything).not.toMatch(/CANARY|client_secret=|of-the-caller|query=x/);
    expect(everything).not.toContain(Buffer.from(WORLD_SECRET).toString('base64'));
    // Else nothing was tried: both did go where they belong.
    expect(world.identity.calls.some(({ form }) => form.get('client_secret') === WORLD_SECRET)).toBe(true);
    expect(api.received.join('')).toContain(`Bearer ${TOKEN}`);
    expect(jsonLines(stdout).length).toBeGreaterThan(40);
    await api.close();
  });

  it('shows neither in what check and config print write', async () => {
    const api = await startNastyApi();
    await using world = await createWorld(api.url);
    const config = world.folder.write(
      'check.yaml',
      JSON.stringify({
        credentials: {
          default: {
            tokenEndpoint: world.identity.url,
            clientId: 'x',
            secrets: [{ env: 'S' }],
            auth: 'client_secret_basic',
          },
        },
        routes: [{ path: '/api', upstream: api.url }],
      }),
    );
    const env = { S: WORLD_SECRET };
    const answerers: TokenAnswerer[] = [grant(TOKEN), grant(`${TOKEN} with spaces`), echoing, (res) => res.end(TOKEN)];
    for (const answerer of answerers) {
      world.identity.answerWith(answerer);
      const { stdout, stderr } = await run(['check', '--config', config], { env });
      expect(stdout).not.toBe('');
      expect(stdout + stderr).not.toMatch(/CANARY/);
    }
    const printed = await run(['config', 'print', '--config', config], { env });
    expect(printed).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('env: S') });
    expect(printed.stdout).not.toContain('CANARY');
    await api.close();
  });
});
