/** Every subject, the sidecar first. */
import { NGINX } from './nginx.ts';
import { NODE_PEERS } from './node-peers.ts';
import { SIDECAR } from './sidecar.ts';
import type { Subject } from './subject.ts';

export const SUBJECTS: readonly Subject[] = [SIDECAR, ...NODE_PEERS, NGINX];
