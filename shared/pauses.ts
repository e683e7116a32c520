/** The partitions of a consumer that are to bring nothing now; they are remembered, since a consumer forgets them. */
import { errorFields, type Log } from './log.ts';

type Partitions = { topic: string; partitions?: number[] };
type Pausable = { pause(which: Partitions[]): void; resume(which: Partitions[]): void };

export type Pauses = {
  pause(topic: string, partition: number): void;
  resume(topic: string, partition: number): void;
  /** All of its topics, for good. */
  halt(): void;
  readonly halted: boolean;
  /** The group was joined: what is paused is said again. */
  rejoined(): void;
};

export function createPauses(consumer: Pausable, group: string, topics: readonly string[], log: Log): Pauses {
  let halted = false;
  const wholeTopics = topics.map((topic) => ({ topic }));
  const paused = new Map<string, { topic: string; partitions: number[] }>();
  /** A consumer that waits for its own restart takes neither, and has forgotten its pauses after it: they are said again then. */
  const tell = (what: 'pause' | 'resume', which: Partitions[]): void => {
    try {
      consumer[what](which);
    } catch (thrown) {
      log.debug('kafka_not_running', { group, what, ...errorFields(thrown) });
    }
  };
  return {
    pause: (topic, partition) => {
      const which = { topic, partitions: [partition] };
      paused.set(`${topic}/${partition}`, which);
      tell('pause', [which]);
    },
    resume: (topic, partition) => {
      paused.delete(`${topic}/${partition}`);
      if (!halted) tell('resume', [{ topic, partitions: [partition] }]);
    },
    halt: () => {
      halted = true;
      tell('pause', wholeTopics);
    },
    get halted() {
      return halted;
    },
    rejoined: () => tell('pause', halted ? wholeTopics : [...paused.values()]),
  };
}
