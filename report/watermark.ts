/**
 * Up to which instant PostgreSQL has read Kafka. Every half second at most, when asked, it notes where the logs end; once
 * PostgreSQL's offsets have passed a note, everything published before that note's instant is counted.
 */
import type { KafkaClient } from '../shared/kafka.ts';
import type { Sql } from '../shared/postgres.ts';

const NOTE_EVERY_MS = 500;
const NOTES_MAX = 240;

type Ends = ReadonlyMap<string, ReadonlyMap<number, number>>;
type Note = { at: number; ends: Ends };

/** How far each partition is written, by `topic/partition`. */
export type Offsets = ReadonlyMap<string, number>;

export type Watermark = {
  /** Where the given topics stand; null while Kafka does not tell their ends. */
  of(
    topics: readonly string[],
    offsets: Offsets,
  ): Promise<{ recordsBehind: number; readUntilMs: number | null } | null>;
  /** Records that PostgreSQL does not have yet, by topic, as of the last note. */
  lag(offsets: Offsets): Promise<Map<string, number>>;
};

export async function readOffsets(sql: Sql): Promise<Offsets> {
  const rows = await sql<{ topic: string; partition: number; next_offset: string }[]>`
    SELECT topic, partition, next_offset::text FROM consumer_offsets`;
  return new Map(rows.map((row) => [`${row.topic}/${row.partition}`, Number(row.next_offset)]));
}

function behind(ends: Ends, topic: string, offsets: Offsets): number {
  let sum = 0;
  for (const [partition, end] of ends.get(topic) ?? [])
    sum += Math.max(0, end - (offsets.get(`${topic}/${partition}`) ?? 0));
  return sum;
}

/** @param topics every topic that is ever asked about */
export function createWatermark(kafka: KafkaClient, topics: readonly string[], now: () => number): Watermark {
  let notes: Note[] = [];
  let asking: Promise<void> | null = null;

  const note = async (): Promise<void> => {
    const at = now();
    const ends = await Promise.all(topics.map(async (topic) => [topic, await kafka.endOffsets(topic)] as const));
    notes = [{ at, ends: new Map(ends) }, ...notes].slice(0, NOTES_MAX);
  };
  const refresh = async (): Promise<Note | null> => {
    if (!notes[0] || now() - notes[0].at >= NOTE_EVERY_MS) {
      asking ??= note().finally(() => {
        asking = null;
      });
      await asking.catch(() => undefined);
    }
    const latest = notes[0];
    return latest && now() - latest.at < 10 * NOTE_EVERY_MS ? latest : null;
  };

  return {
    of: async (asked, offsets) => {
      const latest = await refresh();
      if (latest === null) return null;
      const passed = notes.find(({ ends }) => asked.every((topic) => behind(ends, topic, offsets) === 0));
      return {
        recordsBehind: asked.reduce((sum, topic) => sum + behind(latest.ends, topic, offsets), 0),
        readUntilMs: passed?.at ?? null,
      };
    },
    lag: async (offsets) => {
      const latest = await refresh();
      return new Map(latest === null ? [] : topics.map((topic) => [topic, behind(latest.ends, topic, offsets)]));
    },
  };
}

const LAG_EVERY_MS = 5_000;

/** Tells how far behind each topic is, every few seconds. */
export function watchLag(watermark: Watermark, sql: Sql, onLag: (behind: ReadonlyMap<string, number>) => void) {
  const look = async (): Promise<void> => onLag(await watermark.lag(await readOffsets(sql)));
  // While PostgreSQL is away the last figure stands; the consumer tells that it is away.
  const timer = setInterval(() => void look().catch(() => undefined), LAG_EVERY_MS);
  return { close: () => clearInterval(timer) };
}
