// Clients as subjects of policies. Hides how a subject id is built from a client id.

/** The emulator has one tenant. */
export const TENANT = '00000000-0000-4000-8000-00000000a717';

const PREFIX = 'client-';

/** Returns the fully qualified id, `type-id`. */
export function subjectOf(clientId: string): string {
  return `${PREFIX}${clientId}`;
}

/** Returns the client id of a subject; undefined for users and groups, which do not exist here. */
export function clientOf(subject: string): string | undefined {
  return subject.startsWith(PREFIX) ? subject.slice(PREFIX.length) : undefined;
}
