/**
 * What a provisioning run remembers for the next one, in the journal that rotations use later. Until the client has an
 * id, the file holds only the intent to create it, so that the next run looks for the client before it creates one.
 */
import { z } from 'zod';
import { randomSecret, Secret } from '../../core/secret.ts';
import { beginJournal, type Journal, parseJournal } from '../rotation/journal.ts';

const CREATING = z.strictObject({
  version: z.literal(1),
  /** Becomes the id of the journal. */
  id: z.string().min(8),
  since: z.number(),
  /** A request to create a client of this name may have been sent. */
  creating: z.strictObject({ name: z.string().min(1) }),
});

export type Creating = z.infer<typeof CREATING>;

export interface Memory {
  readonly creating?: Creating;
  readonly journal?: Journal;
}

/** Parses the journal file; undefined text = no file. @throws SidecarError ROTATION_JOURNAL_INVALID */
export function parseMemory(text: string | undefined): Memory {
  if (text === undefined) return {};
  const creating = CREATING.safeParse(asJson(text));
  return creating.success ? { creating: creating.data } : { journal: parseJournal(text) };
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Creates and serializes what the file holds, before and after the client has an id. */
export const MEMORY = {
  creating(name: string, nowMs: number): Creating {
    const { version, id, since } = beginJournal(name, nowMs);
    return { version, id, since, creating: { name } };
  },
  /** Keeps an id once given: secrets in IAM have it in their description. */
  begun(clientId: string, nowMs: number, before?: Creating): Journal {
    return before ? { version: 1, id: before.id, since: before.since, clientId } : beginJournal(clientId, nowMs);
  },
  newValue: (): string => randomSecret().reveal(),
  valueOf: ({ value }: { readonly value: string }): Secret => new Secret(value),
  textOf: (memory: Creating | Journal): string => `${JSON.stringify(memory, undefined, 2)}\n`,
};
