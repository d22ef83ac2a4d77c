/** What requests are called that bring no id of their own. */
import { randomBytes } from 'node:crypto';

/** Unique over restarts. */
export function createRequestIds(): () => string {
  const boot = randomBytes(6).toString('hex');
  let count = 0;
  return () => {
    count += 1;
    return `${boot}-${count.toString(36)}`;
  };
}
