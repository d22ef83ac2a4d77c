/**
 * Finds a client's subject, the one that policies name. Searches the list and never builds the id from the client's id.
 * A client created a moment ago may not be listed yet.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Client, IamApi, Subject } from '../api.ts';

/**
 * Returns the subject's id; undefined when none in the list certainly belongs to this client.
 * @throws SidecarError IAM_*
 */
export async function findSubject(
  iam: Pick<IamApi, 'subjects' | 'client'>,
  client: Client,
): Promise<string | undefined> {
  const { clientId, name } = client;
  const seen = new Map<string, Subject>();
  // First search by name, which is fast; then the whole list, because the search may still know an old name.
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

/** Whether the subject belongs to another client with the same name: that client must not get the rights. */
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
