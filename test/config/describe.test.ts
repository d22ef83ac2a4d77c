// The descriptions derived from the option table: JSON Schema, the effective document, the rows for documentation.
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { effectiveDocument, jsonSchema, optionRows } from '../../src/config/describe.ts';
import { COMPLETE_ENV, createFolder, load } from '../support/folder.ts';

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly anyOf?: readonly Schema[];
}

/** Every object of the schema with its place. */
function objectsOf(schema: Schema, place = ''): [string, Schema][] {
  const { properties = {}, additionalProperties, items, anyOf = [] } = schema;
  const below = [
    ...Object.entries(properties).map(([key, child]) => [`${place}.${key}`, child] as const),
    ...(typeof additionalProperties === 'object' ? [[`${place}.*`, additionalProperties] as const] : []),
    ...(items ? [[`${place}[]`, items] as const] : []),
    ...anyOf.map((child) => [place, child] as const),
  ];
  const here: [string, Schema][] = schema.properties ? [[place, schema]] : [];
  return [...here, ...below.flatMap(([at, child]) => objectsOf(child, at))];
}

describe('config/describe', () => {
  it('gives a JSON Schema of the 2020-12 dialect that is plain data', () => {
    const schema = jsonSchema();
    expect(schema).toMatchObject({ $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object' });
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
  });

  it('closes every mapping of options to unknown keys', () => {
    const objects = objectsOf(jsonSchema() as Schema);
    expect(objects.length).toBeGreaterThan(8);
    for (const [place, { additionalProperties }] of objects) expect(additionalProperties, place).toBe(false);
  });

  it('requires nothing at the top that a preset or a default brings', () => {
    const required = Object.fromEntries(
      objectsOf(jsonSchema() as Schema).map(([place, schema]) => [place, schema.required ?? []]),
    );
    expect(required['.credentials.*']).not.toContain('auth');
    for (const place of ['.token', '.timeouts', '.limits', '.drain', '.log', '.callers', '.unsafe']) {
      expect(required[place], place).toEqual([]);
    }
  });

  it('fills in every default, and what it gives is a configuration that means the same', () => {
    using folder = createFolder();
    const secret = folder.write('secret', 'abc');
    const yaml = `environment: dev\nlisten: 127.0.0.1:1,[::1]:2\ncredentials: { default: { secrets: [{ file: ${secret} }, { env: SECOND }] } }\n`;
    const env = { ARITMA_CLIENT_ID: 'x', ARITMA_SCOPE: 'a b', SECOND: 'def' };
    const before = load(folder, { yaml, env });
    const printed = stringify(effectiveDocument(before.document));
    const after = load(folder, { yaml: printed, env: { SECOND: 'def' } });
    expect(after.config).toEqual(before.config);
    expect(effectiveDocument(after.document)).toEqual(parse(printed));
    expect(printed).not.toMatch(/abc|def\b/);
  });

  it('has one row for each option with a description, and values where there are only some', () => {
    const rows = optionRows();
    expect(new Set(rows.map(({ path }) => path)).size).toBe(rows.length);
    for (const { path, description } of rows) expect(description, path).not.toBe('');
    const row = (path: string) => rows.find((candidate) => candidate.path === path);
    expect(row('startup')).toMatchObject({ values: ['lenient', 'strict'], fallback: 'lenient', required: false });
    expect(row('credentials.<name>.clientId')).toMatchObject({ required: true, fallback: undefined });
  });

  it('gives as default of an option what is in force without it', () => {
    using folder = createFolder();
    const key = folder.write('fleet-key', 'A'.repeat(43));
    const [audit, tracing] = [{ file: 'audit.jsonl' }, { otlp: 'http://127.0.0.1:4318' }];
    const fleet = { url: 'redis://127.0.0.1', keys: [{ file: key }] };
    const effective = effectiveDocument(
      load(folder, { env: COMPLETE_ENV, yaml: JSON.stringify({ audit, tracing, fleet }) }).document,
    );
    for (const { path, fallback } of optionRows()) {
      if (fallback === undefined || /[<[]|^environment/.test(path)) continue;
      const value = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], effective);
      expect(typeof value === 'string' ? value : JSON.stringify(value), path).toBe(fallback);
    }
  });
});
