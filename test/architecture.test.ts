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
  dependencies: Record<string, string>;
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

interface Room {
  /** What it is for, in one sentence; docs/architecture.md has the same. */
  readonly charter: string;
  readonly mayImport: readonly string[];
}

/** The entries of `src/`, from the top floor down: arrows go down only. */
const ROOMS: Readonly<Record<string, Room>> = {
  'main.ts': { charter: 'From argv to exit code.', mayImport: ['cli', 'core'] },
  cli: {
    charter: 'What the user types and what the process answers with: flags, help, signals, exit codes.',
    mayImport: ['check', 'sidecar', 'emulator', 'fleet', 'iam', 'oauth', 'net', 'config', 'core'],
  },
  check: {
    charter: 'Tries everything the sidecar will do and says what to fix.',
    mayImport: ['fleet', 'iam', 'oauth', 'net', 'config', 'core'],
  },
  sidecar: {
    charter: 'Composition root: a loaded configuration becomes running objects, is reloaded, drained, stopped.',
    mayImport: ['fleet', 'iam', 'proxy', 'oauth', 'net', 'config', 'admin', 'core'],
  },
  fleet: {
    charter: 'What sidecars with the same client share through a store: tokens, verdicts, budgets, who is there.',
    mayImport: ['oauth', 'net', 'config', 'core'],
  },
  iam: {
    charter: 'Aritma IAM as a client: provisioning, and rotation of secrets without downtime.',
    mayImport: ['oauth', 'net', 'config', 'core'],
  },
  proxy: {
    charter: 'One request: admitted, given its token, forwarded, responded to, logged.',
    mayImport: ['oauth', 'net', 'config', 'core'],
  },
  oauth: { charter: 'Tokens: obtained, cached, refreshed, failed over.', mayImport: ['net', 'config', 'core'] },
  net: {
    charter: 'Sockets in and out: listeners, pools, tunnels, one bounded request.',
    mayImport: ['config', 'core'],
  },
  config: { charter: 'Option table and loader; the only reader of the environment.', mayImport: ['core'] },
  admin: { charter: 'Probes, `/metrics`, `/status` and the page, from snapshots only.', mayImport: ['core'] },
  core: {
    charter: 'Imports nothing of ours: error, metric and log tables, secrets, clock, terminal, durable files.',
    mayImport: [],
  },
  emulator: { charter: 'A stand-in for Aritma that shares no code with the rest.', mayImport: [] },
};

const known = new Map(SOURCES.map((source) => [source.path, source]));
const roomOf = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : path);

/** From room to room, with one import of each for an example. */
const ARROWS = new Map(
  SOURCES.flatMap(({ path, imports }) =>
    imports
      .filter((imported) => roomOf(imported) !== roomOf(path))
      .map((imported) => [`${roomOf(path)} → ${roomOf(imported)}`, `${path} → ${imported}`] as const),
  ),
);

/** Nodes that can be reached from themselves. */
function circles(nodes: readonly string[], next: (node: string) => readonly string[]): string[] {
  return nodes.filter((start) => {
    const seen = new Set<string>();
    const open = [...next(start)];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if (node === start) return true;
      if (!seen.has(node)) open.push(...next(node));
      seen.add(node);
    }
    return false;
  });
}

const importsOfRoom = (room: string) =>
  [...ARROWS.keys()].map((arrow) => arrow.split(' → ')).flatMap(([from, to = '']) => (from === room ? to : []));

function floors(room: string): number {
  return 1 + Math.max(0, ...importsOfRoom(room).map(floors));
}

