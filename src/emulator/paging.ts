// The two numbered paging styles of the IAM API. Hides how page numbers and sizes out of range are corrected.
import { z } from 'zod';

const DEFAULT_SIZE = 100;
const INTEGER = z
  .string()
  .regex(/^-?\d{1,9}$/, 'must be an integer')
  .transform(Number);

/**
 * The query of a numbered list; pages start at 1. The documentation's samples request page 0 with 0 items, so both are
 * accepted and mean the defaults. Sizes are clamped to 10..200, as published for subjects.
 */
export const NUMBERED_PAGE = z.object({
  page: INTEGER.default(1).transform((page) => Math.max(page, 1)),
  pageSize: INTEGER.default(DEFAULT_SIZE).transform((size) => (size <= 0 ? DEFAULT_SIZE : clamp(size))),
});

export type NumberedPage = z.infer<typeof NUMBERED_PAGE>;

/** A page of a list to build; calls `describe` only for the items on it. */
export interface PageOrder<T> {
  readonly all: readonly T[];
  readonly at: NumberedPage;
  describe(item: T): object;
}

/** Builds a page in the style of clients and secrets. `linkTo` returns the absolute URL of a page. */
export function linkedPage<T>({ all, at, describe }: PageOrder<T>, linkTo: (at: NumberedPage) => string): object {
  const { page, pageSize } = at;
  const last = Math.max(Math.ceil(all.length / pageSize), 1);
  const link = (number: number) => linkTo({ page: number, pageSize });
  return {
    items: slice(all, at).map(describe),
    metadata: { page, pageSize, totalCount: all.length },
    links: {
      first: link(1),
      previous: page > 1 ? link(Math.min(page - 1, last)) : null,
      next: page < last ? link(page + 1) : null,
      last: link(last),
    },
  };
}

/** Builds a page in the style of subjects and permissions. */
export function countedPage<T>({ all, at, describe }: PageOrder<T>): object {
  const data = slice(all, at).map(describe);
  const { page, pageSize } = at;
  const totalPages = Math.ceil(all.length / pageSize);
  return { page, pageSize, count: data.length, total: all.length, totalPages, data };
}

function slice<T>(all: readonly T[], { page, pageSize }: NumberedPage): readonly T[] {
  return all.slice((page - 1) * pageSize, page * pageSize);
}

function clamp(size: number): number {
  return Math.min(Math.max(size, 10), 200);
}
