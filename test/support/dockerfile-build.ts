/**
 * Runs a Dockerfile's steps without a container engine: each stage is a folder, RUN happens in it by chroot. Supports only
 * the instructions and forms that the project's Dockerfile uses and throws for any other, so that none is skipped silently.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Copy, DockerfileParser, type Instruction, type PropertyInstruction } from 'dockerfile-ast';

export interface BuiltImage {
  readonly root: string;
  readonly user: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
  readonly stopSignal: string;
  readonly ports: readonly string[];
}

export interface BuildOptions {
  readonly dockerfile: string;
  /** The files that the build may see. */
  readonly context: string;
  /** Folder to build in. */
  readonly work: string;
  /** The folder that stands for each base image. */
  readonly bases: ReadonlyMap<string, string>;
  /** What a builder sets itself: TARGETARCH, and what the network needs. */
  readonly args: Readonly<Record<string, string>>;
  /** Called before each step. */
  readonly onStep?: (step: string) => void;
}

type Draft = { -readonly [Key in keyof BuiltImage]: BuiltImage[Key] };

interface Build {
  readonly options: BuildOptions;
  readonly stages: Map<string, string>;
  readonly args: Record<string, string>;
  stage: Draft;
}

/** The last stage, as an engine makes an image of it. */
export function buildImage(options: BuildOptions): BuiltImage {
  const instructions = DockerfileParser.parse(readFileSync(options.dockerfile, 'utf8')).getInstructions();
  const build: Build = { options, stages: new Map(), args: { ...options.args }, stage: emptyStage('') };
  for (const instruction of instructions) {
    const keyword = instruction.getKeyword();
    const step = STEPS[keyword];
    if (!step) throw new Error(`cannot carry out ${keyword}`);
    options.onStep?.(`${keyword} ${instruction.getArgumentsContent()}`);
    step(build, instruction);
  }
  return build.stage;
}

function emptyStage(root: string): Draft {
  const lists = { entrypoint: [], command: [], healthcheck: [], ports: [] };
  return { root, user: '0:0', workdir: '/', env: {}, labels: {}, stopSignal: 'SIGTERM', ...lists };
}

const STEPS: Readonly<Record<string, (build: Build, instruction: Instruction) => void>> = {
  ARG: (build, instruction) => {
    for (const [name, value] of pairs(instruction)) build.args[name] ??= value;
  },
  FROM: (build, instruction) => {
    const [image = '', , name = `stage-${build.stages.size}`] = words(build, instruction);
    const base = build.options.bases.get(image);
    if (base === undefined) throw new Error(`no tree for the base image ${image}`);
    const root = join(build.options.work, name);
    // Layers share unchanged files; a file that is copied over another replaces it and does not write into it.
    run('cp', ['-al', base, root]);
    build.stages.set(name, root);
    build.stage = emptyStage(root);
  },
  WORKDIR: (build, instruction) => {
    const [path = ''] = words(build, instruction);
    mkdirSync(join(build.stage.root, path), { recursive: true });
    build.stage.workdir = path;
  },
  COPY: copy,
  RUN: (build, instruction) => {
    const { root, workdir, env } = build.stage;
    const script = `cd ${workdir} && ${instruction.getArgumentsContent()}`;
    const environment = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', HOME: '/root', ...build.args, ...env };
    run('chroot', [root, '/bin/sh', '-c', script], environment);
  },
  USER: (build, instruction) => {
    [build.stage.user = ''] = words(build, instruction);
  },
  ENV: (build, instruction) => {
    build.stage.env = { ...build.stage.env, ...Object.fromEntries(pairs(instruction)) };
  },
  LABEL: (build, instruction) => {
    const labels = pairs(instruction).map(([name, value]) => [name, expand(build, value)] as const);
    build.stage.labels = { ...build.stage.labels, ...Object.fromEntries(labels) };
  },
  EXPOSE: (build, instruction) => {
    build.stage.ports = words(build, instruction);
  },
  STOPSIGNAL: (build, instruction) => {
    [build.stage.stopSignal = ''] = words(build, instruction);
  },
  HEALTHCHECK: (build, instruction) => {
    build.stage.healthcheck = list(instruction.getArgumentsContent()?.replace(/^(?:--\S+\s+)*CMD\s+/, ''));
  },
  ENTRYPOINT: (build, instruction) => {
    build.stage.entrypoint = list(instruction.getArgumentsContent());
  },
  CMD: (build, instruction) => {
    build.stage.command = list(instruction.getArgumentsContent());
  },
};

/** Copies a folder's contents, or files; keeps owners from a stage, uses root for the context. */
function copy(build: Build, instruction: Instruction): void {
  const flags = (instruction as Copy).getFlags().map((flag) => [flag.getName(), flag.getValue() ?? ''] as const);
  const { from, ...others } = Object.fromEntries(flags);
  if (Object.keys(others).length > 0) throw new Error(`cannot COPY with ${Object.keys(others)}`);
  const source = from === undefined ? build.options.context : build.stages.get(from);
  if (source === undefined) throw new Error(`no stage ${from}`);
  const paths = words(build, instruction);
  const target = paths.pop() ?? '';
  const to = join(build.stage.root, target.startsWith('/') ? target : join(build.stage.workdir, target));
  for (const pattern of paths) {
    const found = globSync(pattern.replace(/^\//, ''), { cwd: source });
    if (found.length === 0) throw new Error(`nothing to copy at ${pattern}`);
    for (const path of found) {
      const isFolder = statSync(join(source, path)).isDirectory();
      const into = isFolder || target.endsWith('/') ? to : join(to, '..');
      mkdirSync(into, { recursive: true });
      const name = target.endsWith('/') ? basename(path) : basename(to);
      const owner = from === undefined ? ['--no-preserve=ownership'] : [];
      run('cp', [
        '-a',
        '--remove-destination',
        ...owner,
        `${join(source, path)}${isFolder ? '/.' : ''}`,
        isFolder ? to : join(into, name),
      ]);
    }
  }
}

function words(build: Build, instruction: Instruction): string[] {
  return instruction.getArguments().map((argument) => expand(build, argument.getValue()));
}

function pairs(instruction: Instruction): (readonly [string, string])[] {
  const properties = (instruction as PropertyInstruction).getProperties();
  return properties.map((property) => [property.getName(), property.getValue() ?? ''] as const);
}

function expand({ args }: Build, text: string): string {
  return text.replace(/\$\{(\w+)\}|\$(\w+)/g, (_all, braced?: string, bare?: string) => {
    const value = args[braced ?? bare ?? ''];
    if (value === undefined) throw new Error(`nothing sets ${braced ?? bare}`);
    return value;
  });
}

/** The form without a shell; the other one needs a shell in the image. */
function list(text: string | null | undefined): string[] {
  return JSON.parse(text ?? '') as string[];
}

function run(command: string, args: readonly string[], env?: Readonly<Record<string, string>>): void {
  const { status, stderr, stdout } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: 240_000,
    ...(env && { env }),
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr}${stdout}`);
}
