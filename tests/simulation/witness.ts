/**
 * What must hold at every step, watched from outside: after each script the books of its shard are recounted and each record's
 * move is held against the life of a message as DESIGN.md tells it. What must hold in the end stands in verdict.ts.
 */
import { ATTEMPTS_MAX } from '../../shared/topics.ts';
import { FIELD_AT, type RecordField } from '../support/record.ts';
import { unpacked } from './lua-runtime.ts';
import type { MemoryRedis } from './memory-redis.ts';

export type Seen = {
  id: string;
  tag: string;
  user: string;
  price: number;
  state: string;
  attempt: number;
  version: number;
  published: number;
  posted: number;
  error: string;
  flags: string;
  dead: boolean;
  validUntil: number;
  notBefore: number;
  owner: string;
  operator: string;
  claimUntil: number;
  waitUntil: number;
  resend: boolean;
  /** Being forgotten, or forgotten. */
  leaving: boolean;
  gone: boolean;
  /** What the client called it. */
  ref: string;
  event: string;
};

export type Witness = {
  readonly messages: ReadonlyMap<string, Seen>;
  readonly faults: readonly string[];
  fault(sentence: string): void;
  onScript(name: string, tag: string, args: readonly string[]): void;
  /** A status that Kafka has. */
  onPublished(id: string, version: number): void;
  isPublished(id: string, version: number): boolean;
  /** The world's instant at which an attempt was claimed last; before all time when it never was. */
  claimedAt(id: string, attempt: number): number;
  /** Claims that were undone: told with the message as it was. */
  onUndone: (was: Seen) => void;
  /** Recounts everything. */
  look(): void;
};

/** Of a hold: a group begins with its account, an item with its id. */
const GROUP_FIELDS = 6;
const ITEM_FIELDS = 6;

const OPEN: ReadonlySet<string> = new Set(['held', 'claimed', 'unknown']);
export const isOpen = ({ state }: Pick<Seen, 'state'>): boolean => OPEN.has(state);

/** Scripts that touch what their arguments do not name. */
const SEES_ALL: ReadonlySet<string> = new Set(['jsms_sweep']);

/** Which script may make which move, of a record that is there. */
const MOVES: Readonly<Record<string, readonly string[]>> = {
  'held claimed': ['jsms_claim'],
  'held failed': ['jsms_claim', 'jsms_sweep'],
  'held sent': ['jsms_settle'],
  'claimed held': ['jsms_settle', 'jsms_sweep'],
  'claimed sent': ['jsms_settle'],
  'claimed failed': ['jsms_settle', 'jsms_sweep'],
  'claimed unknown': ['jsms_settle', 'jsms_sweep'],
  'unknown sent': ['jsms_settle'],
  'unknown failed': ['jsms_settle', 'jsms_sweep'],
  'unknown held': ['jsms_settle'],
};

/** What is wrong with a record's move, a sentence each. */
function faultsOfMove(was: Seen, is: Seen, script: string, now: number): string[] {
  const faults: string[] = [];
  const wrong = (unless: boolean, what: string): void => void (unless || faults.push(what));
  if (!isOpen(was)) {
    const same =
      was.state === is.state && was.posted === is.posted && was.version === is.version && was.flags === is.flags;
    wrong(same, `was decided ${was.state} (${was.posted}) and is now ${is.state} (${is.posted})`);
    return faults;
  }
  if (was.state === is.state && was.attempt === is.attempt) {
    wrong(was.version === is.version, `counts another decision of the same state ${is.state}`);
    if (is.state === 'claimed') wrong(was.owner === is.owner, 'was claimed while somebody else had it');
    return faults;
  }
  const allowed = MOVES[`${was.state} ${is.state}`];
  wrong(allowed?.includes(script) ?? false, `went from ${was.state} to ${is.state} by ${script}`);
  const decided = is.state !== 'claimed' && !(is.state === 'held' && is.attempt === was.attempt);
  wrong(is.version === was.version + (decided ? 1 : 0), `counted ${was.version}, then ${is.version}`);
  if (is.state !== 'sent')
    wrong(
      is.attempt === was.attempt + (is.state === 'held' && decided ? 1 : 0),
      `attempt ${was.attempt}, then ${is.attempt}`,
    );
  wrong(is.attempt >= 1 && is.attempt <= ATTEMPTS_MAX, `attempt ${is.attempt}`);
  if (is.state === 'claimed') {
    wrong(was.validUntil > now, 'was claimed after its validity');
    wrong(was.notBefore <= now, 'was claimed before its time');
  }
  if (is.state === 'sent') wrong(is.posted > 0 && is.posted <= is.price, `posted ${is.posted} of ${is.price}`);
  else wrong(is.posted === 0, `posted ${is.posted} though ${is.state}`);
  if (is.error === 'expired' && is.state === 'failed') wrong(was.validUntil <= now, 'expired before its time');
  if (script === 'jsms_sweep') {
    if (was.state === 'claimed') wrong(was.claimUntil <= now, 'was taken from its claimer before its time');
    if (was.state === 'unknown') wrong(was.waitUntil <= now, 'was given up before its wait was over');
  }
  return faults;
}

/**
 * @param now Redis' own clock
 * @param worldNow the world's
 */
