// When a secret is to expire, as people write it.
import { describe, expect, it } from 'vitest';
import { parseExpiry } from '../../../src/cli/iam/flags.ts';

const NOW = Date.UTC(2026, 5, 1, 12);

describe('iam-commands/expiry', () => {
  it.each([
    ['never', undefined],
    ['1h', Date.UTC(2026, 5, 1, 13)],
    ['90d', Date.UTC(2026, 7, 30, 12)],
    ['2027-06-30', Date.UTC(2027, 5, 30)],
    ['2028-02-29', Date.UTC(2028, 1, 29)],
    ['2027-06-30T12:00', Date.UTC(2027, 5, 30, 12)],
    ['2027-06-30T12:00:30Z', Date.UTC(2027, 5, 30, 12, 0, 30)],
    ['2027-06-30T12:00+02:00', Date.UTC(2027, 5, 30, 10)],
  ])('understands %s', (text, expected) => {
    expect(parseExpiry(text, NOW)).toBe(expected);
  });

  it.each([
    '',
    'soon',
    '90',
    'd',
    '0d',
    '9999d',
    '90 d',
    '-1d',
    '2026-06-01',
    '2019-08-24T14:15:22Z',
    '2027-02-29',
    '2027-13-01',
  ])('refuses %j', (text) => {
    expect(() => parseExpiry(text, NOW)).toThrow(/CONFIG_INVALID/);
  });

  it.each(['2027-06-30T25:00', '30.6.2027', '2027-06-30 12:00', 'Never', '1e3d', '2027-6-30'])('refuses %j', (text) => {
    expect(() => parseExpiry(text, NOW)).toThrow(/CONFIG_INVALID/);
  });
});
