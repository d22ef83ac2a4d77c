/**
 * This machine's clock against the identity server's, by the `Date` of its answers (RFC 9110 §6.6.1).
 */
import { FINDING, type Finding } from './finding.ts';

export interface Reading {
  /** The header as it came; whole seconds. */
  readonly date: string | string[] | undefined;
  /** Epoch ms when the answer came. */
  readonly at: number;
}

const WARNING_S = 30;
const ERROR_S = 300;

/** Undefined when the server does not tell the time. */
export function clockFinding(host: string, { date, at }: Reading): Finding | undefined {
  const theirs = typeof date === 'string' ? Date.parse(date) : Number.NaN;
  if (Number.isNaN(theirs)) return undefined;
  const skewS = Math.round((at - theirs) / 1000);
  const subject = `clock (${host})`;
  if (Math.abs(skewS) <= WARNING_S) return FINDING.ok(subject, 'agrees with the identity server’s');
  const words = {
    cause: 'clock_skew',
    message: `this machine's clock is ${Math.abs(skewS)} s ${skewS > 0 ? 'ahead of' : 'behind'} the identity server's`,
    fix: 'set it by NTP (timedatectl, chronyc tracking); on a virtual machine also look at the host’s clock',
  };
  if (Math.abs(skewS) <= ERROR_S) return FINDING.warning(subject, 'TOKEN_UNAVAILABLE', words);
  const breaks =
    '; signed assertions (private_key_jwt) are refused, tokens look expired or not yet valid, and so do certificates';
  return FINDING.error(subject, 'TOKEN_UNAVAILABLE', { ...words, message: words.message + breaks });
}
