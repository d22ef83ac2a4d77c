/**
 * Creates something in Aritma IAM and finds its id, even if the response does not name it or is lost: the new item is
 * in the list afterwards and was not there before. Source: the IAM reference, where some creations respond without
 * content.
 */
import { SidecarError } from '../core/errors.ts';

export interface Creation {
  /** Lists the ids of all items that look like the new one. */
  readonly list: () => Promise<readonly string[]>;
  /** Creates the item and returns its id, if the response names it. */
  readonly create: () => Promise<string | undefined>;
  /** The command with which a person can check, for messages. */
  readonly lookWith: string;
}

/**
 * Creates the item and returns its id.
 * @throws SidecarError IAM_CONFLICT when several appeared at the same time, IAM_INVALID when none did; what `list` and
 * `create` throw
 */
export async function createAndFind({ list, create, lookWith }: Creation): Promise<string> {
  const before = new Set(await list());
  const outcome = await attempt(create);
  if (typeof outcome === 'string') return outcome;
  const made = (await list().catch((error: unknown) => failed(outcome, error, lookWith))).filter(
    (id) => !before.has(id),
  );
  const [only, ...others] = made;
  if (only === undefined) return failed(outcome, undefined, lookWith);
  if (others.length === 0) return only;
  const reason = 'several were created at the same time, so it is unknown which one is yours';
  const fields = { reason, ids: made.join(', '), look: lookWith };
  throw new SidecarError('IAM_CONFLICT', { fields, mayHaveExecuted: true });
}

/** Returns the id; or an error after which the item may still exist; or undefined for a response without an id. */
async function attempt(create: Creation['create']): Promise<string | SidecarError | undefined> {
  try {
    return await create();
  } catch (error) {
    if (error instanceof SidecarError && error.extras.mayHaveExecuted) return error;
    throw error;
  }
}

function failed(outcome: SidecarError | undefined, listing: unknown, lookWith: string): never {
  const unexplained =
    listing ?? new SidecarError('IAM_INVALID', { fields: { reason: 'created, but IAM does not list it' } });
  const known = outcome ?? unexplained;
  if (!(known instanceof SidecarError)) throw known;
  const fields = { ...known.extras.fields, created: 'perhaps: check before you try again', look: lookWith };
  throw new SidecarError(known.code, { ...known.extras, fields, mayHaveExecuted: true, cause: known });
}
