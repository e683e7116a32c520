/** What the operator knows of each message: the last `max` of them in full. The counts beyond that live in the tally. */
import { e164 } from './number.ts';
import { createRingMap } from './ring-map.ts';

/** Operator ids and references kept of one message; a message that was sent more often is counted all the same. */
const KEPT_OF_ONE_MAX = 20;

/** A part of a long message: its own text, and how often it came and was accepted. */
export type PartCount = { text: string; received: number; accepted: number };

/** How the last arrival was written on SMPP. */
export type SmppDetails = {
  bind: 'transceiver' | 'transmitter' | 'receiver';
  service_type: string;
  source_addr_ton: number;
  source_addr_npi: number;
  dest_addr_ton: number;
  dest_addr_npi: number;
  esm_class: number;
  protocol_id: number;
  priority_flag: number;
  schedule_delivery_time: string;
  validity_period: string;
  registered_delivery: number;
  data_coding: number;
  concatenation: 'none' | 'udh8' | 'udh16' | 'sar';
  message_payload: boolean;
};

export type MessageRecord = {
  /** HTTP: as sent. SMPP: its last user_message_reference as a decimal, or empty. */
  message_id: string;
  /** As sent. */
  to: string;
  from: string;
  /** The whole text, put together from its parts. */
  text: string;
  /** HTTP: as sent. SMPP: `gsm7`, `ucs2`, `latin1` or `binary`, by data_coding. */
  encoding: string;
  parts: number;
  /** How often the whole message arrived. */
  received: number;
  /** How often the whole message was accepted. */
  accepted: number;
  first_at: string;
  last_at: string;
  /** As the submit's answer wrote them, in the order of acceptance. */
  operator_ids: string[];
  /** SMPP: the user_message_reference of each arrival that carried one. */
  references: number[];
  /** SMPP, long messages: each part's own counts, in order. */
  part_counts: PartCount[];
  /** null on HTTP. */
  smpp: SmppDetails | null;
};

/** One arrival, or a further acceptance, of a message. */
export type Sighting = {
  key: string;
  messageId: string;
  to: string;
  from: string;
  text: string;
  encoding: string;
  parts: number;
  atMs: number;
  received: number;
  accepted: number;
  operatorIds: readonly string[];
  references: readonly number[];
  partCounts: readonly PartCount[];
  smpp: SmppDetails | null;
};

type Kept = Omit<Sighting, 'key' | 'operatorIds' | 'references' | 'atMs'> & {
  firstMs: number;
  lastMs: number;
  operatorIds: string[];
  references: number[];
};

export type RecordQuery = { messageId?: string; to?: string; limit?: number };

export type Records = {
  see(sighting: Sighting): void;
  /** The newest first. `to` may be written in any form. */
  read(query?: RecordQuery): MessageRecord[];
  readonly size: number;
  clear(): void;
};

const LIMIT = 1_000;

const keep = (sighting: Sighting): Kept => ({
  messageId: sighting.messageId,
  to: sighting.to,
  from: sighting.from,
  text: sighting.text,
  encoding: sighting.encoding,
  parts: sighting.parts,
  received: sighting.received,
  accepted: sighting.accepted,
  partCounts: sighting.partCounts,
  smpp: sighting.smpp,
  firstMs: sighting.atMs,
  lastMs: sighting.atMs,
  operatorIds: sighting.operatorIds.slice(0, KEPT_OF_ONE_MAX),
  references: sighting.references.slice(0, KEPT_OF_ONE_MAX),
});

function addTo<T>(list: T[], more: readonly T[]): void {
  for (const one of more) if (list.length < KEPT_OF_ONE_MAX) list.push(one);
}

const shown = (kept: Kept): MessageRecord => ({
  message_id: kept.messageId,
  to: kept.to,
  from: kept.from,
  text: kept.text,
  encoding: kept.encoding,
  parts: kept.parts,
  received: kept.received,
  accepted: kept.accepted,
  first_at: new Date(kept.firstMs).toISOString(),
  last_at: new Date(kept.lastMs).toISOString(),
  operator_ids: [...kept.operatorIds],
  references: [...kept.references],
  part_counts: kept.partCounts.map((one) => ({ ...one })),
  smpp: kept.smpp,
});

/** @param max messages kept; the oldest is forgotten for a new one */
export function createRecords(max: number): Records {
  const byKey = createRingMap<Kept>(max);
  return {
    see: (sighting) => {
      const kept = byKey.get(sighting.key);
      if (kept === undefined) {
        byKey.set(sighting.key, keep(sighting));
        return;
      }
      kept.received += sighting.received;
      kept.accepted += sighting.accepted;
      kept.lastMs = sighting.atMs;
      if (sighting.messageId !== '') kept.messageId = sighting.messageId;
      kept.partCounts = sighting.partCounts;
      kept.smpp = sighting.smpp;
      addTo(kept.operatorIds, sighting.operatorIds);
      addTo(kept.references, sighting.references);
    },
    read: ({ messageId, to, limit = LIMIT } = {}) => {
      const number = to === undefined ? undefined : e164(to);
      const found: MessageRecord[] = [];
      for (const kept of byKey.newest()) {
        if (found.length >= limit) break;
        const named = messageId === undefined || kept.messageId === messageId;
        if (!named && !(kept.smpp !== null && kept.references.includes(Number(messageId)))) continue;
        if (number !== undefined && e164(kept.to) !== number) continue;
        found.push(shown(kept));
      }
      return found;
    },
    get size() {
      return byKey.size;
    },
    clear: byKey.clear,
  };
}
