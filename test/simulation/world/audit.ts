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

  /** Whether a line of this event about this request is on the medium, in any file. */
  has(event: string, requestId: string): boolean {
    const { disk } = this.#world.platform;
    const files = disk.list(FOLDER).filter((name) => name.startsWith('audit.jsonl'));
    const isAbout = (line: string) =>
      line.includes(`"event":"${event}"`) && line.includes(`"requestId":"${requestId}"`);
    return files.some((name) => disk.find(`${FOLDER}/${name}`).flushed.toString('latin1').split('\n').some(isAbout));
  }
}
