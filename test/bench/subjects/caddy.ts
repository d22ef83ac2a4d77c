/** Caddy with a header that never changes, its Go runtime on one core. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../support/free-port.ts';
import { CORE, startProgram } from '../children.ts';
import { CONNECTIONS } from '../peers/peer.ts';
import { untilListening } from './ports.ts';
import {
  LOG_FILE,
  originOf,
  type Running,
  type Setup,
  STATIC_AUTHORIZATION,
  type Subject,
  UPSTREAM_NAME,
} from './subject.ts';

export const CADDY: Subject = {
  name: 'caddy',
  does: 'adds a header that never changes; no access log',
  logs: false,
  version: () => /v?(\d\S*)/.exec(spawnSync('caddy', ['version'], { encoding: 'utf8' }).stdout ?? '')?.[1],
  start: startCaddy,
};

async function startCaddy(setup: Setup): Promise<Running> {
  const { folder } = setup;
  const port = await freePort();
  const file = join(folder, 'Caddyfile');
  writeFileSync(file, configOf(setup, port));
  const child = startProgram(['caddy', 'run', '--config', file, '--adapter', 'caddyfile'], {
    core: CORE.subject,
    cwd: folder,
    env: { GOMAXPROCS: '1', HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
    outputFile: join(folder, LOG_FILE),
  });
  await untilListening(child, port);
  return { port, pids: [child.pid], expects: new RegExp(`^${STATIC_AUTHORIZATION}$`), stop: child.stop };
}

function configOf(setup: Setup, port: number): string {
  const tls = setup.scheme === 'https' ? `tls_trusted_ca_certs ${setup.caFile}\n tls_server_name ${UPSTREAM_NAME}` : '';
  return `{
  admin off
  auto_https off
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  reverse_proxy ${originOf(setup)} {
    header_up Authorization "${STATIC_AUTHORIZATION}"
    transport http {
      keepalive_idle_conns ${CONNECTIONS}
      keepalive_idle_conns_per_host ${CONNECTIONS}
      compression off
      ${tls}
    }
  }
}
`;
}
