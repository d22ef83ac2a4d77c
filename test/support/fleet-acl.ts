/** The user of a fleet's store, with the rights that docs/tokens.md gives. */
import { readFileSync } from 'node:fs';

export const STORE_PASSWORD = 'CANARY-store-password-4711';

/** Rules for `ACL SETUSER`, from the line of the page; `more` are added. */
export function documentedRights(more: readonly string[] = []): string[] {
  const page = readFileSync('docs/tokens.md', 'utf8');
  const [, rules = ''] = /^\s*user aritma (on .*)$/m.exec(page) ?? [];
  return [...rules.replace('PASSWORD', STORE_PASSWORD).split(' '), ...more];
}

/** The rights beyond it that the page names for `check` and `fleet status`. */
export function documentedExtras(): string[] {
  const page = readFileSync('docs/tokens.md', 'utf8');
  const [, extras = ''] = /For all that `check` and `fleet status` show, add `([^`]+)`/.exec(page) ?? [];
  return extras.split(' ');
}
