/**
 * Questions of a worker and the engine's answers to them, matched by number.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Answer, Question, ToEngine, WireError } from './protocol.ts';

export interface Questions {
  ask(question: Question): { readonly id: number; readonly answer: Promise<Answer> };
  answered(id: number, result: Answer): void;
}

/** One that is never answered waits for ever: without the engine there is no worker either. */
export function createQuestions(send: (message: ToEngine) => void): Questions {
  const open = new Map<number, (result: Answer) => void>();
  let latest = 0;
  return {
    ask(question) {
      latest += 1;
      const { promise: answer, resolve } = Promise.withResolvers<Answer>();
      open.set(latest, resolve);
      send({ kind: 'question', id: latest, question });
      return { id: latest, answer };
    },
    answered(id, result) {
      open.get(id)?.(result);
      open.delete(id);
    },
  };
}

/** As it was thrown in the engine. */
export function reviveError({ code, retryAfterS, fields }: WireError): SidecarError {
  return new SidecarError(code, { ...(retryAfterS !== undefined && { retryAfterS }), ...(fields && { fields }) });
}
