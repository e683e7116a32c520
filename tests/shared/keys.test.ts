import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  createKey,
  isSameKey,
  type KeyRecord,
  keyIdOf,
  keyProblems,
  listKeys,
  type NewKey,
  readKey,
  readKeyId,
  revokeKey,
} from '../../shared/keys.ts';
import { createLog } from '../../shared/log.ts';
import { connected, connectRedis, type Redis } from '../../shared/redis.ts';
import { infra } from '../support/infra.ts';

const NOW = Date.UTC(2026, 10, 22);
const DAY_MS = 86_400_000;
const wish = (more: Partial<NewKey> = {}): NewKey => ({
  scopes: ['send'],
  user: '123',
  operator: null,
  allow: [],
  expires_at: null,
  note: '',
  ...more,
});

let redis: Redis;
beforeAll(async () => {
  redis = connectRedis(
    infra().redisUrl,
    createLog('test', 'error', () => undefined),
  );
  await connected(redis);
  await redis.del('access:keys');
}, 120_000);
afterAll(async () => {
  await redis.del('access:keys');
  redis.disconnect();
});

test('a key has 256 random bits, and Redis holds nothing of them but their SHA-256', async () => {
  const { key, record } = await createKey(redis, wish(), NOW);
  const other = await createKey(redis, wish(), NOW);
  expect(key).toMatch(/^jsms_[0-9a-f]{16}_[0-9a-f]{64}$/);
  expect(other.key.slice(22)).not.toBe(key.slice(22));
  const stored = (await redis.hget('access:keys', record.id)) as string;
  expect(stored).not.toContain(key.slice(22));
  expect((JSON.parse(stored) as KeyRecord).hash).toBe(createHash('sha256').update(key).digest('hex'));
});

test('what was kept is what was wished for', async () => {
  const full = wish({
    scopes: ['send', 'report'],
    allow: ['10.0.0.0/8'],
    expires_at: NOW + DAY_MS,
    note: 'CRM, کلید',
  });
  const { record } = await createKey(redis, full, NOW);
  expect(await readKey(redis, record.id)).toEqual({
    ...full,
    id: record.id,
    hash: record.hash,
    created_at: NOW,
    revoked_at: null,
  });
  expect(await readKey(redis, 'f'.repeat(16))).toBeNull();
});

test('only the whole key is the same as its hash', async () => {
  const { key, record } = await createKey(redis, wish(), NOW);
  const hash = Buffer.from(record.hash, 'hex');
  expect(isSameKey(key, hash)).toBe(true);
  const last = key.endsWith('0') ? '1' : '0';
  for (const wrong of [key.slice(0, -1) + last, key.slice(0, -1), `${key}0`, '', record.hash])
    expect(isSameKey(wrong, hash)).toBe(false);
  expect(isSameKey(key, null)).toBe(false);
});

test('a revoked key stays in the list with its first time of revocation; an unknown one is not revoked', async () => {
  const { record } = await createKey(redis, wish(), NOW);
  expect(await revokeKey(redis, record.id, NOW + 1)).toBe(true);
  expect(await revokeKey(redis, record.id, NOW + 2)).toBe(true);
  expect((await readKey(redis, record.id))?.revoked_at).toBe(NOW + 1);
  expect((await listKeys(redis, NOW + 3)).some(({ id }) => id === record.id)).toBe(true);
  expect(await revokeKey(redis, 'f'.repeat(16), NOW)).toBe(false);
});

test('keys that ended 90 days ago are forgotten when keys are listed, others never', async () => {
  await redis.del('access:keys');
  const make = async (more: Partial<NewKey>): Promise<string> => (await createKey(redis, wish(more), NOW)).record.id;
  const [revoked, expired, valid] = [await make({}), await make({ expires_at: NOW + DAY_MS }), await make({})];
  await revokeKey(redis, revoked, NOW);
  const idsAt = async (nowMs: number): Promise<string[]> => (await listKeys(redis, nowMs)).map(({ id }) => id).sort();
  expect(await idsAt(NOW + 89 * DAY_MS)).toEqual([revoked, expired, valid].sort());
  expect(await idsAt(NOW + 90.5 * DAY_MS)).toEqual([expired, valid].sort());
  expect(await idsAt(NOW + 1_000 * DAY_MS)).toEqual([valid]);
  expect(await redis.hlen('access:keys')).toBe(1);
});

test.each<[string, Partial<NewKey>, number]>([
  ['a plain key', {}, 0],
  ['a key for reports alone', { scopes: ['report'] }, 0],
  ['an admin key', { scopes: ['admin'], user: null }, 0],
  ['a key for metrics', { scopes: ['metrics'], user: null }, 0],
  ['a key for the receipts of one operator', { scopes: ['receipts'], user: null, operator: 'MCI' }, 0],
  ['addresses and networks', { allow: ['127.0.0.1', '10.0.0.0/8', 'fd00::/8'] }, 0],
  ['a rate of its own', { rate: 50 }, 0],
  ['a rate that is none', { rate: Number.NaN }, 1],
  ['no scope', { scopes: [] }, 1],
  ['an account that is missing', { user: null }, 1],
  ['an admin for one account', { scopes: ['admin'] }, 1],
  ['an account that is none', { user: 'a b' }, 1],
  ['an operator for a key that brings no receipts', { operator: 'MCI' }, 1],
  ['an expiry in the past', { expires_at: NOW }, 1],
  ['an address that is none', { allow: ['10.0.0.0/99'] }, 1],
  ['a note without an end', { note: 'x'.repeat(101) }, 1],
])('a wish for %s has its problems named', (_, more, count) => {
  expect(keyProblems(wish(more), NOW)).toHaveLength(count);
});

const ID = '0123456789abcdef';
test.each([
  [`jsms_${ID}_${'a'.repeat(64)}`, ID],
  [`jsms_${ID}_${'a'.repeat(63)}`, null],
  [`jsms_${ID}_${'A'.repeat(64)}`, null],
  [`xsms_${ID}_${'a'.repeat(64)}`, null],
  [`jsms_${ID}_${'a'.repeat(64)}\n`, null],
  ['', null],
])('of %p the id is %p', (key, id) => {
  expect(keyIdOf(key)).toBe(id);
});

test('a person may name a key by its id, with its prefix, or whole', () => {
  for (const text of [ID, `jsms_${ID}`, `jsms_${ID}_${'a'.repeat(64)}`]) expect(readKeyId(text)).toBe(ID);
  for (const text of ['', 'x', `${ID}0`, `jsms_${ID}_`]) expect(readKeyId(text)).toBeNull();
});
