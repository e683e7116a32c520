/** What a consumer's group may forget: commits, once a second, of what is done. */
import { errorFields, type Log } from './log.ts';
import { createWatermark, type Watermark } from './watermark.ts';

const COMMIT_EVERY_MS = 1_000;

type Offset = { topic: string; partition: number; offset: string };
type Options = {
  group: string;
  commitOffsets(offsets: Offset[]): Promise<void>;
  /** Right before a commit that moves something. */
  beforeCommit?: (() => void) | undefined;
  log: Log;
};

export type Commits = {
  /** The mark of a partition since the group was joined. */
  markOf(topic: string, partition: number): Watermark;
  /** Positions go back to what was committed: whatever is in flight from before may come again and is tracked anew. */
  rejoined(): void;
  start(): void;
  /** Commits what is done for the last time. */
  stop(): Promise<void>;
};

export function createCommits({ group, commitOffsets, beforeCommit, log }: Options): Commits {
  let marks = new Map<string, Watermark>();
  let committing: Promise<void> = Promise.resolve();
  let timer: ReturnType<typeof setInterval> | undefined;

  const commit = async (): Promise<void> => {
    const offsets: Offset[] = [];
    const moved: Watermark[] = [];
    for (const [key, mark] of marks) {
      if (mark.next <= mark.committed) continue;
      const cut = key.lastIndexOf('/');
      offsets.push({ topic: key.slice(0, cut), partition: Number(key.slice(cut + 1)), offset: String(mark.next) });
      moved.push(mark);
    }
    if (offsets.length === 0) return;
    const nexts = moved.map((mark) => mark.next);
    beforeCommit?.();
    // Outside any handler, where a rebalance in the middle costs a redelivery and nothing else.
    await commitOffsets(offsets);
    moved.forEach((mark, i) => {
      mark.committed = nexts[i] as number;
    });
  };
  const tryCommit = (): Promise<void> => {
    committing = committing
      .then(commit)
      .catch((thrown) => log.debug('commit_failed', { group, ...errorFields(thrown) }));
    return committing;
  };

  return {
    markOf: (topic, partition) => {
      const key = `${topic}/${partition}`;
      let mark = marks.get(key);
      if (!mark) {
        mark = createWatermark();
        marks.set(key, mark);
      }
      return mark;
    },
    rejoined: () => {
      marks = new Map();
    },
    start: () => {
      timer = setInterval(() => void tryCommit(), COMMIT_EVERY_MS);
    },
    stop: () => {
      clearInterval(timer);
      return tryCommit();
    },
  };
}