export function createWitness(memory: MemoryRedis, now: () => number, worldNow: () => number): Witness {
  const claims = new Map<string, number>();
  const messages = new Map<string, Seen>();
  const byTag = new Map<string, Set<string>>();
  const users = new Map<string, Set<string>>();
  const published = new Set<string>();
  const faults: string[] = [];
  const fault = (sentence: string): void => void (faults.length < 20 && faults.push(sentence));

  const learnUser = (tag: string, user: string): void => void users.set(tag, (users.get(tag) ?? new Set()).add(user));
  /** A hold's argument: confirmed ids, then groups and their items, both flat. */
  const learnHeld = (tag: string, arg: string): void => {
    const ids = byTag.get(tag) ?? new Set();
    byTag.set(tag, ids);
    const [, groups, items] = JSON.parse(arg) as [unknown, string[], string[]];
    for (let i = 0; i < groups.length; i += GROUP_FIELDS) learnUser(tag, groups[i] as string);
    for (let i = 0; i < items.length; i += ITEM_FIELDS) ids.add(items[i] as string);
  };

  /** Packed is JSON in the simulation. */
  const leaves = (tag: string, id: string): boolean => {
    for (const ids of memory.scores(`${tag}:forgotten`).keys()) if (ids.includes(id)) return true;
    return false;
  };
  const read = (tag: string, id: string): Seen | null => {
    const packed = memory.call('GET', [`${tag}:m:${id}`]);
    if (packed === null) return null;
    const record = unpacked(packed as string);
    const n = (name: RecordField): number => record[FIELD_AT[name]] as number;
    const s = (name: RecordField): string => record[FIELD_AT[name]] as string;
    const until = (state: string): number => (s('state') === state ? n('until') : 0);
    return {
      id,
      tag,
      user: s('user'),
      price: n('price'),
      state: s('state'),
      attempt: n('attempt'),
      version: n('version'),
      published: n('published'),
      posted: n('posted'),
      error: s('error'),
      flags: s('flags'),
      dead: n('dead') === 1,
      validUntil: n('valid_until'),
      notBefore: until('held'),
      owner: s('owner'),
      operator: s('operator'),
      claimUntil: until('claimed'),
      waitUntil: until('unknown'),
      resend: n('resend') === 1,
      leaving: leaves(tag, id),
      gone: false,
      ref: '',
      event: s('event'),
    };
  };

  const watch = (tag: string, id: string, script: string): void => {
    const was = messages.get(id);
    const is = read(tag, id);
    if (is === null) {
      if (was === undefined || was.gone) return;
      if (!was.leaving) fault(`message ${id} is gone, though nobody forgot it (${was.state})`);
      messages.set(id, { ...was, gone: true });
      return;
    }
    is.ref = was?.ref ?? refOf(is.event);
    messages.set(id, is);
    if (was === undefined || was.gone) {
      if (was?.gone) fault(`message ${id} came back after it was forgotten`);
      if (script !== 'jsms_hold' || is.state !== 'held' || is.attempt !== 1 || is.version !== 0)
        fault(`message ${id} began ${is.state} by ${script}`);
      return;
    }
    if (is.state === 'claimed' && was.state !== 'claimed') claims.set(`${id}/${is.attempt}`, worldNow());
    if (was.state === 'claimed' && is.state === 'held' && is.attempt === was.attempt) witness.onUndone(was);
    for (const what of faultsOfMove(was, is, script, now())) fault(`message ${id} ${what}`);
    if (is.leaving && !was.leaving && !published.has(`${id}/${is.version}`))
      fault(`message ${id} is being forgotten, and Kafka has not its outcome (${is.state})`);
    if (is.leaving && isOpen(is)) fault(`message ${id} is being forgotten while ${is.state}`);
  };

  const recount = (tag: string): void => {
    const due = memory.scores(`${tag}:due`);
    for (const user of users.get(tag) ?? []) {
      const f = memory.fields(`${tag}:a:${user}`);
      const [available = 0, held = 0, posted = 0, topped = 0, open = 0] = [
        'available',
        'held',
        'posted',
        'topped_up',
        'open',
      ].map((name) => Number(f.get(name) ?? 0));
      let price = 0;
      let count = 0;
      for (const id of byTag.get(tag) ?? []) {
        const seen = messages.get(id);
        if (seen === undefined || seen.gone || seen.user !== user || !isOpen(seen)) continue;
        price += seen.price;
        count += 1;
        if (!due.has(id)) fault(`message ${id} is ${seen.state}, and nobody will look at it`);
      }
      if (available < 0 || held < 0 || posted < 0) fault(`account ${user}: ${available} ${held} ${posted}`);
      if (topped !== available + held + posted)
        fault(`account ${user}: ${topped} in, ${available} + ${held} + ${posted} accounted for`);
      if (held !== price || open !== count)
        fault(`account ${user}: holds ${held} for ${open} messages, its records say ${price} for ${count}`);
    }
  };

  const onScript = (name: string, tag: string, args: readonly string[]): void => {
    const arg = args[0] as string;
    if (name === 'jsms_hold') learnHeld(tag, arg);
    if (name === 'jsms_topup') learnUser(tag, arg);
    const all = SEES_ALL.has(name);
    for (const id of byTag.get(tag) ?? []) if (all || arg.includes(id)) watch(tag, id, name);
    recount(tag);
  };

  const witness: Witness = {
    messages,
    faults,
    onUndone: () => undefined,
    fault,
    onScript,
    onPublished: (id, version) => void published.add(`${id}/${version}`),
    isPublished: (id, version) => published.has(`${id}/${version}`),
    claimedAt: (id, attempt) => claims.get(`${id}/${attempt}`) ?? Number.NEGATIVE_INFINITY,
    look: () => {
      for (const [tag, ids] of byTag) {
        for (const id of ids) watch(tag, id, 'nobody');
        recount(tag);
      }
    },
  };
  return witness;
}

const refOf = (event: string): string => (JSON.parse(event) as { client_ref?: string }).client_ref ?? '';
