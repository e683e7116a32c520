/** The flags of `bun run bench`. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Connector } from './operators-file.ts';

export const SCENARIOS = [
  'send',
  'batch',
  'rate',
  'express-under-backlog',
  'hot-tenant',
  'operator-down',
  'overload',
  'growth',
  'reports',
  'restart',
  'idle',
] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

export type Options = {
  scenarios: readonly ScenarioName[];
  peer: 'kannel' | null;
  connector: Connector;
  warmUpS: number;
  seconds: number;
  connections: readonly number[];
  accounts: number;
  type: 'normal' | 'express';
  /** The operators that the numbers belong to, in turn. */
  operators: 1 | 2 | 3;
  batchSize: number;
  ratePerS: number;
  backlog: number;
  sizes: readonly number[];
  soakS: number;
  rows: number;
  rounds: number;
  idleS: number;
  profileDir: string | null;
  /** The folder of PostgreSQL's programs; empty: as `up` finds them. */
  postgresBin: string;
};

export const USAGE = `bun run bench [scenario …] [flags]

Scenarios: ${SCENARIOS.join(', ')}; \`all\` runs every one. Without one: send.

  --peer kannel         the same load against Kannel, alternating with ours (see bench/README.md)
  --operator http|smpp  how the dispatcher reaches the simulator (default http; smpp with --peer, as the peer does)
  --warm-up SECONDS     load before anything is measured (default 30)
  --seconds SECONDS     length of a measured load (default 20)
  --connections LIST    of send and --peer (default 64,256)
  --accounts COUNT      accounts that send in turn (default 50)
  --type TYPE           normal or express (default normal)
  --operators 1|2|3     operators that the numbers belong to (default 1)
  --batch COUNT         messages a request in batch (default 100)
  --rate COUNT          requests a second in rate, operator-down and express-under-backlog (default 500, 500, 200)
  --backlog COUNT       messages queued in express-under-backlog and restart (default 1000000)
  --sizes LIST          messages after which growth looks (default 10000,100000,1000000)
  --soak SECONDS        the soak of growth (default 600)
  --rows COUNT          rows in reports (default 10000000)
  --rounds COUNT        of what is compared in turn: --peer, hot-tenant, operator-down (default 3)
  --idle SECONDS        of idle (default 30)
  --postgres FOLDER     PostgreSQL's programs, e.g. /usr/lib/postgresql/17/bin (default: as \`up\` finds them)
  --profile FOLDER      writes a CPU profile of each service there and prints its hottest functions`;

const FLAGS = {
  peer: { type: 'string' },
  operator: { type: 'string' },
  'warm-up': { type: 'string', default: '30' },
  seconds: { type: 'string', default: '20' },
  connections: { type: 'string', default: '64,256' },
  accounts: { type: 'string', default: '50' },
  type: { type: 'string', default: 'normal' },
  operators: { type: 'string', default: '1' },
  batch: { type: 'string', default: '100' },
  rate: { type: 'string' },
  backlog: { type: 'string', default: '1000000' },
  sizes: { type: 'string', default: '10000,100000,1000000' },
  soak: { type: 'string', default: '600' },
  rows: { type: 'string', default: '10000000' },
  rounds: { type: 'string', default: '3' },
  idle: { type: 'string', default: '30' },
  postgres: { type: 'string', default: '' },
  profile: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

/** The default of --rate differs by scenario. */
export const RATE_DEFAULTS = { rate: 500, 'express-under-backlog': 200 } as const;

/** Reads the command line. Throws one Error whose lines name every problem; null when the usage was asked for. */
export function readOptions(argv: readonly string[]): Options | null {
  const { values, positionals } = parseArgs({ args: [...argv], options: FLAGS, allowPositionals: true });
  if (values.help) return null;
  const problems: string[] = [];
  const whole = (flag: string, raw: string, min: number, max: number): number => {
    const n = /^\d{1,12}$/.test(raw) ? Number(raw) : Number.NaN;
    if (!(n >= min && n <= max)) problems.push(`--${flag}: must be a whole number from ${min} to ${max}`);
    return n;
  };
  const wholes = (flag: string, raw: string, max: number): number[] =>
    raw.split(',').map((one) => whole(flag, one.trim(), 1, max));
  const oneOf = <T extends string>(flag: string, raw: string, choices: readonly T[]): T => {
    if (!choices.includes(raw as T)) problems.push(`--${flag}: must be one of ${choices.join(', ')}`);
    return raw as T;
  };
  const named = positionals.length === 0 ? ['send'] : positionals;
  const scenarios = named.includes('all') ? [...SCENARIOS] : (named as ScenarioName[]);
  for (const name of scenarios) {
    if (!SCENARIOS.includes(name)) problems.push(`${name} is no scenario; there are ${SCENARIOS.join(', ')}, all`);
  }
  const options: Options = {
    scenarios,
    peer: values.peer === undefined ? null : oneOf<'kannel'>('peer', values.peer, ['kannel']),
    connector: oneOf('operator', values.operator ?? (values.peer === undefined ? 'http' : 'smpp'), ['http', 'smpp']),
    warmUpS: whole('warm-up', values['warm-up'], 0, 3_600),
    seconds: whole('seconds', values.seconds, 1, 86_400),
    connections: wholes('connections', values.connections, 5_000),
    accounts: whole('accounts', values.accounts, 1, 10_000),
    type: oneOf('type', values.type, ['normal', 'express']),
    operators: whole('operators', values.operators, 1, 3) as 1 | 2 | 3,
    batchSize: whole('batch', values.batch, 2, 1_000),
    // 0: each scenario's own default.
    ratePerS: values.rate === undefined ? 0 : whole('rate', values.rate, 1, 100_000),
    backlog: whole('backlog', values.backlog, 100, 100_000_000),
    sizes: wholes('sizes', values.sizes, 100_000_000),
    soakS: whole('soak', values.soak, 0, 86_400),
    rows: whole('rows', values.rows, 1_000, 1_000_000_000),
    rounds: whole('rounds', values.rounds, 1, 100),
    idleS: whole('idle', values.idle, 1, 3_600),
    profileDir: values.profile ?? null,
    postgresBin: values.postgres && resolve(values.postgres),
  };
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return options;
}
