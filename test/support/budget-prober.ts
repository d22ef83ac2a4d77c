/**
 * A thread that calls as a new caller again and again during an attack: the longest wait, by the clock and by the CPU time of
 * the subject's main thread, which other processes cannot prolong. Also the API behind that caller, and the highest memory of
 * the subject.
 */
import { readFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { residentBytes } from './processes.ts';

export interface Probed {
  readonly asked: number;
  readonly failed: number;
  readonly longestMs: number;
  readonly longestOwnMs: number;
  readonly peakBytes: number;
}

/** CPU time of the first thread of a process, ms. */
function ownMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  } catch {
    // The process has ended.
    return 0;
  }
}

function ask(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    get(url, { agent: false }, (answer) => {
      answer.resume().once('close', () => resolve(answer.complete && answer.statusCode === 200));
    }).once('error', () => resolve(false));
  });
}

async function probe(pid: number, url: string, isOver: () => boolean): Promise<Probed> {
  const seen = { asked: 0, failed: 0, longestMs: 0, longestOwnMs: 0, peakBytes: residentBytes(pid) ?? 0 };
  const watch = setInterval(() => {
    seen.peakBytes = Math.max(seen.peakBytes, residentBytes(pid) ?? 0);
  }, 5);
  // At least one call after the attack: it counts, too.
  for (let last = false; !last; await setTimeout(5)) {
    last = isOver();
    const [startedAt, had] = [performance.now(), ownMs(pid)];
    const isServed = await ask(url);
    seen.asked += 1;
    if (!isServed) seen.failed += 1;
    seen.longestMs = Math.max(seen.longestMs, performance.now() - startedAt);
    seen.longestOwnMs = Math.max(seen.longestOwnMs, ownMs(pid) - had);
  }
  clearInterval(watch);
  return seen;
}

const server = createServer((_req, res) => void res.end('fine'));
server.listen(0, '127.0.0.1', () => {
  let over = true;
  parentPort?.on('message', (message: { readonly pid: number; readonly url: string } | 'over') => {
    if (message === 'over') {
      over = true;
      return;
    }
    over = false;
    void probe(message.pid, message.url, () => over).then((probed) => parentPort?.postMessage(probed));
  });
  parentPort?.postMessage(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
