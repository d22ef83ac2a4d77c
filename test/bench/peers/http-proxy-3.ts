/** http-proxy-3 with kept connections. */
import { createServer, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createProxyServer } from 'http-proxy-3';
import { announce, CONNECTIONS, readInput } from './peer.ts';

const { upstream, authorization } = readInput();
const kept = { keepAlive: true, maxSockets: CONNECTIONS };
const agent = upstream.startsWith('https:') ? new HttpsAgent(kept) : new HttpAgent(kept);
const proxy = createProxyServer({ target: upstream, agent, headers: { authorization } });
proxy.on('error', (_error, _req, res) => res.destroy());
announce(createServer((req, res) => proxy.web(req, res)));
