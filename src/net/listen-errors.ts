/**
 * Explains why the sidecar cannot listen on an address, and what to do.
 */
import { existsSync, lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Address } from '../config/parsers.ts';
import type { Words } from '../core/failure.ts';

const ALL = ['0.0.0.0', '::'];

/** Bytes of a path in `sockaddr_un` on Linux, without the final zero. */
export const MAX_SOCKET_PATH = 107;

/**
 * Returns message and fix for a failed bind.
 * @param errno code of the system, `EADDRINUSE`
 * @param own what this process already listens on
 */
export function listenWords(errno: string, address: Address, own: readonly Address[] = []): Words {
  if (errno === 'EADDRINUSE' && own.some((other) => overlap(address, other)))
    return {
      cause: 'listener_used_twice',
      message: `${text(address)} is configured twice: \`listen\` and \`admin\` overlap (EADDRINUSE)`,
      fix: 'use a different port or path for each',
    };
  // Node reports EACCES also when the folder of the socket does not exist.
  const isMissing = errno === 'EACCES' && address.kind === 'unix' && !existsSync(dirname(address.path));
  const reason = isMissing ? 'ENOENT' : errno;
  return (address.kind === 'tcp' ? TCP[reason]?.(address) : UNIX[reason]?.(address)) ?? otherwise(errno, address);
}

function otherwise(errno: string, address: Address): Words {
  const fix = 'correct this address; the code in brackets is the reason from the system';
  return { cause: 'listener_failed', message: `cannot listen on ${text(address)} (${errno})`, fix };
}

function overlap(one: Address, other: Address): boolean {
  if (one.kind === 'unix' || other.kind === 'unix')
    return one.kind === 'unix' && other.kind === 'unix' && one.path === other.path;
  return one.port === other.port && (one.host === other.host || ALL.includes(one.host) || ALL.includes(other.host));
}

type Of<Kind> = Extract<Address, { readonly kind: Kind }>;

const TCP: Readonly<Record<string, (address: Of<'tcp'>) => Words>> = {
  EADDRINUSE: (address) => ({
    cause: 'listener_taken',
    message: `another program or another sidecar already uses ${text(address)} (EADDRINUSE)`,
    fix: `find it with \`ss -ltnp 'sport = :${address.port}'\` and stop it, or configure another address`,
  }),
  EACCES: ({ port }) => ({
    cause: 'listener_privileged',
    message: `this user has no permission to listen on port ${port} (EACCES)${port < 1024 ? ': ports below 1024 are privileged' : ''}`,
    fix: 'use a port above 1023 that the system does not reserve, or give the process CAP_NET_BIND_SERVICE',
  }),
  EADDRNOTAVAIL: ({ host }) => ({
    cause: 'listener_not_an_address',
    message: `${host} is not an address of this machine (EADDRNOTAVAIL)`,
    fix: 'use 127.0.0.1, [::1], or an address that `ip addr` lists',
  }),
  ENOTFOUND: ({ host }) => ({
    cause: 'listener_no_such_name',
    message: `the name ${host} has no address (ENOTFOUND)`,
    fix: 'write an address instead, such as 127.0.0.1',
  }),
};

const UNIX: Readonly<Record<string, (address: Of<'unix'>) => Words>> = {
  EADDRINUSE: ({ path }) =>
    lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false
      ? notASocket(path)
      : {
          cause: 'listener_taken',
          message: `another program or another sidecar already uses ${path} (EADDRINUSE)`,
          fix: `find it with \`ss -lxp\` and stop it, or configure another path`,
        },
  ENOTSOCK: ({ path }) => notASocket(path),
  EACCES: ({ path }) => ({
    cause: 'listener_folder_not_writable',
    message: `this user has no permission to create a socket in ${dirname(path)} (EACCES)`,
    fix: 'chown that folder to the user that runs the sidecar (systemd: RuntimeDirectory=)',
  }),
  ENOENT: ({ path }) => ({
    cause: 'listener_folder_missing',
    message: `the folder ${dirname(path)} for the socket does not exist (ENOENT)`,
    fix: 'create it, owned by the user that runs the sidecar (systemd: RuntimeDirectory=)',
  }),
  EINVAL: tooLong,
  ENAMETOOLONG: tooLong,
};

function notASocket(path: string): Words {
  return {
    cause: 'listener_not_a_socket',
    message: `${path} exists and is not a socket; the sidecar does not overwrite it`,
    fix: 'move it away, or configure another path',
  };
}

function tooLong(): Words {
  return {
    cause: 'listener_path_too_long',
    message: `the path of the socket is too long: the limit is ${MAX_SOCKET_PATH} bytes`,
    fix: 'configure a shorter path, such as unix:/run/aritma/sidecar.sock',
  };
}

function text(address: Address): string {
  if (address.kind === 'unix') return address.path;
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}
