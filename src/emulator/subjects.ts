// Clients seen as subjects, which is what policies are about. Hides how a subject id is made of a client id.

/** All of the emulator is one tenant. */
export const TENANT = '00000000-0000-4000-8000-00000000a717';

const PREFIX = 'client-';

/** The fully qualified id, `type-id`. */
export function subjectOf(clientId: string): string {
  return `${PREFIX}${clientId}`;
}

/** The client a subject stands for; undefined for users and groups, which do not exist here. */
export function clientOf(subject: string): string | undefined {
  return subject.startsWith(PREFIX) ? subject.slice(PREFIX.length) : undefined;
}
