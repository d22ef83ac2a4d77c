/** The workflows as far as they can be judged without running them: what they name exists, and nothing goes out untested. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { NODE_VERSION, TARGETS } from '../../deploy/executable/targets.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const manifest = JSON.parse(read('package.json')) as {
  version: string;
  scripts: Record<string, string>;
  engines: { node: string };
};

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly needs?: string | readonly string[];
  readonly 'runs-on': string;
  readonly 'timeout-minutes'?: number;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly strategy?: { readonly matrix: { os?: string[]; node?: number[]; include?: { os: string; file: string }[] } };
  readonly steps: readonly Step[];
}

interface Workflow {
  readonly on: {
    readonly push?: { readonly tags?: readonly string[]; readonly branches?: readonly string[] };
    readonly schedule?: readonly { readonly cron: string }[];
    readonly workflow_dispatch?: null;
  };
  readonly permissions: object;
  readonly jobs: Readonly<Record<string, Job>>;
}

const release = parse(read('.github/workflows/release.yml')) as Workflow;
const ci = parse(read('.github/workflows/ci.yml')) as Workflow;
const audit = parse(read('.github/workflows/audit.yml')) as Workflow;
const stepsOf = ({ jobs }: Workflow) => Object.values(jobs).flatMap(({ steps }) => steps);
const commandsOf = (job: Job | undefined) => (job?.steps ?? []).map(({ run }) => run ?? '').join('\n');

/** Every job that has to succeed before this one starts. */
function before(name: string): Set<string> {
  const direct = [release.jobs[name]?.needs ?? []].flat();
  return new Set([...direct, ...direct.flatMap((other) => [...before(other)])]);
}

