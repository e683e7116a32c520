/** Long messages put together again from their parts, and how often each part came and was accepted. */
import { createRingMap } from './ring-map.ts';
import type { SubmitPdu } from './smpp-pdu.ts';

/** Long messages remembered, whole or not: a repeat of a part must meet its message. */
const ASSEMBLIES_MAX = 20_000;

export type Part = { bytes: Buffer; received: number; accepted: number; firstId: number };

export type Assembly = {
  /** Holes where a part has not come yet. */
  parts: (Part | undefined)[];
  total: number;
  /** Ids and references of its parts since the last time it was recorded. */
  ids: number[];
  references: number[];
  /** How often the whole message had arrived, and been accepted, when it was recorded last. */
  recordedReceived: number;
  recordedAccepted: number;
};

export type Assemblies = {
  /** Counts an arrival of a part. */
  arrive(submit: SubmitPdu): Assembly;
  /** Messages of which a part has not come. */
  incomplete(): number;
  clear(): void;
};

const fewest = (assembly: Assembly, of: 'received' | 'accepted'): number => {
  let least = Number.POSITIVE_INFINITY;
  for (const part of assembly.parts) least = Math.min(least, part?.[of] ?? 0);
  return least;
};

/** How often all of its parts have come. */
export const timesReceived = (assembly: Assembly): number => fewest(assembly, 'received');
/** How often all of its parts have been accepted. */
export const timesAccepted = (assembly: Assembly): number => fewest(assembly, 'accepted');

/** The message's bytes; the parts must all be there. */
export const wholeBytes = (assembly: Assembly): Buffer =>
  Buffer.concat(assembly.parts.map((part) => (part as Part).bytes));

const fresh = (total: number): Assembly => ({
  parts: Array.from({ length: total }, () => undefined),
  total,
  ids: [],
  references: [],
  recordedReceived: 0,
  recordedAccepted: 0,
});

export function createAssemblies(): Assemblies {
  const byKey = createRingMap<Assembly>(ASSEMBLIES_MAX);
  return {
    arrive: (submit) => {
      const { source, destination, concatenation, reference, total, number, message } = submit;
      const key = `${source.address}|${destination.address}|${concatenation}${reference}/${total}`;
      let assembly = byKey.get(key);
      const known = assembly?.parts[number - 1];
      // References are few and come round again: other bytes at the same place are another message.
      if (assembly === undefined || (known !== undefined && !known.bytes.equals(message))) {
        assembly = fresh(total);
        byKey.set(key, assembly);
      }
      const part = assembly.parts[number - 1];
      if (part) part.received++;
      else assembly.parts[number - 1] = { bytes: Buffer.from(message), received: 1, accepted: 0, firstId: 0 };
      return assembly;
    },
    incomplete: () => {
      let count = 0;
      for (const assembly of byKey.newest()) if (assembly.parts.includes(undefined)) count++;
      return count;
    },
    clear: () => byKey.clear(),
  };
}
