/** The simulator's settings. */
import { COMMON, integer, port, type Setting, type Settings } from '../shared/config.ts';
import { DEFAULT_DIALS, type Dials, type DialsPatch, dialProblems, turnDials } from './dials.ts';

/** Operators by name (which is their SMPP system_id), and their passwords. */
export type Accounts = Readonly<Record<string, string>>;

const ACCOUNT = /^([A-Za-z0-9_.-]{1,15}):([^,:]{0,8})$/;
/** Names that the HTTP side needs for itself. */
const RESERVED = ['control', 'health', 'operators', 'counters', 'reset'];

/** `mci:secret,mtn:secret`. SMPP 3.4 bounds a system_id to 15 characters and a password to 8. */
export const accounts = (fallback: string, about: string): Setting<Accounts> => ({
  fallback,
  about,
  parse: (raw) => {
    const found: Record<string, string> = {};
    for (const one of raw.split(',')) {
      const [, name, password] = ACCOUNT.exec(one.trim()) ?? [];
      if (name === undefined || RESERVED.includes(name.toLowerCase())) {
        throw new Error('must be a list of name:password, joined by commas');
      }
      found[name.toLowerCase()] = password ?? '';
    }
    return found;
  },
});

const initialDials = (about: string): Setting<Readonly<Record<string, DialsPatch>>> => ({
  fallback: '{}',
  about,
  parse: (raw) => {
    let value: unknown;
    try {
      value = JSON.parse(raw);
    } catch {
      throw new Error('must be JSON: dials by operator, "*" for all');
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('must be an object');
    for (const [name, change] of Object.entries(value)) {
      const [problem] = dialProblems(change);
      if (problem) throw new Error(`${name}.${problem.field} ${problem.detail}`);
    }
    return value as Record<string, DialsPatch>;
  },
});

export const SETTINGS = {
  HOST: COMMON.HOST,
  LOG_LEVEL: COMMON.LOG_LEVEL,
  SIMULATOR_HTTP_PORT: port(2780, "the simulator's HTTP port: operators' submits and the control API"),
  SIMULATOR_SMPP_PORT: port(2775, "the simulator's SMPP port"),
  SIMULATOR_ACCOUNTS: accounts(
    'mci:mci,mtn:mtn,rightel:rightel',
    'the operators played: system_id:password, by commas',
  ),
  SIMULATOR_RECORDS_MAX: integer(200_000, 0, 10_000_000, 'messages of which each operator keeps the details'),
  SIMULATOR_DIALS: initialDials('JSON: the dials at the start by operator, "*" for all'),
} as const satisfies Settings;

/** The dials an operator starts with: the defaults, then those for all, then its own. */
export function firstDials(name: string, changes: Readonly<Record<string, DialsPatch>>): Dials {
  const own = Object.entries(changes).find(([key]) => key.toLowerCase() === name);
  return turnDials(turnDials(DEFAULT_DIALS, changes['*'] ?? {}), own?.[1] ?? {});
}
