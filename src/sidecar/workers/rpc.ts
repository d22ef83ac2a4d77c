/**
 * Questions of a worker and the engine's answers to them, matched by number.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Question, Reply, ToEngine, WireError } from './protocol.ts';

export interface Questions {
  ask(question: Question): { readonly id: number; readonly response: Promise<Reply> };
  responded(id: number, result: Reply): void;
}

/** One that is never answered waits for ever: without the engine there is no worker either. */
export function createQuestions(send: (message: ToEngine) => void): Questions {
  const open = new Map<number, (result: Reply) => void>();
  let latest = 0;
  return {
    ask(question) {
      latest += 1;
      const { promise: response, resolve } = Promise.withResolvers<Reply>();
      open.set(latest, resolve);
      send({ kind: 'question', id: latest, question });
      return { id: latest, response };
    },
    responded(id, result) {
      open.get(id)?.(result);
      open.delete(id);
    },
  };
}

/** As it was thrown in the engine. */
export function reviveError({ code, retryAfterS, fields }: WireError): SidecarError {
  return new SidecarError(code, { ...(retryAfterS !== undefined && { retryAfterS }), ...(fields && { fields }) });
}
