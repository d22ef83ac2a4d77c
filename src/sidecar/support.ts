/**
 * The support file of the running sidecar: its configuration, state, metrics and log, and what the doctor finds. Loads the code
 * for it when somebody asks. One file is made at a time, and the doctor runs at most twice a minute: it requests tokens.
 */
import type { StatusInput } from '../admin/status-input.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { PrintedBy } from '../config/secret-programs.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Section } from '../core/support-sections.ts';
import type { Reloader } from './reload.ts';

/** Tries what this configuration needs, within a time limit, and returns the findings as text. Never throws. */
export type Doctor = (load: (printed?: PrintedBy) => LoadedConfig) => Promise<string>;

export interface SupportSources {
  readonly reloader: Pick<Reloader, 'current' | 'replaced'>;
  readonly log: Pick<Log, 'tail'>;
  readonly metrics: Pick<Metrics, 'render'>;
  readonly snapshot: () => StatusInput;
  /** Absent: the file has no findings. */
  readonly doctor: Doctor | undefined;
}

/** Identity servers lock out clients that fail often. */
const DOCTOR_AGAIN_MS = 30_000;

/**
 * Returns the function that makes the file. Requests at the same time share one.
 * @example
 * const make = createSupport({ reloader, log, metrics, snapshot, doctor });
 * await make(true); // with the findings of the doctor
 */
export function createSupport(sources: SupportSources): (withDoctor: boolean) => Promise<string> {
  const running = new Map<boolean, Promise<string>>();
  let last: { readonly at: number; readonly text: Promise<string> } | undefined;
  const findings = (doctor: Doctor) => {
    if (last && performance.now() - last.at < DOCTOR_AGAIN_MS) return last.text;
    // Reads the files again: it also tells what the next reload will find.
    const text = doctor((printed) => sources.reloader.current().loaded.reload(printed));
    last = { at: performance.now(), text };
    return text;
  };
  return (withDoctor) => {
    const doctor = withDoctor ? sources.doctor : undefined;
    const made = running.get(withDoctor) ?? write(sources, doctor && (() => findings(doctor)));
    running.set(withDoctor, made);
    return made.finally(() => running.delete(withDoctor));
  };
}

async function write(sources: SupportSources, findings: (() => Promise<string>) | undefined): Promise<string> {
  const { supportFile } = await import('../core/support-file.ts');
  const { processSection } = await import('../core/support-sections.ts');
  const { configurationText, secretsIn, startedBy } = await import('../config/support-section.ts');
  const doctor: Section[] = findings ? [{ title: 'check', text: await findings() }] : [];
  const { loaded, tokens } = sources.reloader.current();
  const held = tokens.sources().flatMap(({ token }) => token?.authorization ?? []);
  const sections = [
    processSection('process of the sidecar', startedBy(loaded)),
    { title: 'configuration of the sidecar', text: configurationText(loaded) },
    ...doctor,
    ...(await stateOf(sources)),
  ];
  const named = [loaded, ...sources.reloader.replaced()].flatMap(secretsIn);
  // Most generations have the same secrets, and each costs a pass over the text.
  const secrets = new Map([...named, ...held].map((secret) => [secret.digest().toString('hex'), secret]));
  return supportFile(sections, [...secrets.values()]);
}

/** What happened: as `/status` and `/metrics` show it, and as the log has it. */
async function stateOf({ snapshot, metrics, log }: SupportSources): Promise<Section[]> {
  const { status } = await import('../admin/status.ts');
  const { gauges } = await import('../admin/gauges.ts');
  const { maskPathIds } = await import('../core/redaction.ts');
  const { stateSections } = await import('../core/support-sections.ts');
  return [
    ...stateSections(status(snapshot()), await metrics.render('text', gauges(snapshot()))),
    { title: 'end of the log', text: maskPathIds(log.tail().join('\n')) },
  ];
}
