/** All subjects in the order of reports: the sidecar, then the ones most like it. */
import { CADDY } from './caddy.ts';
import { HAPROXY } from './haproxy.ts';
import { NGINX, NGINX_LUA } from './nginx.ts';
import { NODE_PEERS } from './node-peers.ts';
import { SIDECAR } from './sidecar.ts';
import type { Subject } from './subject.ts';

export const SUBJECTS: readonly Subject[] = [SIDECAR, ...NODE_PEERS, CADDY, NGINX_LUA, NGINX, HAPROXY];
