/**
 * `bun run keys`: makes, lists and revokes API keys. A key is printed once, alone on stdout; what is said about it goes to stderr.
 *
 *   bun run keys create --user 123 --scope send,report [--expires 90d] [--allow 10.0.0.0/8,127.0.0.1] [--rate 50] [--note CRM]
 *   bun run keys create --scope admin
 *   bun run keys list [--user 123]
 *   bun run keys revoke ID
 */
import { parseArgs } from 'node:util';
import { COMMON, ConfigError, readSettings } from '../shared/config.ts';
import { readAuthority } from '../shared/credentials.ts';
import {
  createKey,
  type KeyRecord,
  keyProblems,
  listKeys,
  type NewKey,
  readKeyId,
  revokeKey,
  SCOPES,
  type Scope,
} from '../shared/keys.ts';
import { createLog } from '../shared/log.ts';
import { connected, connectRedis, type Redis } from '../shared/redis.ts';
import { settings } from './config.ts';

const SETTINGS = { REDIS_URL: settings.REDIS_URL, TLS_CA_FILE: COMMON.TLS_CA_FILE } as const;

const USAGE = `usage:
  bun run keys create --user ACCOUNT --scope SCOPES [--expires WHEN] [--allow ADDRESSES] [--operator NAME] [--rate COUNT] [--note TEXT]
  bun run keys list [--user ACCOUNT]
  bun run keys revoke ID

  --scope     by comma: ${SCOPES.join(', ')}; admin and metrics need no --user
  --expires   after so many minutes, hours or days (30m, 12h, 90d), or an instant (2027-03-21T00:00:00Z)
  --allow     addresses and networks by comma from which alone it may be used (10.0.0.0/8,127.0.0.1)
  --operator  the one operator whose receipts it may bring; for the scope receipts
  --rate      messages a second that it may send, in place of RATE_LIMIT_KEY
`;

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads `90d`, `12h`, `30m` or an instant into epoch milliseconds; null when it is none of them. */
export function parseExpiry(text: string, nowMs: number): number | null {
  const [, count, unit] = /^([0-9]{1,5})([mhd])$/.exec(text) ?? [];
  if (count !== undefined) return nowMs + Number(count) * (UNIT_MS[unit as string] as number);
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : at;
}

const listOf = (csv: string): string[] =>
  csv
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

export type Command =
  | { name: 'create'; wish: NewKey }
  | { name: 'list'; user: string | null }
  | { name: 'revoke'; id: string }
  | { name: 'refused'; problems: string[] };

/** Reads the command line. Pure. */
export function readCommand(argv: readonly string[], nowMs: number): Command {
  const refused = (...problems: string[]): Command => ({ name: 'refused', problems });
  const option = { type: 'string' } as const;
  let parsed: { values: Record<string, string | undefined>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        user: option,
        scope: option,
        expires: option,
        allow: option,
        operator: option,
        rate: option,
        note: option,
      },
    });
  } catch (thrown) {
    return refused((thrown as Error).message);
  }
  const { values, positionals } = parsed;
  const [name, id, ...rest] = positionals;
  if (rest.length > 0) return refused('too many words');
  if (name === 'list' && id === undefined) return { name, user: values.user ?? null };
  if (name === 'revoke') {
    const keyId = readKeyId(id ?? '');
    return keyId === null ? refused('revoke wants the id of a key, 16 hex digits') : { name, id: keyId };
  }
  if (name !== 'create' || id !== undefined) return refused('there are create, list and revoke');
  const scopes = listOf(values.scope ?? '');
  const unknown = scopes.filter((scope) => !(SCOPES as readonly string[]).includes(scope));
  const expiresAt = values.expires === undefined ? null : parseExpiry(values.expires, nowMs);
  const wish: NewKey = {
    scopes: scopes as Scope[],
    user: values.user ?? null,
    operator: values.operator ?? null,
    allow: listOf(values.allow ?? ''),
    expires_at: expiresAt,
    rate: values.rate === undefined ? null : /^[0-9]+$/.test(values.rate) ? Number(values.rate) : Number.NaN,
    note: values.note ?? '',
  };
  const problems = [
    ...unknown.map((scope) => `there is no scope ${scope}; there are ${SCOPES.join(', ')}`),
    ...(values.expires !== undefined && expiresAt === null ? ['--expires is 90d, 12h, 30m or an instant'] : []),
    ...keyProblems(wish, nowMs),
  ];
  return problems.length > 0 ? refused(...problems) : { name, wish };
}

const instant = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16)}Z`;

/** One line of the list; never the hash. */
export function keyLine({ id, user, operator, scopes, allow, created_at, ...rest }: KeyRecord, nowMs: number): string {
  const { expires_at, revoked_at, rate = null, note } = rest;
  const state =
    revoked_at !== null
      ? `revoked ${instant(revoked_at)}`
      : expires_at === null
        ? 'valid'
        : `${expires_at <= nowMs ? 'expired' : 'valid until'} ${instant(expires_at)}`;
  return [
    id,
    `user ${user ?? '(all)'}`,
    scopes.join(','),
    ...(operator === null ? [] : [`operator ${operator}`]),
    state,
    allow.length === 0 ? 'from anywhere' : `from ${allow.join(',')}`,
    ...(rate === null ? [] : [`${rate} messages/s`]),
    `made ${instant(created_at)}`,
    ...(note === '' ? [] : [note]),
  ].join('  ');
}

type Say = { out: (line: string) => void; about: (line: string) => void };

async function run(redis: Redis, command: Exclude<Command, { name: 'refused' }>, { out, about }: Say): Promise<number> {
  const now = Date.now();
  if (command.name === 'create') {
    const { key, record } = await createKey(redis, command.wish, now);
    about('This key is shown once; only its hash is kept. Give it as `Authorization: Bearer KEY` or `X-API-Key: KEY`.');
    about(keyLine(record, now));
    out(key);
    return 0;
  }
  if (command.name === 'list') {
    const keys = (await listKeys(redis, now)).filter(({ user }) => command.user === null || user === command.user);
    for (const record of keys) out(keyLine(record, now));
    if (keys.length === 0) about('There are no keys.');
    return 0;
  }
  if (await revokeKey(redis, command.id, now)) {
    about(`${command.id} is revoked; every door refuses it within 5 seconds.`);
    return 0;
  }
  about(`There is no key ${command.id}.`);
  return 1;
}

async function main(argv: readonly string[]): Promise<number> {
  const about = (line: string): void => void process.stderr.write(`${line}\n`);
  const command = readCommand(argv, Date.now());
  if (command.name === 'refused') {
    about(`${command.problems.join('\n')}\n\n${USAGE}`);
    return 2;
  }
  const config = readSettings(SETTINGS, process.env);
  // Stdout holds the key and nothing else.
  const log = createLog('keys', 'warn', (line) => process.stderr.write(line));
  const redis = connectRedis(config.REDIS_URL, log, readAuthority(config.TLS_CA_FILE));
  try {
    await connected(redis).catch((cause) => {
      if (cause instanceof ConfigError) throw cause;
      throw new Error(`Redis does not answer at ${new URL(config.REDIS_URL).host}; REDIS_URL names it`, { cause });
    });
    return await run(redis, command, { out: (line) => void process.stdout.write(`${line}\n`), about });
  } finally {
    redis.disconnect();
  }
}

if (import.meta.main) {
  try {
    process.exit(await main(process.argv.slice(2)));
  } catch (thrown) {
    process.stderr.write(`${(thrown as Error).message}\n`);
    process.exit(1);
  }
}
