/** The report as an SVG picture: bars with quartiles, readable on a light and on a dark page. */
import type { Measure } from './figures.ts';
import type { Report } from './report.ts';
import type { Spread } from './statistics.ts';
import { number } from './table.ts';

interface Panel {
  readonly title: string;
  readonly workload: string;
  readonly measure: Measure;
}

interface Bar {
  readonly name: string;
  readonly value: Spread;
}

const PANELS: readonly Panel[] = [
  { title: 'CPU time for a small GET, µs (less is better)', workload: 'get-32', measure: 'cpuUs' },
  { title: 'Requests a second on one core (more is better)', workload: 'get-32', measure: 'perSecond' },
  { title: 'p99 at 200 requests a second, ms (less is better)', workload: 'open-200', measure: 'p99Ms' },
];
const WIDTH = 760;
const NAMES = 170;
/** Space for the value after the longest bar. */
const VALUES = 70;
const ROW = 22;
const HEADING = 34;
const STYLE = `text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.value{fill:#57606a}
.bar{fill:#8c959f}.own{fill:#0969da}.spread{stroke:#24292f;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.value{fill:#9da7b3}.bar{fill:#6e7681}.own{fill:#2f81f7}.spread{stroke:#e6edf3}}`;

/** Leaves out panels without a value. */
export function renderChart(report: Pick<Report, 'figures'>): string {
  let top = 10;
  const parts: string[] = [];
  for (const panel of PANELS) {
    const bars = barsOf(report, panel);
    if (bars.length === 0) continue;
    parts.push(`<text class="title" x="10" y="${top + 18}">${escaped(panel.title)}</text>`);
    parts.push(...drawBars(bars, top + HEADING));
    top += HEADING + bars.length * ROW + 14;
  }
  const size = `width="${WIDTH}" height="${top}" viewBox="0 0 ${WIDTH} ${top}"`;
  const label = 'Benchmark: the sidecar beside other proxies';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${label}">\n<style>${STYLE}</style>\n${parts.join('\n')}\n</svg>\n`;
}

function barsOf({ figures }: Pick<Report, 'figures'>, { workload, measure }: Panel): Bar[] {
  return figures.flatMap((one) => {
    const value = one.workload === workload ? one.values[measure] : undefined;
    return value === undefined ? [] : [{ name: one.lane, value }];
  });
}

/** Thin lines mark the first to the third quartile. */
function drawBars(bars: readonly Bar[], top: number): string[] {
  const most = Math.max(...bars.map(({ value }) => value.high));
  const lengthOf = (value: number) => round(((WIDTH - NAMES - VALUES) * value) / (most || 1));
  return bars.map(({ name, value: { median, low, high } }, index) => {
    const y = top + index * ROW;
    const kind = name === 'sidecar' ? 'bar own' : 'bar';
    const middle = y + ROW / 2 - 2;
    return [
      `<text x="${NAMES - 8}" y="${y + 14}" text-anchor="end">${escaped(name)}</text>`,
      `<rect class="${kind}" x="${NAMES}" y="${y + 2}" width="${lengthOf(median)}" height="${ROW - 8}" rx="2"/>`,
      `<line class="spread" x1="${NAMES + lengthOf(low)}" x2="${NAMES + lengthOf(high)}" y1="${middle}" y2="${middle}"/>`,
      `<text class="value" x="${NAMES + lengthOf(Math.max(high, median)) + 6}" y="${y + 14}">${number(median)}</text>`,
    ].join('');
  });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