describe('the house', () => {
  const rooms = [...new Set(SOURCES.map(({ path }) => roomOf(path)))];

  it('has at most thirteen rooms, eight floors, forty-five arrows and no circle, type-only imports included', () => {
    const inCircles = circles(rooms, importsOfRoom);
    const filesInCircles = circles([...known.keys()], (path) => known.get(path)?.imports ?? []);
    process.stdout.write(
      `rooms ${rooms.length}, floors ${floors('main.ts')}, arrows ${ARROWS.size}, circles ${inCircles.length}, ` +
        `files in circles ${filesInCircles.length}, files ${SOURCES.length}\n`,
    );
    expect([inCircles, filesInCircles]).toEqual([[], []]);
    expect(rooms.length).toBeLessThanOrEqual(13);
    expect(floors('main.ts')).toBeLessThanOrEqual(8);
    expect(ARROWS.size).toBeLessThanOrEqual(45);
  });

  it('has the rooms that the table names, and no others', () => {
    expect(rooms.sort()).toEqual(Object.keys(ROOMS).sort());
  });

  it.each(Object.entries(ROOMS))('%s may import only from below', (name, { mayImport }) => {
    const order = Object.keys(ROOMS);
    expect(mayImport.filter((other) => order.indexOf(other) <= order.indexOf(name))).toEqual([]);
  });

  it.each(SOURCES.map(({ path, imports }) => [path, imports] as const))(
    '%s imports only what its room may import',
    (path, imports) => {
      const allowed = new Set([roomOf(path), ...(ROOMS[roomOf(path)]?.mayImport ?? [])]);
      expect(imports.filter((imported) => !allowed.has(roomOf(imported)))).toEqual([]);
    },
  );

  it('has few files that are too small to be opened on their own', () => {
    const small = SOURCES.filter(({ text }) => text.split('\n').length - 1 < 36).map(({ path }) => path);
    expect(small.length, small.join(' ')).toBeLessThanOrEqual(15);
  });

  it('is described in docs/architecture.md by the same table', () => {
    const text = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
    for (const [name, { charter, mayImport }] of Object.entries(ROOMS)) {
      const imports = mayImport.map((other) => `\`${other}\``).join(', ') || 'nothing of ours';
      expect(text).toContain(`| \`${name.replace('main.ts', 'main.ts')}\` | ${charter} | ${imports} |`);
    }
  });

  it('is mirrored by the folders of its tests', () => {
    const folders = new Set(SOURCES.map(({ path }) => dirname(path)).filter((folder) => folder !== '.'));
    const tested = new Set(
      globSync('test/**/*.test.ts', { cwd: ROOT }).map((file) => dirname(file).replace(/^test\/?/, '')),
    );
    // What these are made of shows only in a running sidecar: test/wire, test/security and test/faults.
    const whole = new Set(['sidecar', 'sidecar/data-plane']);
    expect([...folders].filter((folder) => !tested.has(folder) && !whole.has(folder))).toEqual([]);
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

  it('only the fence uses http-proxy-3, and no file uses private paths of packages or patches what is not ours', () => {
    expect(SOURCES.filter(({ packages }) => packages.includes('http-proxy-3')).map(({ path }) => path)).toEqual([
      'proxy/upgrade-fence.ts',
    ]);
    expect(users(/from '(?:undici|prom-client|fastify|http-proxy-3)\//)).toEqual([]);
    expect(users(/\.prototype\b(?!\.hasOwnProperty)/)).toEqual([]);
  });

  it('no file uses http-proxy-3 for requests: its web() can turn one chunked DELETE into two requests', () => {
    expect(users(/\.web\(/)).toEqual([]);
  });

  it('reveal() is called only where a secret or token goes onto the wire', () => {
    expect(users(/\.reveal\(\)/).sort()).toEqual([
      'check/claims.ts',
      'check/upstream.ts',
      'cli/iam/secret-file.ts',
      'cli/iam/secrets.ts',
      'core/private-key.ts',
      'fleet/client.ts',
      'fleet/seal.ts',
      'fleet/token-content.ts',
      'iam/api.ts',
      'iam/problem-text.ts',
      'iam/provision/journal.ts',
      'iam/request.ts',
      'iam/rotation/exec-store.ts',
      'iam/rotation/file-store.ts',
      'iam/rotation/kubernetes-api.ts',
      'iam/rotation/kubernetes-store.ts',
      'iam/rotation/rotate.ts',
      'net/outbound-proxy.ts',
      'oauth/client-auth.ts',
      'oauth/token-verifier.ts',
      'proxy/forward.ts',
    ]);
  });
});

describe('the data plane', () => {
  it('loads nothing that uses client secrets, so that no request can get at one', () => {
    const loaded = new Set<string>();
    const load = (path: string) => {
      if (loaded.has(path)) return;
      loaded.add(path);
      // Imports of types alone are gone when it runs.
      const text = known.get(path)?.text.replace(/^import type [^;]+;$/gm, '') ?? '';
      for (const [, name = ''] of text.matchAll(/(?:\bfrom |\bimport )'(\.[^'\n]+)'/g))
        load(normalize(join(dirname(path), name)));
    };
    load('sidecar/data-plane/data-plane.ts');
    expect(loaded.size).toBeGreaterThan(20);
    const forbidden =
      /^(?:config\/(?!parsers)|oauth\/(?:credential|secret-failover|client-auth|token-endpoint|token-source)|sidecar\/(?!data-plane|generations)|iam|cli)/;
    expect([...loaded].filter((path) => forbidden.test(path))).toEqual([]);
  });
});

/** Words of our own that engineers of this field would not search for, and what to write instead. */
const RETIRED: readonly (readonly [word: RegExp, instead: string])[] = [
  // Two values of `cause` in `check --json` are names that users depend on.
  [/answer(?!_timeout)(?<!dns_no_answer)/i, 'response'],
  [/\bengines?\b(?<!JavaScript engine)/i, 'the process, or what it is'],
  [/caller[ -]?(?:port|side)/i, 'data plane'],
  [/token[ -]?desk/i, 'token broker'],
  [/roll[ -]?call/i, 'barrier'],
  [/\b(?:editions?|outbox|ledger)\b/i, 'leases, report buffer, report sink'],
  [/\b(?:handovers?|intake)\b/i, 'connection handoff, connection intake'],
  [/\b(?:sweeps?|departures?)\b/i, 'minor GC, write batch'],
  [/speak ?out/i, 'lingerForBody'],
  [/\bsecret[ -]?care\b|\bpatients?\b|\battend(?:s|ed)?\b/i, 'rotation scheduler, its state, tick'],
  [/\bholders\b/i, 'references'],
  [/\bproofs\b/i, 'client secrets'],
  [/nonsens/i, 'malformed response'],
  [/(?:im)?patien(?:ce|t)|\bpersist\b/i, 'retry, with time limits'],
  [/bury|\bgraves?\b/i, 'breakStaleLock, aside'],
  [/\b(?:essence|wishes|stations?)\b/i, 'config fingerprint, requested, hop'],
  [/token-words|judge?ment/i, 'error text, verdict'],
  [/lead(?:s|ing)? back|leadBack/i, 'rewriteLocation'],
  [/middle compiler/i, 'Maglev'],
];

describe('words', () => {
  it.each(RETIRED)('%s is not used in the source: write "%s"', (word) => {
    const lines = SOURCES.flatMap(({ path, text }) => text.split('\n').map((line) => `${path}: ${line.trim()}`));
    expect(lines.filter((line) => word.test(line))).toEqual([]);
  });

  it('that are retired stand in the glossary beside what is written instead', () => {
    const glossary = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8').split('## Glossary')[1] ?? '';
    for (const word of ['answer', 'caller port', 'secret care', 'departures', 'proofs', 'nonsense', 'ledger'])
      expect(glossary).toContain(word);
  });
});

describe('size and shape', () => {
  const TABLES = new Set(['config/schema.ts', 'core/errors.ts', 'core/metrics.ts']);
  /** One small parser for each kind of option value. */
  const PARSERS = new Set(['config/parsers.ts']);

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

  it('imports at most twelve packages, and four for traces: the pinned dependencies of the manifest and no others', () => {
    const imported = [...new Set(SOURCES.flatMap(({ packages }) => packages))].sort();
    // OpenTelemetry is one thing in many packages; only the folder for traces may load them.
    const ofTracing = imported.filter((name) => name.startsWith('@opentelemetry/'));
    expect(imported.length - ofTracing.length).toBeLessThanOrEqual(12);
    expect(ofTracing.length).toBeLessThanOrEqual(4);
    const users = SOURCES.filter(({ packages }) => packages.some((name) => ofTracing.includes(name)));
    expect(users.map(({ path }) => dirname(path)).filter((folder) => folder !== 'sidecar/tracing')).toEqual([]);
    expect(Object.keys(manifest.dependencies).sort()).toEqual(imported);
    for (const version of Object.values(manifest.dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

describe('the three tables', () => {
  it('every error code belongs to a family that says whose fault it is, and is used', () => {
    const families = /^(CONFIG|CALLER|ROUTE|CREDENTIALS|TOKEN|UPSTREAM|IAM|ROTATION|SIDECAR)_[A-Z0-9_]+$/;
    const others = SOURCES.filter(({ path }) => path !== 'core/errors.ts')
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
