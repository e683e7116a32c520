import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type AcceptDeps, accept } from '../../gateway/accept.ts';
import { acceptBatch } from '../../gateway/batch.ts';
import type { Rules, SendItem } from '../../gateway/message.ts';
import { type HoldGroup, type HoldGroupReply, HoldOutcome } from '../../shared/billing.ts';
import { AppError } from '../../shared/error.ts';

const others = { 'express/gsm7': 100, 'express/ucs2': 100, 'normal/gsm7': 100, 'normal/ucs2': 100 };

/** As hold.lua: a key is kept with its answers once an item was accepted; the first `covered` items are. */
function scene() {
  const keys = new Map<string, { group: HoldGroup; answers: string[] }>();
  const state = { carried: new Set<string>(), covered: Number.POSITIVE_INFINITY, lost: false, calls: 0 };
  const produced: string[] = [];
  const hold = async (group: HoldGroup): Promise<HoldGroupReply> => {
    state.calls += 1;
    if (state.lost) throw new AppError('outcome_unknown', 'lost');
    const plain = { outcome: HoldOutcome.HELD, codes: [], answers: [], batch_id: '', open: 0, refused: '' };
    const known = keys.get(group.idempotency_key);
    if (known && known.group.body_hash !== group.body_hash) return { ...plain, outcome: HoldOutcome.CONFLICT };
    if (known) {
      const { batch_id, refused } = known.group;
      return { ...plain, outcome: HoldOutcome.REPLAYED, answers: known.answers, batch_id, refused };
    }
    const codes = group.items.map((_, i) => (i < state.covered ? 0 : 1));
    const answers = group.items.map(({ answer }, i) => (i < state.covered ? answer : ''));
    if (group.idempotency_key !== '' && codes.includes(0)) keys.set(group.idempotency_key, { group, answers });
    return { ...plain, codes };
  };
  const rules: Rules = {
    operatorOf: (phone) => (state.carried.has(phone) ? 'MCI' : null),
    prices: { others, byOperator: new Map() },
    senders: { fallback: '3000', shared: new Set(['3000']), accounts: new Map() },
    pagesMax: 10,
    validS: { express: 300, normal: 86_400 },
  };
  const deps: AcceptDeps = {
    rules: () => rules,
    holds: { hold, produced: () => undefined, close: async () => undefined },
    production: { produce: ({ id }: { id: string }) => void produced.push(id) } as never,
    backlog: new Map(),
    overflowAfter: () => Number.POSITIVE_INFINITY,
    batches: { inflight: 0, inflightMax: 1_000 },
  };
  return { deps, state, keys, produced };
}

const PHONES = ['+989120000001', '+989350000002', '+989200000003', '+989400000004', 'no number'];
const messagesTo = (phones: readonly string[]): SendItem[] => phones.map((phone, i) => ({ phone, text: `text ${i}` }));
const asSent = (item: unknown): SendItem => item as SendItem;
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'answered',
    (thrown) => (thrown as AppError).code,
  );

test("a batch's repetition is answered as the batch was, whatever the rules say by then, and produces nothing", async () => {
  const phones = fc.array(fc.constantFrom(...PHONES), { minLength: 1, maxLength: 8 });
  const carried = fc.subarray(PHONES);
  await fc.assert(
    fc.asyncProperty(phones, carried, carried, fc.nat(4), async (sent, before, after, covered) => {
      const { deps, state, produced } = scene();
      Object.assign(state, { carried: new Set(before), covered });
      const messages = messagesTo(sent);
      const first = await acceptBatch(deps, 'u', messages, 'k', asSent);
      expect(produced).toHaveLength(first.answer.accepted);
      if (first.answer.accepted === 0) return;
      state.carried = new Set(after);
      const again = await acceptBatch(deps, 'u', messages, 'k', asSent);
      expect(again).toEqual({ answer: first.answer, replayed: true });
      expect(produced).toHaveLength(first.answer.accepted);
    }),
  );
});

test("a send's repetition is answered as the send was where nobody carries its number any more", async () => {
  const { deps, state, produced } = scene();
  const [phone] = PHONES as [string];
  state.carried.add(phone);
  const item = { phone, text: 'a' };
  const { answer } = await accept(deps, 'u', item, 'k');
  state.carried.clear();
  expect(await accept(deps, 'u', item, 'k')).toEqual({ answer, replayed: true });
  expect(await codeOf(accept(deps, 'u', { ...item, text: 'b' }, 'k'))).toBe('idempotency_conflict');
  expect(await codeOf(accept(deps, 'u', item, 'other'))).toBe('no_route');
  expect(produced).toEqual([answer.message_id]);
});

test('what is refused without a key costs no call, and a key whose answer is lost is not said to be unknown', async () => {
  const { deps, state, keys } = scene();
  const item = { phone: PHONES[0] as string, text: 'a' };
  expect(await codeOf(accept(deps, 'u', item, ''))).toBe('no_route');
  await acceptBatch(deps, 'u', [item], '', asSent);
  expect(state.calls).toBe(0);
  state.lost = true;
  expect(await codeOf(accept(deps, 'u', item, 'k'))).toBe('unavailable');
  expect(await codeOf(acceptBatch(deps, 'u', [item], 'k', asSent))).toBe('unavailable');
  state.carried.add(item.phone);
  expect(await codeOf(accept(deps, 'u', item, 'k'))).toBe('outcome_unknown');
  expect(await codeOf(acceptBatch(deps, 'u', [item], 'k', asSent))).toBe('outcome_unknown');
  expect([keys.size, deps.batches.inflight]).toEqual([0, 0]);
});

test('a thousand different refusals are kept in little room, and their codes and places are right', async () => {
  const { deps, state, keys } = scene();
  state.carried.add(PHONES[0] as string);
  const messages = messagesTo(Array(1_000).fill(PHONES[0]));
  const check = (item: unknown): SendItem => {
    const i = messages.indexOf(item as SendItem);
    if (i === 500) return item as SendItem;
    throw new AppError('invalid_request', 'It does not fit.', { fields: [{ field: `${i}`, detail: 'x'.repeat(200) }] });
  };
  const first = await acceptBatch(deps, 'u', messages, 'k', check);
  const again = await acceptBatch(deps, 'u', messages, 'k', check);
  expect(keys.get('k')?.group.refused.length).toBeLessThan(12_000);
  expect(again.answer).toMatchObject({ batch_id: first.answer.batch_id, accepted: 1, refused: 999 });
  expect(again.answer.results[500]).toEqual(first.answer.results[500]);
  expect(again.answer.results.slice(0, 20)).toEqual(first.answer.results.slice(0, 20));
  expect(again.answer.results[999]).toEqual({ error: { code: 'invalid_request', detail: 'It does not fit.' } });
});

test('as many batches as may be on their way refuse another batch, and no one-time password', async () => {
  const { deps, state } = scene();
  const [phone] = PHONES as [string];
  state.carried.add(phone);
  let answer = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const { hold } = deps.holds;
  deps.holds = { ...deps.holds, hold: (group) => (group.batch_id === '' ? hold(group) : held.then(() => hold(group))) };
  const batch = () => acceptBatch(deps, 'u', messagesTo(Array(500).fill(phone)), '', asSent);
  const first = [batch(), batch()];
  expect(await codeOf(batch())).toBe('unavailable');
  expect((await accept(deps, 'u', { phone, text: 'a', type: 'express' }, '')).answer.status).toBe('queued');
  answer();
  expect((await Promise.all(first)).map(({ answer: { accepted } }) => accepted)).toEqual([500, 500]);
  expect(deps.batches.inflight).toBe(0);
});
