/**
 * A client's subject, which policies are about. Found by listing, never put together from the client's id; one that was
 * created a moment ago may not be listed yet.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Client, IamApi, Subject } from '../api.ts';

/** Undefined when none is listed that is certainly this client's. */
export async function findSubject(
  iam: Pick<IamApi, 'subjects' | 'client'>,
  client: Client,
): Promise<string | undefined> {
  const { clientId, name } = client;
  const seen = new Map<string, Subject>();
  // A search is the short way; names at IAM's other end may be late to change, so the whole list is the long one.
  for (const search of name === undefined ? [undefined] : [name, undefined]) {
    for await (const subject of iam.subjects(search)) {
      if (subject.id === clientId) return subject.subjectId;
      seen.set(subject.subjectId, subject);
    }
  }
  const [namesake, ...others] = [...seen.values()].filter(({ displayName }) => displayName === name);
  if (name === undefined || !namesake || others.length > 0) return undefined;
  return (await isOfAnother(iam, namesake)) ? undefined : namesake.subjectId;
}

/** Rights given to a client that only has the same name would be somebody else's. */
async function isOfAnother(iam: Pick<IamApi, 'client'>, { id }: Subject): Promise<boolean> {
  if (id === undefined) return false;
  try {
    await iam.client(id);
    return true;
  } catch (error) {
    if (error instanceof SidecarError && error.code === 'IAM_NOT_FOUND') return false;
    throw error;
  }
}
