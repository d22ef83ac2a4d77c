/**
 * A plan as people and programs read it: like a diff, one line a thing, one more for each field that changes.
 */
import type { Line } from '../../core/report.ts';
import type { FieldChange, Step } from './plan.ts';

const SIGNS: Readonly<Record<Step['change'], string>> = { create: '+', update: '~', none: ' ', leave: '·' };

export function planLine(step: Step): Line {
  const { change, what, name, fields = [], policy, note } = step;
  const head = `${SIGNS[change]} ${what.padEnd(6)} ${name}${note === undefined ? '' : `   ${note}`}`;
  const lines = [head, ...fields.flatMap(fieldLines)];
  return {
    text: lines.map(printable).join('\n'),
    data: { change, what, name, ...(fields.length > 0 && { fields }), ...policy, ...(note !== undefined && { note }) },
  };
}

function fieldLines({ field, from, to }: FieldChange): string[] {
  return [`    - ${field}: ${shown(from)}`, `    + ${field}: ${shown(to)}`];
}

const shown = (value: FieldChange['from']) => (typeof value === 'string' ? value : `[${value.join(', ')}]`);

/** Names at IAM are other people's text, and a terminal obeys some of it. */
const printable = (line: string) => line.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
