import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { keyLine, parseExpiry, readCommand } from '../../billing/keys.ts';
import { type KeyRecord, readKey } from '../../shared/keys.ts';
import { runKeys } from '../support/keys.ts';
import { type OwnRedis, startOwnRedis } from './own-redis.ts';

setDefaultTimeout(60_000);
const NOW = Date.UTC(2026, 10, 22);
const DAY_MS = 86_400_000;

test.each([
  ['90d', NOW + 90 * DAY_MS],
  ['12h', NOW + DAY_MS / 2],
  ['30m', NOW + 1_800_000],
  ['2027-03-21', Date.UTC(2027, 2, 21)],
  ['2027-03-21T00:00:00+03:30', Date.UTC(2027, 2, 20, 20, 30)],
  ['90', null],
  ['1.5d', null],
  ['-1d', null],
  ['90 d', null],
  ['tomorrow', null],
  ['', null],
])('an expiry of %p is %p', (text, at) => {
  expect(parseExpiry(text, NOW)).toBe(at);
});

const read = (line: string) => readCommand(line.split(' ').filter(Boolean), NOW);

test('the command line says what is wished for', () => {
  const line = 'create --user 123 --scope send,report --expires 90d --allow 10.0.0.0/8,127.0.0.1 --rate 50 --note CRM';
  expect(read(line)).toEqual({
    name: 'create',
    wish: {
      scopes: ['send', 'report'],
      user: '123',
      operator: null,
      allow: ['10.0.0.0/8', '127.0.0.1'],
      expires_at: NOW + 90 * DAY_MS,
      rate: 50,
      note: 'CRM',
    },
  });
  expect(read('list --user 123')).toEqual({ name: 'list', user: '123' });
  expect(read('list')).toEqual({ name: 'list', user: null });
  expect(read('revoke 0123456789abcdef')).toEqual({ name: 'revoke', id: '0123456789abcdef' });
});

test.each([
  ['', 1],
  ['drop', 1],
  ['create', 1],
  ['create --user 123', 1],
  ['create --user 123 --scope send,steal', 1],
  ['create --scope send', 1],
  ['create --user 123 --scope admin', 1],
  ['create --user 123 --scope send --expires soon', 1],
  ['create --user 123 --scope send --expires 2020-01-01', 1],
  ['create --user 123 --scope send --allow everywhere', 1],
  ['create --user 123 --scope send --expire 90d', 1],
  ['create extra --user 123 --scope send', 1],
  ['create --user 123 --scope send --rate 0', 1],
  ['create --user 123 --scope send --rate 1.5', 1],
  ['create --user 123 --scope report --rate 5', 1],
  ['revoke', 1],
  ['revoke 123', 1],
  ['list everything', 1],
  ['create --scope nothing --expires soon --allow x', 3],
])('%p is refused with its problems', (line, problems) => {
  const command = read(line);
  expect(command.name).toBe('refused');
  if (command.name === 'refused') expect(command.problems).toHaveLength(problems);
});

test('a line of the list says everything but the hash', () => {
  const record: KeyRecord = {
    id: '0123456789abcdef',
    hash: 'beef'.repeat(16),
    scopes: ['send', 'report'],
    user: '123',
    operator: null,
    allow: [],
    expires_at: null,
    created_at: NOW,
    revoked_at: null,
    note: 'CRM',
  };
  expect(keyLine(record, NOW)).toBe(
    '0123456789abcdef  user 123  send,report  valid  from anywhere  made 2026-11-22T00:00Z  CRM',
  );
  const ended = {
    ...record,
    user: null,
    scopes: ['receipts'] as const,
    operator: 'MCI',
    allow: ['10.0.0.0/8'],
    note: '',
  };
  expect(keyLine({ ...ended, revoked_at: NOW }, NOW)).toBe(
    '0123456789abcdef  user (all)  receipts  operator MCI  revoked 2026-11-22T00:00Z  from 10.0.0.0/8  made 2026-11-22T00:00Z',
  );
  expect(keyLine({ ...record, rate: 50 }, NOW)).toContain('  from anywhere  50 messages/s  made ');
  expect(keyLine({ ...record, expires_at: NOW }, NOW)).toContain('  expired 2026-11-22T00:00Z  ');
  expect(keyLine({ ...record, expires_at: NOW + 1 }, NOW)).toContain('  valid until 2026-11-22T00:00Z  ');
});

let own: OwnRedis;
beforeAll(async () => {
  own = await startOwnRedis();
}, 120_000);
afterAll(() => own.close());

test('a key is printed once and alone, listed without its secret, and revoked by its id', async () => {
  const created = await runKeys(own.url, ['create', '--user', '123', '--scope', 'send', '--note', 'کلید فروش']);
  expect(created.code).toBe(0);
  expect(created.out).toMatch(/^jsms_[0-9a-f]{16}_[0-9a-f]{64}\n$/);
  const secret = created.out.trim().slice(22);
  const id = created.out.slice(5, 21);
  expect(created.err).toContain('shown once');
  expect(created.err).not.toContain(secret);
  expect(await readKey(own.redis, id)).toMatchObject({ id, user: '123', scopes: ['send'], note: 'کلید فروش' });

  const listed = await runKeys(own.url, ['list']);
  expect(listed.out).toMatch(new RegExp(`^${id}  user 123  send  valid  .*کلید فروش\n$`));
  expect(listed.out + listed.err).not.toContain(secret);
  expect((await runKeys(own.url, ['list', '--user', '456'])).out).toBe('');

  expect((await runKeys(own.url, ['revoke', `jsms_${id}`])).code).toBe(0);
  expect((await readKey(own.redis, id))?.revoked_at).toBeGreaterThan(0);
  expect((await runKeys(own.url, ['list'])).out).toContain('  revoked ');
  expect((await runKeys(own.url, ['revoke', 'f'.repeat(16)])).code).toBe(1);
});

test('what it cannot do it says, without a key on stdout and without the password of Redis', async () => {
  const refused = await runKeys(own.url, ['create', '--scope', 'send']);
  expect({ code: refused.code, out: refused.out }).toEqual({ code: 2, out: '' });
  expect(refused.err).toContain('usage:');
  const away = await runKeys('redis://:sesame@127.0.0.1:1', ['list']);
  expect({ code: away.code, out: away.out }).toEqual({ code: 1, out: '' });
  expect(away.err).toContain('Redis does not answer at 127.0.0.1:1');
  const odd = await runKeys('http://:sesame@127.0.0.1', ['list']);
  expect(odd.code).toBe(1);
  expect(away.err + odd.err).not.toContain('sesame');
});
