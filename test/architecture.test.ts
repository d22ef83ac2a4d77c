/** The shape of the source as executable rules: who may import whom, how big things get, where the outside is touched. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { INPUTS } from '../src/config/env-and-flags.ts';
import { ERRORS } from '../src/core/errors.ts';
import { METRICS } from '../src/core/metrics.ts';

interface Source {
  /** `proxy/forward.ts`. */
  readonly path: string;
  readonly text: string;
  /** Relative imports as paths, `oauth/token-source.ts`. */
  readonly imports: readonly string[];
  /** Imported packages. */
  readonly packages: readonly string[];
}

const ROOT = join(import.meta.dirname, '..');
const SOURCES: readonly Source[] = globSync('src/**/*.ts', { cwd: ROOT }).map(read);
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  dependencies?: unknown;
  devDependencies: Record<string, string>;
};

function read(file: string): Source {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const path = file.replace(/^src\//, '');
  const specifiers = [...text.matchAll(/(?:\bfrom |\bimport |\bimport\()'([^'\n]+)'/g)].map(
    ([, specifier = '']) => specifier,
  );
  return {
    path,
    text,
    imports: specifiers.filter((name) => name.startsWith('.')).map((name) => normalize(join(dirname(path), name))),
    packages: specifiers
      .filter((name) => !/^(\.|node:)/.test(name))
      .map((name) => name.replace(/^(@[^/]+\/[^/]+|[^/]+).*$/, '$1')),
  };
}

/** A folder, or the file itself at the top. */
const partOf = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : path);

/** Importable from everywhere, importing nothing of ours. */
const ROOTS = [
  'errors.ts',
  'problem.ts',
  'secret.ts',
  'private-key.ts',
  'log.ts',
  'metrics.ts',
  'version.ts',
  'patient-rename.ts',
  'on-disk.ts',
  'memoize.ts',
  'undici.ts',
];

