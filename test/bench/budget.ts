// Measures what attacks cost: `npm run budget`; `-- --before FILE` beside another build, `-- --only TEXT` for some attacks.
import { parseArgs } from 'node:util';
import { ATTACKS, PLAIN } from '../support/budget-attacks.ts';
import { type Attack, type Cost, measure, type Subject } from '../support/budget-world.ts';

const { values } = parseArgs({ options: { before: { type: 'string' }, only: { type: 'string', default: '' } } });
const subjects: readonly (readonly [name: string, subject: Subject])[] = [
  ...(values.before === undefined ? [] : [['before', { program: values.before }] as const]),
  ['after', { program: undefined }],
  ['control', 'control'],
];
const MIB = 1024 * 1024;
const COLUMNS = [
  'attack',
  'bytes sent',
  'subject',
  'memory MiB',
  'CPU ms',
  'ns a byte',
  'longest wait ms (own time)',
  '',
];

function row(attack: Attack, name: string, cost: Cost): readonly string[] {
  const verdict = cost.isAlive ? (cost.failed > 0 ? `${cost.failed} of ${cost.asked} not served` : '') : 'ended';
  return [
    ...[attack.name, cost.bytes.toLocaleString('en'), name, (cost.memory / MIB).toFixed(0), cost.cpuMs.toFixed(0)],
    ...[((cost.cpuMs * 1e6) / cost.bytes).toFixed(0), `${cost.longestMs.toFixed(0)} (${cost.longestOwnMs.toFixed(0)})`],
    verdict,
  ];
}

const line = (cells: readonly string[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
line(COLUMNS);
line(COLUMNS.map(() => '---'));
for (const attack of [PLAIN, ...ATTACKS].filter(({ name }) => name.includes(values.only))) {
  for (const size of attack.sizes) {
    for (const [name, subject] of subjects) {
      if (subject === 'control' && !attack.hasControl) continue;
      line(row(attack, name, await measure(subject, attack, size)));
    }
  }
}
process.exit();
