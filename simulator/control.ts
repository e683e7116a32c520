/** The control API: turning dials, and asking what the operators got. Tests call the same functions in-process. */
import { AppError, toAppError, toProblem } from '../shared/error.ts';
import type { Counters } from './counters.ts';
import { type Dials, type DialsPatch, dialProblems } from './dials.ts';
import type { Request } from './http-connection.ts';
import type { Operator } from './operator.ts';
import type { MessageRecord, RecordQuery } from './records.ts';

export type Binds = { transceiver: number; transmitter: number; receiver: number };

export type OperatorCounters = Counters & {
  per_second: Record<string, number>;
  binds_now: Binds;
  /** Receipts that wait for a bind or for room in its window. */
  receipts_waiting: number;
  /** Long messages of which a part is still missing. */
  incomplete: number;
  /** Messages whose details are kept. */
  records: number;
};

/** What only the SMPP side knows of an operator. */
export type SmppState = { binds: Binds; receiptsWaiting: number; incomplete: number };

export type Control = {
  operator(name: string): Operator;
  readonly names: readonly string[];
  dials(name: string, change?: DialsPatch): Dials;
  records(name: string, query?: RecordQuery): MessageRecord[];
  counters(name: string): OperatorCounters;
  allCounters(): Record<string, OperatorCounters>;
  duplicates(name: string): Record<string, number>;
  /** One operator's records, counters and dials as at the start; without a name, everybody's. */
  reset(name?: string): void;
  /** Drops the live SMPP binds of an operator. Answers how many. */
  drop(name: string): number;
};

type Deps = {
  operators: ReadonlyMap<string, Operator>;
  smppState: (operator: Operator) => SmppState;
  dropBinds: (operator: Operator) => number;
};

/** Every function throws AppError: `not_found` for an operator that does not exist, `invalid_request` for bad dials. */
export function createControl({ operators, smppState, dropBinds }: Deps): Control {
  const find = (name: string): Operator => {
    const operator = operators.get(name.toLowerCase());
    if (!operator) throw new AppError('not_found', `There is no such operator; there are ${names.join(', ')}.`);
    return operator;
  };
  const names = [...operators.keys()];
  const counters = (name: string): OperatorCounters => {
    const operator = find(name);
    const { binds, receiptsWaiting, incomplete } = smppState(operator);
    return {
      ...operator.counters,
      per_second: operator.perSecond.read(),
      binds_now: binds,
      receipts_waiting: receiptsWaiting,
      incomplete,
      records: operator.records.size,
    };
  };
  return {
    operator: find,
    names,
    dials: (name, change) => {
      const operator = find(name);
      if (change === undefined) return operator.dials;
      const problems = dialProblems(change);
      if (problems.length > 0) {
        throw new AppError('invalid_request', 'These dials cannot be set.', { fields: problems });
      }
      return operator.turn(change);
    },
    records: (name, query) => find(name).records.read(query),
    counters,
    allCounters: () => Object.fromEntries(names.map((name) => [name, counters(name)])),
    duplicates: (name) => find(name).doubled(),
    reset: (name) => {
      for (const operator of name === undefined ? operators.values() : [find(name)]) operator.reset();
    },
    drop: (name) => dropBinds(find(name)),
  };
}

const LIMIT_MAX = 1_000_000;

function query(search: URLSearchParams): RecordQuery {
  const messageId = search.get('message_id') ?? undefined;
  const to = search.get('to') ?? undefined;
  const limit = search.get('limit') ?? undefined;
  if (limit !== undefined && !(/^[0-9]{1,7}$/.test(limit) && Number(limit) <= LIMIT_MAX)) {
    throw new AppError('invalid_request', 'The question does not fit.', {
      fields: [{ field: 'limit', detail: `must be a whole number from 0 to ${LIMIT_MAX}` }],
    });
  }
  return { messageId, to, ...(limit === undefined ? {} : { limit: Number(limit) }) };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function readJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(body));
  } catch {
    throw new AppError('malformed_json', 'The body is not JSON in UTF-8.');
  }
}

/** What a path below /control says, or undefined when there is no such path. Throws AppError. */
function ask(control: Control, { method, body }: Request, path: readonly string[], search: URLSearchParams): unknown {
  const [first = '', second] = path;
  const question = `${method} ${path.length === 1 ? first : `:operator/${second}`}`;
  if (path.length > 2) return undefined;
  switch (question) {
    case 'GET operators':
      return { operators: control.names };
    case 'GET counters':
      return control.allCounters();
    case 'POST reset':
      control.reset();
      return { reset: control.names };
    case 'GET :operator/dials':
      return control.dials(first);
    case 'PUT :operator/dials':
      return control.dials(first, readJson(body) as DialsPatch);
    case 'GET :operator/records':
      return { items: control.records(first, query(search)) };
    case 'GET :operator/counters':
      return control.counters(first);
    case 'GET :operator/duplicates':
      return control.duplicates(first);
    case 'POST :operator/reset':
      control.reset(first);
      return { reset: [first] };
    case 'POST :operator/drop':
      return { dropped: control.drop(first) };
    default:
      return undefined;
  }
}

let problems = 0;

/** Answers a request below /control, /health and whatever else is not a submit: a status and a body. Total. */
export function answerControl(control: Control, request: Request): { status: number; body: string } {
  try {
    const url = new URL(request.target, 'http://simulator');
    const path = url.pathname.split('/').slice(1).map(decodeURIComponent);
    if (request.method === 'GET' && path[0] === 'health' && (path[1] === 'live' || path[1] === 'ready')) {
      return { status: 200, body: '{"status":"ok"}' };
    }
    const found = path[0] === 'control' ? ask(control, request, path.slice(1), url.searchParams) : undefined;
    if (found === undefined) throw new AppError('not_found', 'The simulator has no such door.');
    return { status: 200, body: JSON.stringify(found) };
  } catch (thrown) {
    const known =
      thrown instanceof URIError || (thrown instanceof TypeError && 'code' in thrown)
        ? new AppError('invalid_request', 'The address cannot be read.')
        : toAppError(thrown);
    const problem = toProblem(known, `simulator-${++problems}`);
    return { status: problem.status, body: JSON.stringify(problem) };
  }
}
