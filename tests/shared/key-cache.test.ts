import { expect, test } from 'bun:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createKeyCache } from '../../shared/key-cache.ts';
import type { KeyRecord } from '../../shared/keys.ts';

const recordOf = (id: string, more: Partial<KeyRecord> = {}): KeyRecord => ({
  id,
  hash: '00'.repeat(32),
  scopes: ['send'],
  user: '123',
  operator: null,
  allow: [],
  expires_at: null,
  created_at: 0,
  revoked_at: null,
  note: '',
  ...more,
});

/** A Redis that answers at once from a map, a clock that stands, and how often was asked. */
function rig() {
  const stored = new Map<string, KeyRecord>();
  const state = { now: 0, asked: 0 };
  const cache = createKeyCache(
    async (id) => {
      state.asked += 1;
      return stored.get(id) ?? null;
    },
    () => state.now,
  );
  return { stored, state, cache };
}

test('a known key costs one reading, and is found without waiting from then on', async () => {
  const { stored, state, cache } = rig();
  stored.set('a', recordOf('a'));
  expect((await cache.find('a'))?.record.user).toBe('123');
  for (let i = 0; i < 100; i += 1) expect(cache.find('a')).not.toBeInstanceOf(Promise);
  expect(state.asked).toBe(1);
});

test('a revocation is seen within 5 s, whether the key is used all the time or not at all', async () => {
  for (const busy of [true, false]) {
    const { stored, state, cache } = rig();
    stored.set('a', recordOf('a'));
    await cache.find('a');
    stored.set('a', recordOf('a', { revoked_at: 1 }));
    let seenAt: number | null = null;
    for (state.now = 100; seenAt === null && state.now <= 10_000; state.now += 100) {
      if (!busy && state.now < 4_900) continue;
      if ((await cache.find('a'))?.record.revoked_at === 1) seenAt = state.now;
      await Promise.resolve();
    }
    expect(seenAt).toBeLessThan(5_000);
  }
});

test('what was read counts from when it was asked for: a slow answer is not believed longer', async () => {
  const state = { now: 0 };
  const answers: ((record: KeyRecord) => void)[] = [];
  const cache = createKeyCache(
    () => new Promise((resolve) => answers.push(resolve)),
    () => state.now,
  );
  const first = cache.find('a');
  state.now = 3_900;
  answers[0]?.(recordOf('a'));
  await first;
  state.now = 4_000;
  const again = cache.find('a');
  expect(again).toBeInstanceOf(Promise);
  answers[1]?.(recordOf('a'));
  await again;
});

test('a busy key is read again beside its requests, so that none of them waits', async () => {
  const { stored, state, cache } = rig();
  stored.set('a', recordOf('a'));
  await cache.find('a');
  for (state.now = 0; state.now < 60_000; state.now += 500) {
    expect(cache.find('a')).not.toBeInstanceOf(Promise);
    await nextTurn();
  }
  expect(state.asked).toBeLessThanOrEqual(31);
});

test('an unknown id is believed to be unknown for a second, then a key made meanwhile works', async () => {
  const { stored, state, cache } = rig();
  expect(await cache.find('b')).toBeNull();
  state.now = 500;
  expect(cache.find('b')).toBeNull();
  expect(state.asked).toBe(1);
  stored.set('b', recordOf('b'));
  state.now = 1_100;
  expect((await cache.find('b'))?.record.id).toBe('b');
});

test('requests that come together share one reading', async () => {
  const { stored, state, cache } = rig();
  stored.set('a', recordOf('a'));
  await Promise.all(Array.from({ length: 50 }, () => cache.find('a')));
  expect(state.asked).toBe(1);
});

test('invented ids fill no memory and push out no key that is used', async () => {
  const { stored, cache } = rig();
  stored.set('a', recordOf('a'));
  await cache.find('a');
  for (let i = 0; i < 25_000; i += 1) await cache.find(`nobody-${i}`);
  expect(cache.size).toBeLessThanOrEqual(20_000);
  expect(cache.find('a')).not.toBeInstanceOf(Promise);
});

test('more readings at once than a flood may cause are refused with 503, and keys that are known go on', async () => {
  let hangs = false;
  const cache = createKeyCache(async (id) => (hangs ? new Promise(() => undefined) : recordOf(id)));
  await cache.find('a');
  hangs = true;
  const hanging = Array.from({ length: 256 }, (_, i) => cache.find(`x${i}`));
  for (const one of hanging) (one as Promise<unknown>).catch(() => undefined);
  await expect(Promise.resolve(cache.find('y'))).rejects.toMatchObject({ code: 'unavailable' });
  expect(cache.find('a')).not.toBeInstanceOf(Promise);
});

test('while Redis does not answer a key that nobody knows here is refused with 503 within seconds', async () => {
  const failing = createKeyCache(() => Promise.reject(new Error('away')));
  await expect(Promise.resolve(failing.find('a'))).rejects.toMatchObject({ code: 'unavailable' });
  const frozen = createKeyCache(() => new Promise(() => undefined));
  await expect(Promise.resolve(frozen.find('a'))).rejects.toMatchObject({ code: 'unavailable' });
});

test('a list of addresses that cannot be read lets nobody in', async () => {
  const cache = createKeyCache(async (id) => recordOf(id, { allow: ['nonsense'] }));
  expect((await cache.find('a'))?.allow?.('127.0.0.1')).toBe(false);
});
