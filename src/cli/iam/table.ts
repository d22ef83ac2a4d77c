/**
 * Prints lists as they arrive: aligned columns for people, one JSON object per line for programs. Holds one block of rows at a
 * time and requests no more pages once nobody reads any more (`| head`).
 */
import type { Printer } from './output.ts';

export interface Column<T> {
  readonly title: string;
  readonly of: (item: T) => string;
}

/** How an item looks: as columns, or as a JSON object. */
export interface View<T> {
  readonly columns: readonly Column<T>[];
  readonly data: (item: T) => Readonly<Record<string, unknown>>;
  /** Text for people instead of an empty table. */
  readonly none: string;
}

/** The first rows set the column widths. A longer value further down is not cut; its line is longer. */
const BLOCK = 100;

export async function printTable<T>(items: AsyncIterable<T>, view: View<T>, printer: Printer): Promise<void> {
  if (printer.json) return printLines(items, view, printer);
  const widths = view.columns.map(({ title }) => title.length);
  let block: string[][] = [];
  let begun = false;
  const flush = async () => {
    block.forEach((row) => {
      row.forEach((cell, at) => {
        widths[at] = Math.max(widths[at] ?? 0, cell.length);
      });
    });
    const head = begun ? [] : [view.columns.map(({ title }) => title.toUpperCase())];
    begun = true;
    const wanted = await printer.text([...head, ...block].map((row) => `${aligned(row, widths)}\n`).join(''));
    block = [];
    return wanted;
  };
  for await (const item of items) {
    block.push(view.columns.map(({ of }) => printer.cell(of(item))));
    if (block.length >= BLOCK && !(await flush())) return;
  }
  if (block.length > 0) await flush();
  else if (!begun) await printer.text(`${view.none}\n`);
}

async function printLines<T>(items: AsyncIterable<T>, { data }: View<T>, printer: Printer): Promise<void> {
  for await (const item of items) if (!(await printer.line({ text: '', data: data(item) }))) return;
}

function aligned(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
    .join('  ')
    .trimEnd();
}
