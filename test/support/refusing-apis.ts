/**
 * APIs that refuse an upload without reading it, each in its own way: real servers with their own rules for closing,
 * and programs that behave like node:http and .NET programs.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createFolder, type Folder } from './folder.ts';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

export interface RefusingApi extends AsyncDisposable {
  readonly url: string;
}

export interface Refuser {
  readonly name: string;
  /** The program that must be installed. */
  readonly tool?: readonly string[];
  /** The response to uploads. */
  readonly status: number;
  start(): Promise<RefusingApi>;
}

export function isInstalled({ tool }: Refuser): boolean {
  const [command, ...args] = tool ?? [];
  return command === undefined || spawnSync(command, args).status === 0;
}

interface Program {
  /** Writes the files that the program needs. @returns its arguments */
  configure(folder: Folder, port: number): readonly string[];
  readonly command: string;
}

async function startProgram({ configure, command }: Program): Promise<RefusingApi> {
  const folder = createFolder();
  const port = await freePort();
  const child = spawn(command, configure(folder, port), {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { HOME: folder.path, PATH: process.env['PATH'] },
  });
  const url = `http://127.0.0.1:${port}`;
  await until(`${command} serves`, () =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  );
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      folder[Symbol.dispose]();
    },
  };
}

function serving(server: Server): Promise<RefusingApi> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () =>
      resolve({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        async [Symbol.asyncDispose]() {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      }),
    ),
  );
}

const haproxy: Program = {
  command: 'haproxy',
  configure: (folder, port) => [
    '-f',
    folder.write(
      'haproxy.cfg',
      `global
  maxconn 100
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend api
  bind 127.0.0.1:${port}
  http-request deny deny_status 413 if METH_POST
  http-request return status 200
`,
    ),
  ],
};

const nginx: Program = {
  command: 'nginx',
  configure: (folder, port) => [
    ...['-e', 'stderr', '-p', folder.path, '-c'],
    folder.write(
      'nginx.conf',
      `daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; events {}
http {
  access_log off; client_max_body_size 1k; client_body_temp_path body;
  proxy_temp_path body; fastcgi_temp_path body; uwsgi_temp_path body; scgi_temp_path body;
  server {
    listen 127.0.0.1:${port};
    location / { if ($request_method = POST) { return 413; } return 200; }
  }
}
`,
    ),
  ],
};

const apache: Program = {
  command: 'apache2',
  configure: (folder, port) => [
    ...['-DFOREGROUND', '-d', folder.path, '-f'],
    folder.write(
      'apache.conf',
      `LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
PidFile ${folder.path}/apache.pid
ErrorLog /dev/null
DocumentRoot ${folder.path}
RewriteEngine on
RewriteCond %{REQUEST_METHOD} POST
RewriteRule .* - [R=413,L]
`,
    ),
  ],
};

const caddy: Program = {
  command: 'caddy',
  configure: (folder, port) => [
    ...['run', '--adapter', 'caddyfile', '--config'],
    folder.write(
      'Caddyfile',
      `{
  admin off
  auto_https off
  log {
    level ERROR
  }
}
http://127.0.0.1:${port} {
  @upload method POST
  respond @upload "too large" 413 {
    close
  }
  respond 200
}
`,
    ),
  ],
};

/** Responds as soon as it has the head, and stops reading. */
function refuseAtOnce(req: IncomingMessage, res: ServerResponse): void {
  if (req.method === 'POST') res.writeHead(413, { Connection: 'close', 'Content-Length': 9 }).end('too large');
  else res.end();
}

/** Like Kestrel: starts to read, sends 100 only then, finds the body too large, refuses and closes. */
function refuseLate(saysContinue: boolean) {
  return (socket: Socket): void => {
    let received = 0;
    let told = false;
    socket.on('data', (chunk) => {
      received += chunk.length;
      if (saysContinue && !told) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      told = true;
      if (received < 30_000) return;
      socket.pause();
      socket.write(
        'HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\nServer: Kestrel\r\n\r\n',
        () => setTimeout(() => socket.destroy(), 5),
      );
    });
  };
}

export const REFUSERS: readonly Refuser[] = [
  { name: 'HAProxy', tool: ['haproxy', '-v'], status: 413, start: () => startProgram(haproxy) },
  { name: 'nginx', tool: ['nginx', '-v'], status: 413, start: () => startProgram(nginx) },
  { name: 'Apache', tool: ['apache2', '-v'], status: 413, start: () => startProgram(apache) },
  { name: 'Caddy', tool: ['caddy', 'version'], status: 413, start: () => startProgram(caddy) },
  { name: 'node:http', status: 413, start: () => serving(createHttpServer(refuseAtOnce)) },
  { name: '.NET, which never says 100', status: 413, start: () => serving(createServer(refuseLate(false))) },
  { name: '.NET, which says 100 late', status: 413, start: () => serving(createServer(refuseLate(true))) },
];
