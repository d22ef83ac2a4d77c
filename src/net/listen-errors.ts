/**
 * Why an address cannot be listened on, in plain words, and what to do: for the doctor, who looks before, and for the start.
 */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Address } from '../config/parsers.ts';
import type { Words } from '../core/failure.ts';

/** What fits into `sockaddr_un` on Linux, without the zero at its end. */
export const MAX_SOCKET_PATH = 107;

/** @param reason the system's code, `EADDRINUSE` */
export function listenWords(reason: string, address: Address): Words {
  // Node says EACCES for a socket's folder that does not exist, too.
  const isMissing = reason === 'EACCES' && address.kind === 'unix' && !existsSync(dirname(address.path));
  return WORDS[isMissing ? 'ENOENT' : reason]?.(address) ?? otherwise(reason);
}

const WORDS: Readonly<Record<string, (address: Address) => Words>> = {
  EADDRINUSE: (address) => ({
    cause: 'listener_taken',
    message: 'another program has this address already (EADDRINUSE), or a sidecar with another admin address',
    fix: `find it with \`${address.kind === 'tcp' ? `ss -ltnp 'sport = :${address.port}'` : `ss -lxp`}\` and stop it, or configure another address`,
  }),
  EACCES: (address) =>
    address.kind === 'tcp'
      ? {
          cause: 'listener_privileged',
          message: `this user may not listen on port ${address.port} (EACCES): ports below 1024 are privileged`,
          fix: 'use a port from 1024 on, or give the process CAP_NET_BIND_SERVICE',
        }
      : {
          cause: 'listener_folder_not_writable',
          message: `this user may not create a socket in ${dirname(address.path)} (EACCES)`,
          fix: 'chown that folder to the user that runs the sidecar (systemd: RuntimeDirectory=)',
        },
  EADDRNOTAVAIL: () => ({
    cause: 'listener_not_an_address',
    message: 'this is no address of this machine (EADDRNOTAVAIL)',
    fix: 'use 127.0.0.1, [::1], or an address that `ip addr` lists',
  }),
  ENOTFOUND: () => ({
    cause: 'listener_no_such_name',
    message: 'this name has no address (ENOTFOUND)',
    fix: 'write an address instead, such as 127.0.0.1',
  }),
  ENOENT: (address) => ({
    cause: 'listener_folder_missing',
    message: `the folder ${address.kind === 'unix' ? dirname(address.path) : ''} for this socket does not exist (ENOENT)`,
    fix: 'create it, owned by the user that runs the sidecar (systemd: RuntimeDirectory=)',
  }),
  ENOTSOCK: () => ({
    cause: 'listener_not_a_socket',
    message: 'there is a file at this path that is no socket; it is never overwritten',
    fix: 'move it away, or configure another path',
  }),
  ENAMETOOLONG: () => ({
    cause: 'listener_path_too_long',
    message: `a socket's path may have ${MAX_SOCKET_PATH} bytes at most`,
    fix: 'configure a shorter one, such as unix:/run/aritma/sidecar.sock',
  }),
};

function otherwise(reason: string): Words {
  const fix = 'correct this address; the code in brackets is the system’s own reason';
  return { cause: 'listener_failed', message: `cannot be listened on (${reason})`, fix };
}
