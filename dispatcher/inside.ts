/** The attempts that are in this process, each but once. */
import type { Work } from './work.ts';

export type Inside = {
  /** False for an attempt that is here already: this record of it is done when the first is. */
  enter(work: Work): boolean;
  /** Its end: every record of it is done. */
  leave(work: Work): void;
  /** Lets it come in again. Answers what is to be called at its end instead of `leave`. */
  step(work: Work): () => void;
};

export function createInside(): Inside {
  const records = new Map<string, (() => void)[]>();
  const keyOf = ({ event, attempt }: Work): string => `${event.id}/${attempt}`;
  const step = (work: Work): (() => void) => {
    const key = keyOf(work);
    const dones = records.get(key) ?? [];
    records.delete(key);
    return () => {
      for (const done of dones) done();
    };
  };
  return {
    enter: (work) => {
      const key = keyOf(work);
      const dones = records.get(key);
      if (dones) dones.push(work.done);
      else records.set(key, [work.done]);
      return dones === undefined;
    },
    leave: (work) => step(work)(),
    step,
  };
}
