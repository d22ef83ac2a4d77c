/** The folder of the audit log, as the world sees it. */
import type { AuditPart } from './parts.ts';
import type { World } from './world.ts';

const FOLDER = '/sim/log';
export const AUDIT_FILE = `${FOLDER}/audit.jsonl`;

export class AuditFolder {
  readonly part: AuditPart;
  readonly #world: World;

  constructor(world: World, part: AuditPart) {
    this.#world = world;
    this.part = part;
    const { disk } = world.platform;
    disk.makeFolder(FOLDER);
    disk.flush('/sim', disk.find('/sim'));
  }

  get options(): object {
    return { audit: { file: AUDIT_FILE, ...this.part } };
  }

  /** How many lines of this event are on the medium, in all files. */
  count(event: string): number {
    return this.countText(`"event":"${event}"`);
  }

  /** How often this is on the medium, in all files. */
  countText(wanted: string): number {
    const { disk } = this.#world.platform;
    const files = disk.list(FOLDER).filter((name) => name.startsWith('audit.jsonl'));
    const texts = files.map((name) => disk.find(`${FOLDER}/${name}`).flushed.toString('latin1'));
    return texts.reduce((sum, text) => sum + text.split(wanted).length - 1, 0);
  }
}
