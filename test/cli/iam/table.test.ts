// Lists as a person sees them and as a program reads them, however long they are and whoever stops reading.
import { describe, expect, it } from 'vitest';
import { createPrinter } from '../../../src/cli/iam/output.ts';
import { printTable, type View } from '../../../src/cli/iam/table.ts';
import { createFakeTerminal } from '../../support/fake-terminal.ts';

interface Row {
  readonly id: string;
  readonly name: string;
}

const VIEW: View<Row> = {
  columns: [
    { title: 'id', of: ({ id }) => id },
    { title: 'name', of: ({ name }) => name },
  ],
  data: (row) => ({ ...row }),
  none: 'no rows',
};

async function* rowsOf(...rows: readonly Row[]): AsyncGenerator<Row> {
  yield* rows;
}

async function printed(rows: AsyncIterable<Row>, { tty = true, json = false } = {}): Promise<string> {
  const [out, err] = [createFakeTerminal(tty), createFakeTerminal(false)];
  await printTable(rows, VIEW, createPrinter({ out: out.stream, err: err.stream }, json));
  return out.text();
}

describe('iam-commands/table', () => {
  it('aligns columns under their titles and leaves no blanks behind', async () => {
    expect(await printed(rowsOf({ id: 'long-id', name: 'a' }, { id: 'b', name: '' }))).toBe(
      'ID       NAME\nlong-id  a\nb\n',
    );
  });

  it('cuts nothing, in later rows either', async () => {
    const id = 'x'.repeat(500);
    const rows = [...Array.from({ length: 100 }, () => ({ id: 'a', name: 'n' })), { id, name: 'last' }];
    expect((await printed(rowsOf(...rows))).split('\n').at(-2)).toBe(`${id}  last`);
  });

  it('says that there is nothing, to people only', async () => {
    expect(await printed(rowsOf())).toBe('no rows\n');
    expect(await printed(rowsOf(), { tty: false })).toBe('');
    expect(await printed(rowsOf(), { json: true })).toBe('');
  });

  it('has one head however many rows come, and all rows at block borders', async () => {
    for (const count of [99, 100, 101, 200, 201]) {
      const rows = Array.from({ length: count }, (_, index) => ({ id: `${index}`, name: 'n' }));
      const lines = (await printed(rowsOf(...rows))).trimEnd().split('\n');
      expect(lines).toHaveLength(count + 1);
      expect(lines.filter((line) => line.startsWith('ID'))).toHaveLength(1);
    }
  });

  it('shows what a terminal would obey, in every column', async () => {
    const text = await printed(rowsOf({ id: '\u001b[2J', name: 'a\nb\u009b\u202e\u0007' }));
    expect(text).toBe('ID         NAME\n\\u001b[2J  a\\u000ab\\u009b\\u202e\\u0007\n');
  });

  it.each([{ tty: false }, { json: true }])(
    'writes JSON that says the same and holds no such thing: %j',
    async (how) => {
      const row = { id: '\u001b', name: 'a\u0085\u2028\u202e\ud800' };
      const text = await printed(rowsOf(row), how);
      expect(text).toMatch(/^[ -~]+\n$/);
      expect(JSON.parse(text)).toEqual(row);
    },
  );

  it.each([true, false])('holds one block only while nobody reads (terminal: %s)', async (tty) => {
    const gate = Promise.withResolvers<void>();
    const out = createFakeTerminal(tty, () => gate.promise);
    let asked = 0;
    async function* endless(): AsyncGenerator<Row> {
      for (; asked < 5000; asked += 1) yield { id: 'x'.repeat(100), name: 'n' };
    }
    const printing = printTable(
      endless(),
      VIEW,
      createPrinter({ out: out.stream, err: createFakeTerminal(false).stream }, false),
    );
    await new Promise(setImmediate);
    expect(asked).toBeLessThan(120);
    gate.resolve();
    await printing;
    expect(asked).toBe(5000);
  });

  it.each([true, false])('ends, and closes the list, once nobody reads any more (terminal: %s)', async (tty) => {
    let writes = 0;
    const out = createFakeTerminal(tty, async () => {
      writes += 1;
      if (writes === 2) throw Object.assign(new Error('closed'), { code: 'EPIPE' });
    });
    let closed = false;
    async function* endless(): AsyncGenerator<Row> {
      try {
        for (;;) yield { id: 'x'.repeat(2000), name: 'n' };
      } finally {
        closed = true;
      }
    }
    await printTable(endless(), VIEW, createPrinter({ out: out.stream, err: createFakeTerminal(false).stream }, false));
    expect(closed).toBe(true);
  });
});

describe('iam-commands/printer', () => {
  const watching = (tty: boolean) => {
    const [out, err] = [createFakeTerminal(tty), createFakeTerminal(tty)];
    return { err, printer: createPrinter({ out: out.stream, err: err.stream }, false) };
  };

  it('tells a person how far a long list is, and takes it away before the result and at the end', async () => {
    const { err, printer } = watching(true);
    const said = async () => {
      // A stream takes the next piece when it has done with the one before.
      await new Promise(setImmediate);
      return err.text().replaceAll('\u001b', 'ESC').replaceAll('\r', 'CR');
    };
    printer.onPage(100, 250);
    expect(await said()).toBe('CRESC[K100 of 250 …');
    await printer.text('result\n');
    expect(await said()).toBe('CRESC[K100 of 250 …CRESC[K');
    printer.onPage(200, undefined);
    expect(await said()).toMatch(/CRESC\[K200 so far …$/);
    printer.settle();
    printer.settle();
    expect(await said()).toMatch(/so far …CRESC\[K$/);
  });

  it('says nothing of short lists, of the last page, and to programs', () => {
    const person = watching(true);
    person.printer.onPage(99, 250);
    person.printer.onPage(250, 250);
    const program = watching(false);
    program.printer.onPage(100, 250);
    expect([person.err.text(), program.err.text()]).toEqual(['', '']);
  });
});
