/** What an operator did, in exact numbers: they never depend on how many records are kept. */

/** Seconds of history kept of the accepted submits. */
const SECONDS_MAX = 3_600;

export type Counters = {
  /** Submits that arrived: requests on HTTP, PDUs on SMPP (each part of a long message is one). */
  received: number;
  /** Submits accepted; a repeat that was removed as a duplicate is not one. */
  accepted: number;
  /** Whole messages accepted, whatever their number of parts. */
  messages: number;
  /** Repeats answered with the first one's id because `dedupe` is on. */
  duplicates: number;
  /** Acceptances of a message that had been accepted before: what a customer would get twice. */
  doubled: number;
  rejected: number;
  transient: number;
  throttled: number;
  unauthorized: number;
  wrong_network: number;
  /** Never answered, whether accepted or not. */
  silent: number;
  /** Links dropped on purpose. */
  dropped: number;
  /** Bodies or PDUs that could not be read. */
  malformed: number;
  /** Connections and binds refused. */
  refused_connections: number;
  binds: number;
  enquire_links_received: number;
  enquire_links_sent: number;
  enquire_links_answered: number;
  receipts_sent: number;
  receipts_answered: number;
  receipts_refused: number;
  receipts_missing: number;
};

const ZERO: Counters = {
  received: 0,
  accepted: 0,
  messages: 0,
  duplicates: 0,
  doubled: 0,
  rejected: 0,
  transient: 0,
  throttled: 0,
  unauthorized: 0,
  wrong_network: 0,
  silent: 0,
  dropped: 0,
  malformed: 0,
  refused_connections: 0,
  binds: 0,
  enquire_links_received: 0,
  enquire_links_sent: 0,
  enquire_links_answered: 0,
  receipts_sent: 0,
  receipts_answered: 0,
  receipts_refused: 0,
  receipts_missing: 0,
};

export const createCounters = (): Counters => ({ ...ZERO });

/** Accepted submits by second of the epoch, the last hour of them. */
export type PerSecond = { count(nowMs: number): void; read(): Record<string, number>; clear(): void };

export function createPerSecond(): PerSecond {
  const bySecond = new Map<number, number>();
  return {
    count: (nowMs) => {
      const second = Math.floor(nowMs / 1000);
      const before = bySecond.get(second);
      bySecond.set(second, (before ?? 0) + 1);
      if (before === undefined && bySecond.size > SECONDS_MAX) {
        for (const old of bySecond.keys()) {
          bySecond.delete(old);
          break;
        }
      }
    },
    read: () => Object.fromEntries(bySecond),
    clear: () => bySecond.clear(),
  };
}

/** Says no to what exceeds `tps` within one second of the clock, as most operators count. 0 means unlimited. */
export function createThrottle(): { admits(tps: number, nowMs: number): boolean } {
  let second = 0;
  let admitted = 0;
  return {
    admits: (tps, nowMs) => {
      if (tps === 0) return true;
      const current = Math.floor(nowMs / 1000);
      if (current !== second) {
        second = current;
        admitted = 0;
      }
      if (admitted >= tps) return false;
      admitted++;
      return true;
    },
  };
}
