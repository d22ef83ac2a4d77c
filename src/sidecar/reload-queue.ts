/**
 * One reload at a time. A reload waits when programs have to print secrets first. What is asked for meanwhile is done
 * afterwards, once for all who asked: the files may have changed since they were read.
 */

export interface ReloadWish {
  /** For the log. */
  readonly reason: string;
  /** Rebuild even if nothing changed: an operator asked for it. */
  readonly force: boolean;
}

type Run<Result> = (wish: ReloadWish) => Result | Promise<Result>;

/**
 * Returns a function that runs `reload`, at once if none is running.
 * @example
 * const reload = createReloadQueue((wish) => reloadOnce(wish));
 * await reload({ reason: 'SIGHUP', force: true });
 */
export function createReloadQueue<Result>(reload: Run<Result>): Run<Result> {
  let running: Promise<Result> | undefined;
  let next: { readonly wish: ReloadWish; readonly result: Promise<Result> } | undefined;

  const start = (wish: ReloadWish): Result | Promise<Result> => {
    const result = reload(wish);
    if (!(result instanceof Promise)) return result;
    running = result.finally(() => {
      // The next one begins a moment later: until then, nobody else may.
      if (next === undefined) running = undefined;
    });
    return running;
  };

  const startNext = (first: ReloadWish) => {
    const { wish } = next ?? { wish: first };
    running = undefined;
    next = undefined;
    return start(wish);
  };

  return (wish) => {
    if (running === undefined) return start(wish);
    const begin = () => startNext(wish);
    const result = next?.result ?? running.then(begin, begin);
    next = { wish: { reason: wish.reason, force: wish.force || next?.wish.force === true }, result };
    return result;
  };
}
