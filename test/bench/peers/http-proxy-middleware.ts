/** http-proxy-middleware with kept connections, without a framework around it. */
import { createServer, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { announce, CONNECTIONS, readInput } from './peer.ts';

const { upstream, authorization } = readInput();
const kept = { keepAlive: true, maxSockets: CONNECTIONS };
const agent = upstream.startsWith('https:') ? new HttpsAgent(kept) : new HttpAgent(kept);
const forward = createProxyMiddleware({ target: upstream, agent, headers: { authorization } });
announce(createServer((req, res) => void forward(req, res, () => res.writeHead(404).end())));
