import { describe, expect, it } from 'vitest';
import { renderChart } from './chart.ts';
import type { Figures } from './figures.ts';

const figures = (lane: string, median: number): Figures => ({
  ...{ workload: 'get-32', lane, validRounds: 3, invalidRounds: 0 },
  values: { cpuUs: { median, low: median * 0.9, high: median * 1.1, count: 3 } },
});

describe('chart', () => {
  const svg = renderChart({ figures: [figures('sidecar', 80), figures('a<b&c', 40)] });

  it('draws bars in proportion, the sidecar in a colour of its own', () => {
    const widths = [...svg.matchAll(/<rect class="(bar(?: own)?)"[^>]* width="([\d.]+)"/g)];
    expect(widths.map(([, kind]) => kind)).toEqual(['bar own', 'bar']);
    expect(Number(widths[0]?.[2]) / Number(widths[1]?.[2])).toBeCloseTo(2, 1);
  });

  it('is well-formed whatever subjects are called, and stays within its width', () => {
    expect(svg).toContain('a&lt;b&amp;c');
    const ends = [...svg.matchAll(/ (?:x|x1|x2)="([\d.]+)"/g)].map(([, x]) => Number(x));
    expect(Math.max(...ends)).toBeLessThan(760);
    expect(svg).toContain('prefers-color-scheme:dark');
  });

  it('leaves out panels nobody has values for', () => {
    expect(svg.match(/class="title"/g)).toHaveLength(1);
  });
});
