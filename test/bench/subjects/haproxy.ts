/** HAProxy with one thread and a header that never changes. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../support/free-port.ts';
import { CORE, startProgram } from '../children.ts';
import { untilListening } from './ports.ts';
import { LOG_FILE, type Running, type Setup, STATIC_AUTHORIZATION, type Subject, UPSTREAM_NAME } from './subject.ts';

export const HAPROXY: Subject = {
  name: 'haproxy',
  does: 'adds a header that never changes; no access log',
  logs: false,
  version: () => /version (\S+)/.exec(spawnSync('haproxy', ['-v'], { encoding: 'utf8' }).stdout ?? '')?.[1],
  start: startHaproxy,
};

async function startHaproxy(setup: Setup): Promise<Running> {
  const port = await freePort();
  const file = join(setup.folder, 'haproxy.cfg');
  writeFileSync(file, configOf(setup, port));
  const child = startProgram(['haproxy', '-db', '-q', '-f', file], {
    core: CORE.subject,
    cwd: setup.folder,
    outputFile: join(setup.folder, LOG_FILE),
  });
  await untilListening(child, port);
  return { port, pids: [child.pid], expects: new RegExp(`^${STATIC_AUTHORIZATION}$`), stop: child.stop };
}

/** HAProxy's pool of idle connections is limited by its open files. */
function configOf({ scheme, upstreamPort, caFile }: Setup, port: number): string {
  const tls = scheme === 'https' ? `ssl verify required ca-file ${caFile} verifyhost ${UPSTREAM_NAME}` : '';
  return `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend callers
  bind 127.0.0.1:${port}
  http-request set-header Authorization "${STATIC_AUTHORIZATION}"
  default_backend api
backend api
  http-reuse always
  server api 127.0.0.1:${upstreamPort} ${tls}
`;
}
