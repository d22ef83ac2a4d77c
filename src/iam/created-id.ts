/**
 * Creates something in Aritma IAM and finds out its id, whether the response names it, names nothing, or never comes:
 * what is in the list afterwards and was not before is the new one. Source: the IAM reference shows creations whose
 * response has no content.
 */
import { SidecarError } from '../core/errors.ts';

export interface Creation {
  /** Ids of all that look like the one to be created. */
  readonly list: () => Promise<readonly string[]>;
  /** The id, where the response names it. */
  readonly create: () => Promise<string | undefined>;
  /** Where a person finds out, for messages: a command. */
  readonly lookWith: string;
}

/**
 * The id of what has been created.
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

/** The id; else the error after which it may exist all the same; else undefined for a response without an id. */
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
