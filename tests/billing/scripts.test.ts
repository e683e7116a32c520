import { afterAll, beforeAll, expect, test } from 'bun:test';
import fc from 'fast-check';
import { holdArgs } from '../../billing/messages.ts';
import { answersOf, loadScripts, type Scripts, TIMES } from '../../billing/scripts.ts';
import { idTimeMs, newId } from '../../shared/id.ts';
import { faultsOf, readShard, type Shard } from '../support/coherence.ts';
import { SHARDS, TAGS, tagOf } from '../support/shards.ts';
import { EVER, relayed } from './calls.ts';
import * as model from './model.ts';
import { type OwnRedis, startOwnRedis } from './own-redis.ts';

/** A clock that the test moves. */
const CLOCK = `local function now_ms() return tonumber(redis.call('GET', 'test:now')) end`;
const START = 1_800_000_000_000;
const MOST = 1_000;
const TAG = TAGS[2] as string;
/** Two accounts of one shard, so that one script call touches both. */
const [USER_A, USER_B] = Array.from({ length: 200 }, (_, n) => `u${n}`).filter((user) => tagOf(user) === TAG) as [
  string,
  string,
];

let own: OwnRedis;
let scripts: Scripts;
beforeAll(async () => {
  own = await startOwnRedis();
  scripts = loadScripts(own.redis, SHARDS, { ...TIMES, retryWaitsMs: model.WAITS_MS }, CLOCK);
  // Durability is not the question here, and a flush of the disk per step would be most of the time.
  await own.redis.config('SET', 'appendfsync', 'no');
});
afterAll(() => own.close());

/** Redis' clock may jump, back as well. */
const moment = fc.constantFrom(0, 1, 999, 3_000, 5_000, 10_000, 30_000, 61_000, 150_000, -1_000, -90_000);
const user = fc.constantFrom(USER_A, USER_B);
const owner = fc.constantFrom('one', 'two');
/** Which of the ids that were ever held, by place from the newest; a last one that was never held. */
const pick = fc.nat(5);
const attempt = fc.constantFrom(0, 0, 0, -1, 1);
const outcome = fc.constantFrom(0, 1, 2, 2, 2, 2, 3, 3, 4, 4);
const share = fc.constantFrom(0, 0, 1, 7, 1_000);
const flags = fc.constantFrom<string[]>([], ['fallback'], ['fallback', 'partial']);
const kind = <K extends string>(name: K) => fc.constant(name);

