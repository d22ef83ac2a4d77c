/**
 * Sections of a support file that the command and the running sidecar both write.
 */
import { cpus, release } from 'node:os';
import { VERSION } from './version.ts';

export interface Section {
  readonly title: string;
  readonly text: string;
}

/** Describes this process: versions, platform, memory, and how it was started. Nothing of its environment. */
export function processSection(title: string, startedBy: string): Section {
  const { rss, heapUsed } = process.memoryUsage();
  const mib = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MiB`;
  const rows: readonly (readonly [string, string])[] = [
    ['version', VERSION],
    ['node', `${process.version}, OpenSSL ${process.versions.openssl}`],
    ['platform', `${process.platform} ${release()}, ${process.arch}, ${cpus().length} processors`],
    ['program', [process.execPath, ...process.execArgv].join(' ')],
    ['process', `${process.pid}, user ${process.getuid?.() ?? 'not known'}, started by ${startedBy}`],
    ['folder', process.cwd()],
    ['uptime', `${Math.floor(process.uptime())} s`],
    ['memory', `${mib(rss)}, of these ${mib(heapUsed)} in JavaScript objects`],
    ['clock', `${new Date().toISOString()}, ${Intl.DateTimeFormat().resolvedOptions().timeZone}`],
  ];
  return { title, text: rows.map(([name, value]) => `${name.padEnd(9)} ${value}`).join('\n') };
}

/** The state as JSON and the metrics, in as few lines as they can be read in: series without their descriptions. */
export function stateSections(status: unknown, metrics: string): Section[] {
  const json = JSON.stringify(status, undefined, 2).replace(/\[[\d,.\s]+\]/g, (list) => list.replace(/\s+/g, ' '));
  return [
    { title: 'state of the sidecar', text: json },
    { title: 'metrics', text: metrics.replace(/^(?:#.*)?\n/gm, '') },
  ];
}
