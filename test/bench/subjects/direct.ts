/** No proxy: the load generator sends the token itself. The latency that a proxy adds is the difference from this. */
import { type Setup, STATIC_AUTHORIZATION, type Subject } from './subject.ts';

export const DIRECT: Subject = {
  name: 'direct',
  does: 'no proxy: the load generator sends the token itself',
  logs: false,
  version: () => '',
  start: async ({ upstreamPort }: Setup) => ({
    port: upstreamPort,
    pids: [],
    expects: new RegExp(`^${STATIC_AUTHORIZATION}$`),
    authorization: STATIC_AUTHORIZATION,
    stop: async () => undefined,
  }),
};