const topup = fc.record({
  do: kind('topup'),
  user,
  /** An amount, or all that is available (and one more), or up to the bound (and one more). */
  amount: fc.oneof(fc.integer({ min: -40, max: 120 }), fc.constantFrom('all', 'over', 'bound', 'past')),
});
const item = fc.record({
  price: fc.integer({ min: 1, max: 60 }),
  ageMs: fc.constantFrom(0, 0, 0, 60_000, 60_001, -60_000, -60_001),
  again: fc.option(pick, { freq: 4 }),
});
const group = fc.record({
  user,
  key: fc.constantFrom('', '', 'k0', 'k1'),
  hash: fc.constantFrom('h0', 'h1'),
  validMs: fc.constantFrom(2_000, 20_000, 86_400_000, 86_400_000),
  /** None: the key alone is asked for. */
  items: fc.array(item, { maxLength: 3 }),
});
const hold = fc.record({ do: kind('hold'), groups: fc.array(group, { minLength: 1, maxLength: 3 }) });
/** Of a claim: what was said of an earlier or a later one may come now. */
const number = fc.constantFrom<number[]>(1, 1, 1, 2, 3);
/** How often the same item stands in one call. */
const times = fc.constantFrom(1, 1, 1, 2);
const claim = fc.record({
  do: kind('claim'),
  pick,
  attempt,
  owner,
  ttl: fc.constantFrom(1_000, 20_000),
  resend: fc.boolean(),
  waitMs: fc.constantFrom(0, 2_000, 60_000),
  number,
  times,
});
const settle = fc.record({
  do: kind('settle'),
  pick,
  attempt,
  owner,
  outcome,
  share,
  flags,
  number: fc.constantFrom<number[]>(0, 1, 1, 1, 2, 3),
  times,
});
/** As a dispatcher goes on: waits until it may, claims and settles. */
const goOn = fc.record({ do: kind('go on'), pick, owner, outcome, share, flags, resend: fc.boolean() });
const confirm = fc.record({
  do: kind('confirm'),
  pick,
  stale: fc.boolean(),
  /** Of a decision, without its version, as billing's callers do. */
  bare: fc.boolean(),
  by: fc.constantFrom('confirm', 'claim', 'settle'),
});
const step = fc.oneof(
  { weight: 2, arbitrary: topup },
  { weight: 4, arbitrary: hold },
  { weight: 3, arbitrary: claim },
  { weight: 3, arbitrary: settle },
  { weight: 7, arbitrary: goOn },
  { weight: 4, arbitrary: confirm },
  { weight: 1, arbitrary: fc.record({ do: kind('produced'), pick }) },
  { weight: 4, arbitrary: fc.record({ do: kind('tick'), ms: moment }) },
  { weight: 4, arbitrary: fc.record({ do: kind('sweep') }) },
  { weight: 1, arbitrary: fc.record({ do: kind('relay') }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

type Answer = (string | number)[];
/** What a script hands out for publication, in the order of record.lua's outcome_of. */
const outcomeOf = (m: model.Message | undefined): unknown =>
  m && [m.state, m.version, m.attempt, m.posted, m.error, m.flags.join(',')];
const outcomeIn = ([state, version, attempt, , , posted, error, flags]: Answer): unknown => [
  state,
  Number(version),
  Number(attempt),
  Number(posted),
  error,
  flags,
];

/** Where the model says this shard must be now. */
function expectBooks(shard: Shard, world: model.World): void {
  expect(faultsOf(shard)).toEqual([]);
  expect(Object.fromEntries(shard.accounts)).toEqual(Object.fromEntries(world.accounts));
  const kept = [...world.messages].filter(([, m]) => !m.gone);
  const found = [...shard.records].map(([id, r]) => [
    id,
    r.user,
    r.state,
    Number(r.attempt),
    Number(r.version),
    r.flags ?? '',
  ]);
  const wanted = kept.map(([id, m]) => [id, m.user, m.state, m.attempt, m.version, m.flags.join(',')]);
  expect(new Set(found)).toEqual(new Set(wanted));
  const at = (field: 'due' | 'boxed') =>
    new Map([...world.messages].flatMap(([id, m]) => (m[field] === null ? [] : [[id, m[field] as number]])));
  expect(shard.due).toEqual(at('due'));
  expect(shard.outbox).toEqual(at('boxed'));
  const leaving = new Map(kept.flatMap(([id, { leaves }]) => (leaves === null ? [] : [[id, leaves]])));
  expect(new Map([...shard.leaving].filter(([id]) => shard.records.has(id)))).toEqual(leaving);
}

type Run = { world: model.World; ids: string[] };

const idAt = ({ ids }: Run, place: number): string => ids.at(-1 - place) ?? '00000000-0000-7000-8000-000000000000';
const attemptOf = ({ world }: Run, id: string, offset: number): number =>
  Math.max(1, (world.messages.get(id)?.attempt ?? 1) + offset);

async function moveClock({ world }: Run, ms: number): Promise<void> {
  world.now += ms;
  await own.redis.set('test:now', world.now);
}

async function takeHold(run: Run, s: Extract<Step, { do: 'hold' }>): Promise<void> {
  const { world, ids } = run;
  const groups = s.groups.map(({ items, validMs, ...group }) => ({
    ...group,
    items: items.map(({ price, ageMs, again }) => {
      const madeAt = world.now - ageMs;
      // One that was forgotten is too old to be held again, unless the clock went back by more than a minute since: not asked here.
      const known = again === null ? undefined : model.at(world, idAt(run, again));
      const id = again === null || known === undefined ? `${newId(madeAt).slice(0, -3)}000` : idAt(run, again);
      return { id, madeAt: idTimeMs(id), price, validUntil: world.now + validMs };
    }),
  }));
  const wanted = groups.map(({ user, key, hash, items }) => ({
    ...{ user_id: user, idempotency_key: key, body_hash: hash, batch_id: 'batch', refused: 'refused' },
    items: items.map(({ id, price, validUntil }) => ({
      ...{ message_id: id, price, valid_until: validUntil },
      ...{ event: Buffer.from(`{"id":"${id}"}`), answer: `answer ${id}` },
    })),
  }));
  const replies = answersOf<Answer>(await scripts.hold(TAG, ...holdArgs([], wanted)));
  const expected = groups.map(({ user, key, hash, items }) => {
    const [outcome, codes] = model.hold(world, user, key, hash, items);
    if (outcome === 1) return [1, 'batch', 'refused', ...codes.map((code) => code === 0)];
    return outcome === 0 ? [0, world.accounts.get(user)?.open ?? 0, ...codes] : [2];
  });
  for (const id of world.messages.keys()) if (!ids.includes(id)) ids.push(id);
  const told = replies.map((answer) => {
    const [outcome, batch, refused, ...answers] = answer;
    return outcome === 1 ? [outcome, batch, refused, ...answers.map((text) => text !== '')] : answer;
  });
  expect(told as unknown).toEqual(expected);
}

async function takeClaim(run: Run, s: Extract<Step, { do: 'claim' }>): Promise<void> {
  const { world } = run;
  const id = idAt(run, s.pick);
  const wanted = attemptOf(run, id, s.attempt);
  const items = Array(s.times)
    .fill([id, wanted, s.number, 'OP', s.resend ? 1 : 0, s.waitMs])
    .flat();
  const replies = answersOf<number | Answer>(await scripts.claim(TAG, JSON.stringify([s.owner, s.ttl, [], items])));
  for (const reply of replies.map((one) => (typeof one === 'number' ? [one] : one))) {
    const before = model.at(world, id);
    const wasPending = before !== undefined && before.version > before.published;
    const code = model.claim(world, id, wanted, s.owner, s.number, s.ttl, s.resend, s.waitMs);
    expect(reply[0]).toBe(code);
    const m = model.at(world, id);
    if (code === 2 || (code === 4 && wasPending)) expect(outcomeIn(reply.slice(1))).toEqual(outcomeOf(m));
    else if (code === 5) expect(Number(reply[1])).toBe((m as model.Message).notBefore - world.now);
    else expect(reply).toHaveLength(1);
  }
  // Here and not at the end of the step alone: a settlement may follow in the same one.
  model.forget(world);
}

async function takeSettle(run: Run, s: Extract<Step, { do: 'settle' }>): Promise<void> {
  const { world } = run;
  const id = idAt(run, s.pick);
  const of = attemptOf(run, id, s.attempt);
  const item = [id, of, s.number, s.outcome, 'OP', 'x,y', s.share, 'why', s.flags.join(',')];
  const items = Array(s.times).fill(item).flat();
  const replies = answersOf<number | Answer>(await scripts.settle(TAG, JSON.stringify([s.owner, [], items])));
  for (const reply of replies.map((one) => (typeof one === 'number' ? [one] : one))) {
    const applied = model.settle(world, id, of, s.outcome, s.owner, s.number, s.share, 'why', s.flags);
    const m = model.at(world, id);
    expect(reply[0]).toBe(!applied ? 0 : s.outcome === 0 ? 2 : 1);
    if (reply[0] === 2) {
      expect(reply as unknown).toEqual([2, String(m?.posted), m?.flags.join(','), world.now, m?.version]);
      continue;
    }
    const told = applied ? s.outcome !== 4 : m !== undefined && (model.isDecided(m) || m.version > m.published);
    if (told) expect(outcomeIn(reply.slice(1))).toEqual(outcomeOf(m));
    else expect(reply).toHaveLength(1);
  }
}

async function takeStep(run: Run, s: Step): Promise<void> {
  const { world } = run;
  if (s.do === 'topup') {
    const { available = 0, topped_up = 0 } = world.accounts.get(s.user) ?? {};
    const named = { all: -available, over: -available - 1, bound: MOST - topped_up, past: MOST - topped_up + 1 };
    const amount = typeof s.amount === 'number' ? s.amount : named[s.amount as keyof typeof named];
    const reply = (await scripts.topup(TAG, s.user, newId(), amount, '', '', '{}', MOST)) as [number, string];
    expect(reply[0]).toBe(model.topUp(world, s.user, amount, MOST));
  } else if (s.do === 'hold') await takeHold(run, s);
  else if (s.do === 'claim') await takeClaim(run, s);
  else if (s.do === 'settle') await takeSettle(run, s);
  else if (s.do === 'go on') {
    const m = world.messages.get(idAt(run, s.pick));
    if (m?.state === 'held') await moveClock(run, Math.max(0, m.notBefore - world.now));
    const number = (m?.claim ?? 0) + 1;
    await takeClaim(run, { ...s, do: 'claim', attempt: 0, ttl: 20_000, waitMs: 60_000, number, times: 1 });
    await takeSettle(run, { ...s, do: 'settle', attempt: 0, number, times: 1 });
  } else if (s.do === 'confirm') {
    const id = idAt(run, s.pick);
    const m = world.messages.get(id);
    const version = (m?.version ?? 0) - (s.stale ? 1 : 0);
    if (version < 1) return;
    const said = m !== undefined && model.isDecided(m) && !s.stale && s.bare ? 0 : version;
    const published = [id, said];
    if (s.by === 'confirm') await scripts.confirm(TAG, JSON.stringify(published));
    else if (s.by === 'claim') await scripts.claim(TAG, JSON.stringify(['one', 1_000, published, []]));
    else await scripts.settle(TAG, JSON.stringify(['one', published, []]));
    model.confirm(world, id, version);
  } else if (s.do === 'produced') {
    const id = idAt(run, s.pick);
    await scripts.hold(TAG, ...holdArgs([{ user_id: '', message_id: id }], []));
    model.produced(world, id);
  } else if (s.do === 'tick') await moveClock(run, s.ms);
  else if (s.do === 'sweep') {
    const found = answersOf<[[string, number], ...Answer]>(await scripts.sweep(TAG, 'sweeper', 5_000, 500));
    const before = new Map([...world.messages].map(([id, { version }]) => [id, version]));
    const ids = model.sweep(world);
    const told = (id: string, ended: boolean, outcome: unknown) => [id, ended, outcome];
    expect(new Set(found.map(([[id, ended], ...fields]) => told(id, ended === 1, outcomeIn(fields))))).toEqual(
      new Set(
        ids.map((id) => {
          const m = world.messages.get(id);
          return told(id, m?.version !== before.get(id), outcomeOf(m));
        }),
      ),
    );
  } else {
    const { reached, more, events } = relayed(await scripts.relay(TAG, 'gateway', 5_000, 500, 0, EVER));
    expect([reached, more]).toEqual([world.now, false]);
    expect(events.map(({ id }) => id)).toEqual(model.relay(world));
  }
  // What moves the clock calls nothing, and a top-up forgets nothing.
  if (s.do !== 'tick' && s.do !== 'topup') model.forget(world);
}

/** Time passes until nothing is on its way any more, with a sweeper that works. */
async function drain(run: Run): Promise<void> {
  // The longest way: a message that is handed back and never claimed again is produced about 80 times in its 24 hours.
  for (let round = 0; round < 400; round += 1) {
    const open = [...run.world.messages.values()].filter((m) => m.due !== null);
    if (open.length === 0) {
      const { world, ids } = run;
      if (ids.length > 0) await scripts.hold(TAG, JSON.stringify([ids, [], []]));
      for (const id of ids) model.produced(world, id);
      model.forget(world);
      return;
    }
    await moveClock(run, Math.max(0, ...open.map((m) => (m.due as number) - run.world.now)));
    await takeStep(run, { do: 'sweep' });
    for (const [id, m] of run.world.messages) {
      if (m.version <= m.published) continue;
      await scripts.confirm(TAG, JSON.stringify([id, m.version]));
      model.confirm(run.world, id, m.version);
      model.forget(run.world);
    }
  }
  throw new Error('messages are left that nobody ends');
}

test('whatever the order of calls, the scripts do what the model does, no Rial is made or lost, and every message ends', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }), async (steps) => {
      await own.redis.flushdb();
      await own.redis.set('test:now', START);
      const run: Run = { world: model.newWorld(START), ids: [] };
      await takeStep(run, { do: 'topup', user: USER_A, amount: 100 });
      await takeStep(run, { do: 'topup', user: USER_B, amount: 50 });
      for (const s of steps) {
        await takeStep(run, s);
        expectBooks(await readShard(own.redis, TAG), run.world);
      }
      await drain(run);
      const shard = await readShard(own.redis, TAG);
      expectBooks(shard, run.world);
      expect([...shard.accounts.values()].map(({ held, open }) => held + open)).toEqual([0, 0]);
      expect(shard.outbox.size).toBe(0);
    }),
    { numRuns: Number(process.env.RUNS ?? 150) },
  );
}, 120_000);

