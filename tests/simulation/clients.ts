/** The clients of a history: they top up and send, alone or in batches, with a key or without, and try again when they must. */
import { accept } from '../../gateway/accept.ts';
import { acceptBatch, type ItemResult } from '../../gateway/batch.ts';
import type { SendItem } from '../../gateway/message.ts';
import { toAppError } from '../../shared/error.ts';
import { after, WORLD } from './clock.ts';
import { type BillingProcess, type Gateway, PHONES, USERS } from './processes.ts';
import type { Told } from './verdict.ts';
import type { Kind, Running, World } from './world.ts';

const CLIENT_TIMEOUT_MS = 9_000;
/** Clients send in this time, and try again so often. */
const SENDS_MS = 20_000;
const TRIES_MAX = 2;
/** After this long no client asks for anything any more. */
export const CLIENTS_MS = SENDS_MS + (TRIES_MAX + 1) * (CLIENT_TIMEOUT_MS + 3_000);
const TEXTS = ['Your code is 1234', 'کد تایید: 1234', 'a'.repeat(200)];

/** Runs a client's call at some process of a kind; answers nothing when that process dies or is too slow. */
function callSome<T>(
  world: World,
  kind: Kind,
  call: (running: Running) => Promise<T>,
  heard: (result: T | Error | null) => void,
): void {
  const candidates = world.running.filter((running) => running.kind === kind);
  const running = candidates[world.random.between(0, candidates.length - 1)];
  if (running === undefined) {
    heard(new Error('refused'));
    return;
  }
  let open = true;
  const hear = (result: T | Error | null): void => {
    if (open) heard(result);
    open = false;
  };
  after(CLIENT_TIMEOUT_MS, WORLD, () => hear(null));
  after(world.random.between(1, 5), running.process, () => {
    call(running).then(
      (result) => after(1, WORLD, () => hear(result)),
      (thrown) => after(1, WORLD, () => hear(toAppError(thrown))),
    );
  });
}

export function planTopUps(world: World): void {
  const { random, toppedUp } = world;
  const ask = (user: string, amount: number, key: string, tries: number): void => {
    const sums = toppedUp.get(user) ?? { sure: 0, perhaps: 0 };
    toppedUp.set(user, sums);
    callSome(
      world,
      'billing',
      ({ billing }) => (billing as BillingProcess).topUp(user, amount, key),
      (result) => {
        const unknown = result === null || (result instanceof Error && toAppError(result).code === 'outcome_unknown');
        if (unknown && key !== '' && tries > 0) return ask(user, amount, key, tries - 1);
        if (unknown) sums.perhaps += amount;
        else if (!(result instanceof Error)) sums.sure += amount;
        else if (key !== '' && tries < 2) sums.perhaps += amount;
      },
    );
  };
  for (const user of USERS) {
    for (let n = random.between(1, 2); n > 0; n -= 1) {
      const key = random.chance(0.5) ? `t${n}` : '';
      const amount = random.pick([20, 50, 200, 500]);
      after(n === 1 ? 0 : random.between(0, 10_000), WORLD, () => ask(user, amount, key, 2));
    }
  }
}

const checkItem = (item: unknown): SendItem => item as SendItem;

export function planSends(world: World): number {
  const { random, told } = world;
  let lastValid = 0;
  const itemOf = (ref: string): SendItem => {
    const valid_for_s = random.pick([8, 20, 60]);
    lastValid = Math.max(lastValid, valid_for_s * 1_000);
    const type = random.chance(0.4) ? 'express' : 'normal';
    return { phone: random.pick(PHONES), text: random.pick(TEXTS), type, client_ref: ref, valid_for_s };
  };
  const send = (user: string, items: SendItem[], entries: Told[], key: string, tries: number): void =>
    callSome<ItemResult[]>(
      world,
      'gateway',
      async ({ gateway }) => {
        const deps = (gateway as Gateway).accept;
        if (items.length === 1) return [(await accept(deps, user, items[0] as SendItem, key)).answer];
        return (await acceptBatch(deps, user, items, key, checkItem)).answer.results;
      },
      (result) => {
        const error = result instanceof Error ? toAppError(result).code : null;
        entries.forEach((entry, i) => {
          const one = Array.isArray(result) ? result[i] : undefined;
          if (one !== undefined && 'message_id' in one) {
            entry.answers.push('accepted');
            entry.ids.push(one.message_id);
          } else entry.answers.push(result === null || error === 'outcome_unknown' ? 'unknown' : 'refused');
        });
        const failed =
          result === null || error === 'outcome_unknown' || error === 'unavailable' || error === 'internal';
        if (failed && tries > 0)
          after(random.between(100, 3_000), WORLD, () => send(user, items, entries, key, tries - 1));
      },
    );
  // Few messages: what goes wrong between two shows with two, and a minute holds more histories.
  const count = random.pick([1, 2, 2, 3, 6]);
  for (let n = 0; n < count; n += 1) {
    const user = random.pick(USERS);
    const key = random.chance(0.5) ? `k${n}` : '';
    const size = random.chance(0.2) ? random.between(2, 4) : 1;
    const items = Array.from({ length: size }, (_, i) => itemOf(`r${n}.${i}`));
    const entries = items.map(({ client_ref = '' }): Told => ({ ref: client_ref, user, key, answers: [], ids: [] }));
    told.push(...entries);
    const tries = random.between(0, TRIES_MAX);
    after(random.between(500, SENDS_MS), WORLD, () => send(user, items, entries, key, tries));
  }
  return lastValid;
}
