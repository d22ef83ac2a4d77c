/**
 * Starts a program, `CRASH_PROGRAM`, in a process with a changed file system: counts its changes to the files of a folder,
 * and kills it right before, in the middle of or after a chosen one, or makes that one fail as a broken disk does.
 * `CRASH_FOLDER` is the folder, `CRASH_LOG` the file that gets one line for each change, `CRASH_POINT` the point as JSON.
 */
import fs, { type PathLike } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { relative } from 'node:path';
import type { Point } from './kill-matrix.ts';

const { CRASH_FOLDER = '/nowhere', CRASH_LOG = '', CRASH_POINT = '{}' } = process.env;
const point = JSON.parse(CRASH_POINT) as Partial<Point>;
const seen = new Map<string, number>();
/** Running changes: Node may use other functions inside them. */
let under = 0;
const promises = fs.promises as unknown as Record<string, Changing>;
const plain = { append: fs.appendFileSync, lstat: fs.lstatSync, open: fs.promises.open };

type Changing = (...args: unknown[]) => Promise<unknown>;

const isOurs = (path: unknown): path is string => typeof path === 'string' && path.startsWith(`${CRASH_FOLDER}/`);
/** The same name in every run: without its random part. */
const named = (path: string) => relative(CRASH_FOLDER, path).replace(/\.[0-9a-f]{8}-[0-9a-f-]{27}$/, '.*');

function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

async function change<T>(name: string, perform: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
  const nth = (seen.get(name) ?? 0) + 1;
  seen.set(name, nth);
  plain.append(CRASH_LOG, `${name} #${nth}\n`);
  const when = point.change === `${name} #${nth}` ? point.when : undefined;
  if (when === 'before') await die();
  if (when === 'middle') {
    await half?.();
    await die();
  }
  if (when === 'failing') {
    await half?.();
    throw Object.assign(new Error(`${point.errno}: as the test wants it`), { code: point.errno });
  }
  const result = await perform();
  if (when === 'after') await die();
  return result;
}

/** Two steps, as in the system: first the file exists and is empty, then it has content. */
async function writeWhole(path: string, data: unknown, options: unknown): Promise<void> {
  const { flag = 'w', mode } = (typeof options === 'object' && options !== null ? options : {}) as Record<
    string,
    string
  >;
  const file = await (fs.promises.open as unknown as (...args: unknown[]) => Promise<FileHandle>)(path, flag, mode);
  await file.writeFile(data as string);
  await file.close();
}

function watchHandle(file: FileHandle, name: string, writes: boolean): FileHandle {
  const handle = file as unknown as Record<string, Changing>;
  for (const method of ['chmod', 'chown', 'utimes', 'truncate', 'sync', 'datasync', 'appendFile', 'writev', 'write']) {
    const original = handle[method]?.bind(file);
    if (original) handle[method] = (...args) => change(`${method} ${name}`, () => original(...args));
  }
  const write = file.writeFile.bind(file);
  handle['writeFile'] = (data) => {
    const bytes = Buffer.from(data as string);
    // Through another descriptor, because writes of this one are watched, too.
    const half = () => write(bytes.subarray(0, bytes.length >> 1));
    return change(`write ${name}`, () => write(bytes), half);
  };
  if (!writes) for (const method of ['chmod', 'chown', 'utimes', 'truncate', 'writeFile']) delete handle[method];
  return file;
}

function watchOpen(): void {
  promises['open'] = async (path, flags, mode) => {
    const open = () => plain.open(path as PathLike, flags as string, mode as number);
    if (!isOurs(path) && path !== CRASH_FOLDER) return open();
    const writes = typeof flags === 'number' ? (flags & 3) !== 0 : flags !== undefined && flags !== 'r';
    const name = path === CRASH_FOLDER ? 'folder' : named(path);
    const file = writes ? await change(`open ${name}`, open) : await open();
    return watchHandle(file, name, writes);
  };
  promises['writeFile'] = (path, data, options) => writeWhole(path as string, data, options);
}

/** Functions that change the file at their first path, or at the second. */
const CHANGING = [
  'rename',
  'link',
  'symlink',
  'rm',
  'rmdir',
  'unlink',
  'chmod',
  'chown',
  'utimes',
  'truncate',
  'mkdir',
];

function watchPaths(): void {
  for (const method of [...CHANGING, 'appendFile', 'copyFile', 'cp', 'lchown', 'lutimes', 'mkdtemp']) {
    const original = promises[method] as Changing;
    promises[method] = async (...args) => {
      const ours = args.filter(isOurs);
      const isNothing = (method === 'rm' || method === 'unlink') && ours[0] !== undefined && !exists(ours[0]);
      const perform = () => counted(() => original(...args));
      return ours.length === 0 || isNothing ? perform() : change(`${method} ${ours.map(named).join(' ')}`, perform);
    };
  }
}

async function counted<T>(perform: () => Promise<T>): Promise<T> {
  under += 1;
  try {
    return await perform();
  } finally {
    under -= 1;
  }
}

/** Uncounted changes must not happen: a change made in another way would never be a kill point. */
function forbidOthers(): void {
  const others = [...CHANGING, 'appendFile', 'writeFile', 'copyFile', 'cp'];
  const all = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const method of others.flatMap((name) => [name, `${name}Sync`])) {
    const original = all[method];
    if (!original) continue;
    all[method] = (...args) => {
      if (under === 0 && args.some(isOurs)) throw new Error(`fs.${method} is not counted`);
      return original(...args);
    };
  }
}

function exists(path: string): boolean {
  return plain.lstat(path, { throwIfNoEntry: false }) !== undefined;
}

watchOpen();
watchPaths();
forbidOthers();
syncBuiltinESMExports();

const { CRASH_PROGRAM } = process.env;
if (CRASH_PROGRAM !== undefined) await import(CRASH_PROGRAM);