test('a call with thousands of messages is read, written and forgotten whole, and what is open stays', async () => {
  await own.redis.flushdb();
  await own.redis.set('test:now', START);
  const ids = Array.from({ length: 2_600 }, () => newId(START));
  const open = ids.slice(2_500);
  await scripts.topup(TAG, USER_A, newId(START), 10_000, '', '', '{}', 1_000_000);
  const items = ids.map((message_id) => ({
    ...{ message_id, price: 2, valid_until: START + 86_400_000 },
    ...{ event: Buffer.from(`{"id":"${message_id}"}`), answer: '' },
  }));
  const group = { user_id: USER_A, idempotency_key: '', body_hash: '', batch_id: '', refused: '', items };
  await scripts.hold(TAG, ...holdArgs([], [group]));
  const done = ids.slice(0, 2_500);
  const claims = done.flatMap((id) => [id, 1, 1, 'OP', 0, 1_000]);
  await scripts.claim(TAG, JSON.stringify(['one', 1_000, [], claims]));
  const settlements = done.flatMap((id) => [id, 1, 1, 0, 'OP', '', 0, '', '']);
  await scripts.settle(TAG, JSON.stringify(['one', [], settlements]));
  await scripts.confirm(TAG, JSON.stringify(done.flatMap((id) => [id, 0])));
  const before = await readShard(own.redis, TAG);
  expect([before.records.size, before.leaving.size, before.due.size]).toEqual([2_600, 2_500, 100]);
  await own.redis.set('test:now', START + TIMES.forgetAfterMs);
  await scripts.confirm(TAG, '[]');
  const after = await readShard(own.redis, TAG);
  expect(new Set(after.records.keys())).toEqual(new Set(open));
  expect([after.leaving.size, after.due.size, after.outbox.size]).toEqual([0, 100, 2_600]);
  expect(after.accounts.get(USER_A)).toEqual({
    available: 4_800,
    held: 200,
    posted: 5_000,
    topped_up: 10_000,
    open: 100,
  });
});
