/** nginx with one worker: with a header that never changes, and with a Lua program that fetches and keeps the token. */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../support/free-port.ts';
import { CORE, startProgram } from '../children.ts';
import { CONNECTIONS } from '../peers/peer.ts';
import { untilListening } from './ports.ts';
import {
  FETCHED,
  LOG_FILE,
  originOf,
  type Running,
  type Setup,
  STATIC_AUTHORIZATION,
  type Subject,
  UPSTREAM_NAME,
} from './subject.ts';

const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

/** The differences between the two. */
interface Flavour {
  /** First lines of the configuration. */
  readonly modules?: string;
  readonly http?: string;
  readonly location: string;
  readonly expects: RegExp;
}

export const NGINX: Subject = {
  name: 'nginx',
  does: 'adds a header that never changes; no access log',
  logs: false,
  version: () => /nginx\/(\S+)/.exec(spawnSync('nginx', ['-v'], { encoding: 'utf8' }).stderr ?? '')?.[1],
  start: (setup) =>
    startNginx(setup, {
      location: `proxy_set_header Authorization "${STATIC_AUTHORIZATION}";`,
      expects: new RegExp(`^${STATIC_AUTHORIZATION}$`),
    }),
};

const MODULES = ['ndk_http_module.so', 'ngx_http_lua_module.so'];

export const NGINX_LUA: Subject = {
  name: 'nginx-lua',
  does: 'fetches and keeps the token with a Lua program of forty lines; no access log',
  logs: false,
  // Our Lua program needs a library that Debian only recommends.
  version: () => (modulesFolder() && globSync('/usr/lib/*/lua/5.1/cjson.so').length > 0 ? NGINX.version() : undefined),
  start(setup) {
    writeFileSync(join(setup.folder, 'token.lua'), readFileSync(join(import.meta.dirname, 'token.lua')));
    const { port, pathname } = new URL(setup.tokenEndpoint);
    return startNginx(setup, {
      modules: MODULES.map((name) => `load_module ${join(modulesFolder() ?? '', name)};`).join('\n'),
      http: `lua_package_path "${setup.folder}/?.lua;/usr/share/lua/5.1/?.lua;;";`,
      location: `set $authorization '';
      access_by_lua_block { ngx.var.authorization = require('token').get('127.0.0.1', ${port}, '${pathname}') }
      proxy_set_header Authorization $authorization;`,
      expects: FETCHED,
    });
  },
};

/** Returns the folder of Debian's dynamic modules, if all of them are there. */
function modulesFolder(): string | undefined {
  const folder = /--modules-path=(\S+)/.exec(spawnSync('nginx', ['-V'], { encoding: 'utf8' }).stderr ?? '')?.[1];
  return folder !== undefined && MODULES.every((name) => existsSync(join(folder, name))) ? folder : undefined;
}

async function startNginx(setup: Setup, flavour: Flavour): Promise<Running> {
  const { folder } = setup;
  const port = await freePort();
  for (const name of TEMPORARY) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'nginx.conf'), configOf(setup, port, flavour));
  const child = startProgram(['nginx', '-p', folder, '-c', join(folder, 'nginx.conf')], {
    core: CORE.subject,
    cwd: folder,
    outputFile: join(folder, LOG_FILE),
  });
  await untilListening(child, port);
  return { port, pids: [child.pid], expects: flavour.expects, stop: child.stop };
}

/** Streams both ways, like the other subjects: no bodies on disk. */
function configOf(setup: Setup, port: number, { modules = '', http = '', location }: Flavour): string {
  // When started as root, its worker could not write into the folder.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const verified = `proxy_ssl_verify on; proxy_ssl_trusted_certificate ${setup.caFile};
    proxy_ssl_name ${UPSTREAM_NAME}; proxy_ssl_protocols TLSv1.2 TLSv1.3;`;
  return `${modules}
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; ${user}
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off;
  ${TEMPORARY.map((name) => `${name}_temp_path ${name};`).join(' ')}
  keepalive_requests 100000000; client_max_body_size 0;
  ${http}
  upstream api {
    server 127.0.0.1:${setup.upstreamPort};
    keepalive ${CONNECTIONS}; keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass ${originOf(setup).replace(/\/\/.*$/, '//api')};
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_max_temp_file_size 0;
      ${setup.scheme === 'https' ? verified : ''}
      ${location}
    }
  }
}
`;
}
