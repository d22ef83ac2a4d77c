import { expect, it } from 'vitest';
import { createLog } from '../../src/core/log.ts';
import { createLogTail } from '../../src/core/log-tail.ts';

const line = (index: number, length = 20) => `${String(index).padStart(length, '0')}\n`;

it('is empty before the first line', () => {
  expect(createLogTail().lines()).toEqual([]);
});

it('has the last five hundred lines in order, however they came', () => {
  const tail = createLogTail();
  for (let index = 0; index < 3000; index += 3)
    tail.add(Buffer.from([line(index), line(index + 1), line(index + 2)].join('')));
  const lines = tail.lines();
  expect(lines).toHaveLength(500);
  expect(lines.map(Number)).toEqual(Array.from({ length: 500 }, (_, index) => 2500 + index));
});

it('has whole lines only and at most 256 KiB when they are long, and at least half of that', () => {
  const tail = createLogTail();
  for (let index = 0; index < 400; index += 1) tail.add(Buffer.from(`${index}:${'x'.repeat(4000)}\n`));
  const lines = tail.lines();
  const bytes = lines.join('\n').length;
  expect(bytes).toBeLessThanOrEqual(256 * 1024);
  expect(bytes).toBeGreaterThan(120 * 1024);
  expect(lines.at(-1)).toMatch(/^399:/);
  expect(lines.every((one) => /^\d+:x{4000}$/.test(one))).toBe(true);
});

it('keeps the end of a batch that is larger than it', () => {
  const tail = createLogTail();
  tail.add(Buffer.from(`${'y'.repeat(300 * 1024)}\nlast\n`));
  expect(tail.lines().at(-1)).toBe('last');
});

it('has what the log wrote, below its level nothing', () => {
  const log = createLog({ level: 'info', format: 'json', write: () => undefined });
  log.debug('hidden');
  log.info('shown', { path: '/x' });
  expect(log.tail().map((one) => (JSON.parse(one) as { message: string }).message)).toEqual(['shown']);
});
