/**
 * Two processes that call each other's functions over Node's IPC. Messages arrive in the order in which they were sent;
 * what still waits when the other process ends fails.
 */
import type { Socket } from 'node:net';
import { type ErrorCode, SidecarError } from '../../core/errors.ts';

/** Functions of one side, by name. Each gets one argument of plain data, and a socket where one was sent along. */
// biome-ignore lint/suspicious/noExplicitAny: the argument is checked where a function is called by its name.
export type Api = Readonly<Record<string, (argument: any, socket?: Socket) => unknown>>;

export type Message =
  /** `id` 0 = nobody waits for the outcome. */
  | { readonly id: number; readonly name: string; readonly argument: unknown }
  | { readonly re: number; readonly value?: unknown; readonly error?: WireError };

/** A `SidecarError` without its cause. */
export interface WireError {
  readonly code: ErrorCode;
  readonly extras: Pick<SidecarError['extras'], 'retryAfterS' | 'fields'>;
}

/** Hands a message to the other process; `sent` once it is on its way. Never throws. */
export type Send = (message: Message, socket?: Socket, sent?: () => void) => void;

type Argument<Theirs extends Api, Name extends keyof Theirs> = Parameters<Theirs[Name]>[0];

export interface Peer<Theirs extends Api> {
  /** @throws SidecarError what the function throws; SIDECAR_INTERNAL when the other process ends first */
  call<Name extends keyof Theirs & string>(
    name: Name,
    argument?: Argument<Theirs, Name>,
  ): Promise<Awaited<ReturnType<Theirs[Name]>>>;
  /** @param passing.socket stays open here @param passing.sent called once it is on its way */
  tell<Name extends keyof Theirs & string>(
    name: Name,
    argument?: Argument<Theirs, Name>,
    passing?: { readonly socket?: Socket; readonly sent?: () => void },
  ): void;
  /** @param ours what the other side may call */
  receive(ours: Api, message: Message, socket?: Socket): void;
  /** The other process is gone. */
  end(): void;
}

export function createPeer<Theirs extends Api>(send: Send): Peer<Theirs> {
  const open = new Map<number, PromiseWithResolvers<unknown>>();
  let latest = 0;
  const run = async (ours: Api, { id, name, argument }: Extract<Message, { id: number }>, socket?: Socket) => {
    try {
      const value = await ours[name]?.(argument, socket);
      if (id > 0) send({ re: id, value });
    } catch (error) {
      if (id > 0) send({ re: id, error: toWire(error) });
    }
  };
  return {
    call(name, argument) {
      latest += 1;
      const waiting = Promise.withResolvers<unknown>();
      open.set(latest, waiting);
      send({ id: latest, name, argument });
      return waiting.promise as ReturnType<Peer<Theirs>['call']>;
    },
    tell: (name, argument, { socket, sent } = {}) => send({ id: 0, name, argument }, socket, sent),
    receive(ours, message, socket) {
      if (!('re' in message)) return void run(ours, message, socket);
      const waiting = open.get(message.re);
      open.delete(message.re);
      if (message.error) waiting?.reject(new SidecarError(message.error.code, message.error.extras));
      else waiting?.resolve(message.value);
    },
    end() {
      for (const { reject } of open.values()) reject(new SidecarError('SIDECAR_INTERNAL'));
      open.clear();
    },
  };
}

export function toWire(thrown: unknown): WireError {
  const { code, extras } = thrown instanceof SidecarError ? thrown : new SidecarError('SIDECAR_INTERNAL');
  const { retryAfterS, fields } = extras;
  return { code, extras: { ...(retryAfterS !== undefined && { retryAfterS }), ...(fields && { fields }) } };
}
