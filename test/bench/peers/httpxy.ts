/** httpxy with kept connections. */
import { createServer, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createProxyServer } from 'httpxy';
import { announce, CONNECTIONS, readInput } from './peer.ts';

const { upstream, authorization } = readInput();
const kept = { keepAlive: true, maxSockets: CONNECTIONS };
const agent = upstream.startsWith('https:') ? new HttpsAgent(kept) : new HttpAgent(kept);
const proxy = createProxyServer({ target: upstream, agent, headers: { authorization } });
announce(createServer((req, res) => void proxy.web(req, res).catch(() => res.destroy())));
