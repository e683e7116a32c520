/** The operator's own enquire_link, by the dial enquire_link_every_ms. */
import type { Operator } from './operator.ts';
import type { Schedule } from './schedule.ts';

export type Enquiry = {
  /** Begins where the dial asks for it and it does not run already. */
  start(operator: Operator): void;
  /** Whether this response was to our enquire_link. */
  answered(sequence: number): boolean;
};

type Link = { isOpen(): boolean; ask(): number; drop(): void };

/** @param link `ask` sends an enquire_link and answers its sequence number */
export function createEnquiry(schedule: Schedule, link: Link): Enquiry {
  let running = false;
  let unanswered = 0;

  const turn = (operator: Operator): void => {
    const { enquire_link_every_ms: everyMs, freeze } = operator.dials;
    if (!link.isOpen() || everyMs === 0) {
      running = false;
      return;
    }
    if (unanswered !== 0 && !freeze) {
      operator.counters.dropped++;
      link.drop();
      return;
    }
    unanswered = link.ask();
    operator.counters.enquire_links_sent++;
    schedule.after(everyMs, () => turn(operator));
  };

  return {
    start: (operator) => {
      const everyMs = operator.dials.enquire_link_every_ms;
      if (running || everyMs === 0) return;
      running = true;
      unanswered = 0;
      schedule.after(everyMs, () => turn(operator));
    },
    answered: (sequence) => {
      if (sequence !== unanswered) return false;
      unanswered = 0;
      return true;
    },
  };
}