describe.each([
  ['ci.yml', ci, ['.ci/run']],
  ['release.yml', release, ['.ci/run']],
  ['audit.yml', audit, []],
])('.github/workflows/%s', (_name, workflow, files) => {
  it('names only scripts and files that exist', () => {
    const commands = stepsOf(workflow).map(({ run }) => run ?? '');
    const scripts = commands.flatMap((run) =>
      [...run.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map(([, name = '']) => name),
    );
    expect(scripts.filter((name) => !(name in manifest.scripts))).toEqual([]);
    const run = commands.flatMap((command) => [...command.matchAll(/\bbash (\S+)/g)].map(([, path = '']) => path));
    expect(run).toEqual(files);
    expect(files.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it('pins every action to a version', () => {
    const uses = stepsOf(workflow).flatMap(({ uses }) => uses ?? []);
    expect(uses).not.toEqual([]);
    expect(uses.filter((action) => !/^[\w-]+\/[\w-]+@v\d+\.\d+\.\d+$/.test(action))).toEqual([]);
  });

  it('gives no job a right or an hour that it was not given by name', () => {
    expect(workflow.permissions).toEqual({});
    for (const [name, job] of Object.entries(workflow.jobs)) {
      expect(job.permissions, name).toBeDefined();
      expect(job['timeout-minutes'], name).toBeLessThanOrEqual(90);
    }
    const checkouts = stepsOf(workflow).filter(({ uses }) => uses?.startsWith('actions/checkout@'));
    for (const step of checkouts) expect(step.with).toEqual({ 'persist-credentials': false });
  });
});

describe('a release', () => {
  it('is made from a tag that is the version in package.json', () => {
    expect(release.on.push?.tags).toEqual(['v*.*.*']);
    expect(commandsOf(release.jobs['check'])).toContain('require("./package.json").version');
  });

  it('is tested on Linux, Windows and macOS with the oldest and the newest Node, before anything goes out', () => {
    const { os = [], node = [] } = release.jobs['test']?.strategy?.matrix ?? {};
    expect(os.map((name) => name.replace(/-.*/, '')).sort()).toEqual(['macos', 'ubuntu', 'windows']);
    expect(node).toEqual([
      Number.parseInt(manifest.engines.node.replace('>=', ''), 10),
      Number.parseInt(NODE_VERSION, 10),
    ]);
    for (const name of ['npm', 'image', 'page']) {
      expect([...before(name)], name).toEqual(
        expect.arrayContaining(['check', 'test', 'executables', 'foreign', 'packages']),
      );
    }
  });

  it('runs every executable where it belongs, and signs the one for macOS there', () => {
    const foreign = release.jobs['foreign'];
    const run = [...(foreign?.strategy?.matrix.include ?? []).map(({ file }) => file), 'aritma-sidecar-linux-x64'];
    expect(run.sort()).toEqual(
      Object.values(TARGETS)
        .map(({ file }) => file)
        .sort(),
    );
    expect(commandsOf(release.jobs['executables'])).toContain('dist-sea/aritma-sidecar-linux-x64 demo --once');
    expect(commandsOf(foreign)).toMatch(/codesign --sign/);
  });

  it('has a package with provenance, an image for two platforms, an SBOM and checksums', () => {
    expect(commandsOf(release.jobs['npm'])).toMatch(/npm run build\n.*npm publish \.\/dist --provenance/s);
    const build = release.jobs['image']?.steps.find(({ uses }) => uses?.startsWith('docker/build-push-action@'));
    expect(build?.with).toMatchObject({ platforms: 'linux/amd64,linux/arm64', sbom: true });
    // With the SBOM among its files; the executables' tests say so.
    expect(commandsOf(release.jobs['executables'])).toContain('npm run build:sea');
    expect(commandsOf(release.jobs['page'])).toContain('sha256sum * > SHA256SUMS');
  });

  it('has Linux packages, which apt and dnf have installed before anything goes out', () => {
    const commands = commandsOf(release.jobs['packages']);
    expect(commands).toMatch(/npm run build:packages -- --executables built .*apt-get install -y .*_amd64\.deb\n/s);
    expect(commands).toMatch(/apt-get purge -y aritma-sidecar\n.*dnf install -y .*\.x86_64\.rpm .*dnf remove/s);
    expect(commands.match(/aritma-sidecar demo --once/g)).toHaveLength(2);
  });

  it('has checksums and provenance of every file, the manifests for winget and Homebrew included', () => {
    const { steps = [] } = release.jobs['page'] ?? {};
    const at = (wanted: (step: Step) => boolean) => steps.findLastIndex(wanted);
    const downloads = at(({ uses }) => uses?.startsWith('actions/download-artifact@') === true);
    const manifests = at(({ run }) => run?.startsWith('npm run build:manifests -- ') === true);
    const sums = at(({ run }) => run === 'rm SHA256SUMS && sha256sum * > SHA256SUMS');
    const provenance = at(({ uses }) => uses?.startsWith('actions/attest-build-provenance@') === true);
    const upload = at(({ run }) => run?.startsWith('gh release create ') === true);
    const order = [downloads, manifests, sums, provenance, upload];
    expect([order.includes(-1), order]).toEqual([false, order.toSorted((one, other) => one - other)]);
    expect(steps[provenance]?.with).toEqual({ 'subject-path': 'built/*' });
    expect(steps[upload]?.run).toMatch(/ built\/\*$/);
  });

  it('has notes: the changelog has lines for the version in package.json', () => {
    const lines = read('CHANGELOG.md').split('\n');
    const at = lines.indexOf(`## ${manifest.version}`);
    expect(at).toBeGreaterThan(0);
    expect(lines.slice(at + 1).find((line) => line !== '')).toMatch(/^- /);
  });
});

describe('the audit', () => {
  it('runs every week and on demand, and on nothing that others send', () => {
    expect(Object.keys(audit.on).sort()).toEqual(['schedule', 'workflow_dispatch']);
    // Minute, hour, any day of any month, one day of the week.
    expect(audit.on.schedule?.map(({ cron }) => cron)).toEqual([expect.stringMatching(/^\d+ \d+ \* \* [0-6]$/)]);
  });

  it('fails for any known weakness in what runs, and for what its registry has not signed', () => {
    const commands = Object.values(audit.jobs).map(commandsOf);
    expect(commands).toContainEqual(expect.stringMatching(/^npm audit --omit=dev --audit-level=low$/m));
    expect(commands).toContainEqual(expect.stringMatching(/^npm ci --ignore-scripts\nnpm audit signatures$/m));
  });

  it('may read the source and nothing else', () => {
    for (const job of Object.values(audit.jobs)) expect(job.permissions).toEqual({ contents: 'read' });
    expect(read('.github/workflows/audit.yml')).not.toContain('secrets.');
  });
});

describe('renovate.json', () => {
  const renovate = JSON.parse(read('renovate.json')) as {
    extends: string[];
    rangeStrategy: string;
    lockFileMaintenance: { enabled: boolean };
    packageRules: { groupName: string; matchDepTypes?: string[] }[];
    customManagers: { managerFilePatterns: string[]; matchStrings: string[] }[];
  };

  it('proposes pinned versions and a new lock file weekly, in groups', () => {
    expect(renovate).toMatchObject({ rangeStrategy: 'pin', lockFileMaintenance: { enabled: true } });
    expect(renovate.extends).toContain('schedule:weekly');
    expect(renovate.packageRules.filter(({ groupName }) => !groupName)).toEqual([]);
    const grouped = renovate.packageRules.flatMap(({ matchDepTypes = [] }) => matchDepTypes);
    expect(grouped.sort()).toEqual(['dependencies', 'devDependencies']);
  });

  it('finds the Node of the executables, which is in no manifest', () => {
    const [manager] = renovate.customManagers;
    const [pattern = '', expression = ''] = [manager?.managerFilePatterns[0]?.slice(1, -1), manager?.matchStrings[0]];
    expect('deploy/executable/targets.ts').toMatch(new RegExp(pattern));
    const found = new RegExp(expression).exec(read('deploy/executable/targets.ts'));
    expect(found?.groups?.['currentValue']).toBe(NODE_VERSION);
  });
});

describe('SECURITY.md', () => {
  it('names only files and scripts that exist', () => {
    const text = read('SECURITY.md');
    const files = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path = '']) => path);
    expect(files).not.toEqual([]);
    expect(files.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    const scripts = [...text.matchAll(/npm run (\S+)/g)].map(([, name = '']) => name);
    expect(scripts.filter((name) => !(name in manifest.scripts))).toEqual([]);
  });
});