/** What each part may import besides itself and ROOTS. Files at the top that are not listed compose and may use all. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  config: [],
  oauth: [],
  proxy: ['config', 'oauth'],
  admin: [],
  emulator: [],
  check: [
    ...['config', 'iam', 'iam-connection.ts', 'oauth', 'egress.ts', 'identity.ts', 'listen.ts', 'outbound-proxy.ts'],
    ...['rotating.ts', 'rotation'],
  ],
  'errors.ts': [],
  'secret.ts': [],
  'log.ts': [],
  'memoize.ts': [],
  'metrics.ts': ['errors.ts', 'latencies.ts'],
  'problem.ts': ['errors.ts'],
  'undici.ts': [],
  'version.ts': [],
  'patient-rename.ts': [],
  'on-disk.ts': [],
  'private-key.ts': ['secret.ts'],
  'report.ts': ['terminal-text.ts'],
  'terminal-text.ts': [],
  'listen.ts': ['config'],
  'lifecycle.ts': [],
  'systemd.ts': [],
  audit: [],
  iam: ['config', 'oauth'],
  rotation: ['config', 'iam', 'oauth'],
  provision: ['config', 'iam', 'report.ts', 'rotation'],
  'control.ts': ['config', 'listen.ts'],
  'outbound-proxy.ts': ['config'],
  'egress.ts': ['config', 'outbound-proxy.ts'],
  'identity.ts': ['config', 'egress.ts', 'oauth'],
  'iam-connection.ts': ['config', 'egress.ts', 'iam', 'identity.ts', 'oauth'],
  'iam-commands': ['config', 'iam', 'iam-connection.ts', 'report.ts', 'rotation', 'terminal-text.ts'],
  'rotating.ts': ['config', 'iam', 'iam-connection.ts', 'identity.ts', 'oauth', 'rotation'],
  'generation.ts': ['config', 'holders.ts', 'identity.ts', 'oauth', 'proxy', 'routes.ts'],
  'holders.ts': [],
  'routes.ts': ['config', 'egress.ts', 'proxy'],
  workers: ['config', 'oauth', 'proxy'],
  'worker-generation.ts': ['holders.ts', 'oauth', 'routes.ts', 'workers'],
  'reload.ts': ['config', 'generation.ts'],
};

describe('dependency direction', () => {
  it.each(SOURCES.filter(({ path }) => MAY_IMPORT[partOf(path)]).map((source) => [source.path, source] as const))(
    '%s imports only what its part may import',
    (path, source) => {
      const part = partOf(path);
      const shared = ROOTS.includes(part) ? [] : ROOTS;
      const allowed = new Set([part, ...shared, ...(MAY_IMPORT[part] ?? [])]);
      expect(source.imports.filter((imported) => !allowed.has(partOf(imported)))).toEqual([]);
    },
  );

  it('the emulator shares no code at all with what it tests', () => {
    const shared = SOURCES.filter(({ path }) => path.startsWith('emulator/')).flatMap(({ imports }) => imports);
    expect(shared.filter((path) => !path.startsWith('emulator/'))).toEqual([]);
  });

  it('no feature imports the composition', () => {
    const composition = ['serve.ts', 'gate.ts', 'generation.ts', 'commands.ts', 'cli.ts', 'main.ts', 'demo.ts'];
    const features = SOURCES.filter(({ path }) => path.includes('/'));
    expect(
      features.filter(({ imports }) => imports.some((path) => composition.includes(path))).map(({ path }) => path),
    ).toEqual([]);
  });
});

describe('where the outside is touched', () => {
  const users = (pattern: RegExp) => SOURCES.filter(({ text }) => pattern.test(text)).map(({ path }) => path);

  it('only config/load.ts reads the environment', () => {
    expect(users(/process\.env/)).toEqual(['config/load.ts']);
  });

  it('only main.ts reads argv and ends the process', () => {
    expect(users(/process\.argv|process\.exit/)).toEqual(['main.ts']);
  });

  it('no file uses http-proxy-3 for requests: its web() can turn one chunked DELETE into two requests', () => {
    expect(users(/\.web\(/)).toEqual([]);
  });

  it('reveal() is called only where a secret or token goes onto the wire', () => {
    expect(users(/\.reveal\(\)/).sort()).toEqual([
      'check/claims.ts',
      'check/mask.ts',
      'check/upstream.ts',
      'iam-commands/secret-file.ts',
      'iam-commands/secrets.ts',
      'iam/api.ts',
      'iam/problem-text.ts',
      'iam/request.ts',
      'oauth/client-auth.ts',
      'oauth/verifier.ts',
      'outbound-proxy.ts',
      'private-key.ts',
      'provision/memory.ts',
      'proxy/forward.ts',
      'rotation/exec-store.ts',
      'rotation/file-store.ts',
      'rotation/kubernetes-api.ts',
      'rotation/kubernetes-store.ts',
      'rotation/rotate.ts',
      // Tokens and the password of an outbound proxy, onto the pipe to a worker.
      'workers/settings.ts',
      'workers/token-desk.ts',
    ]);
  });
});

describe('what parses callers’ bytes in a process of its own', () => {
  it('loads nothing that reads configuration or uses client secrets', () => {
    const known = new Map(SOURCES.map((source) => [source.path, source]));
    const loaded = new Set<string>();
    const load = (path: string) => {
      if (loaded.has(path)) return;
      loaded.add(path);
      // Imports of types alone are gone when it runs.
      const text = known.get(path)?.text.replace(/^import type [^;]+;$/gm, '') ?? '';
      for (const [, name = ''] of text.matchAll(/(?:\bfrom |\bimport )'(\.[^'\n]+)'/g))
        load(normalize(join(dirname(path), name)));
    };
    load('worker.ts');
    expect(loaded.size).toBeGreaterThan(20);
    const forbidden =
      /^(?:config\/(?!values)|oauth\/(?:credentials|proofs|client-auth|token-endpoint|token-source)|identity|generation|serve|rotation|iam|commands|cli)/;
    expect([...loaded].filter((path) => forbidden.test(path))).toEqual([]);
  });
});

describe('size and shape', () => {
  const TABLES = new Set(['config/schema.ts', 'errors.ts', 'metrics.ts']);
  /** One small parser for each kind of option value. */
  const PARSERS = new Set(['config/values.ts']);

  it.each(SOURCES.map((source) => [source.path, source.text] as const))('%s is read in one sitting', (path, text) => {
    expect(text.split('\n').length - 1).toBeLessThanOrEqual(TABLES.has(path) ? 300 : 250);
    const exported = text.match(/^export (?:async )?(?:function|const|class|let) /gm) ?? [];
    expect(exported.length).toBeLessThanOrEqual(PARSERS.has(path) || TABLES.has(path) ? 6 : 3);
    expect(text.replace(/^#!.*\n/, '')).toMatch(/^\/[/*]/);
  });

  it('names files as nouns in kebab-case and has no drawer for leftovers', () => {
    const names = SOURCES.map(({ path }) => path.replace(/^.*\//, ''));
    expect(names.filter((name) => !/^[a-z][a-z0-9]*(-[a-z0-9]+)*(\.d)?\.ts$/.test(name))).toEqual([]);
    expect(
      names.filter((name) =>
        /^(utils?|helpers?|types|constants|index|misc|common)\.ts$|(manager|service|handler)\.ts$/.test(name),
      ),
    ).toEqual([]);
  });

  it('imports at most twelve packages, each pinned to a version, and leaves none to be installed by its users', () => {
    const imported = new Set(SOURCES.flatMap(({ packages }) => packages));
    expect(imported.size).toBeLessThanOrEqual(12);
    for (const name of imported)
      expect([name, manifest.devDependencies[name]]).toEqual([name, expect.stringMatching(/^\d/)]);
    expect(manifest.dependencies).toBeUndefined();
  });
});

describe('the three tables', () => {
  it('every error code belongs to a family that says whose fault it is, and is used', () => {
    const families = /^(CONFIG|CALLER|ROUTE|CREDENTIALS|TOKEN|UPSTREAM|IAM|ROTATION|SIDECAR)_[A-Z0-9_]+$/;
    const others = SOURCES.filter(({ path }) => path !== 'errors.ts')
      .map(({ text }) => text)
      .join('\n');
    const codes = Object.keys(ERRORS);
    expect(codes.filter((code) => !families.test(code))).toEqual([]);
    expect(codes.filter((code) => !others.includes(code))).toEqual([]);
  });

  it('every metric says what it counts, and counters end in _total', () => {
    for (const [name, row] of Object.entries(METRICS)) {
      expect(row.help.length).toBeGreaterThan(5);
      expect(name.endsWith('_total')).toBe(row.type === 'counter');
    }
  });

  it('every environment variable has the prefix, and none that holds a secret has a flag', () => {
    for (const { env, flag, path } of INPUTS) {
      expect(env).toMatch(/^ARITMA_[A-Z_]+$/);
      expect(path.at(-1) === 'env' && flag !== undefined).toBe(false);
    }
  });
});
