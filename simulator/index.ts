/** The operators, for the quick start, the tests and the benchmarks: HTTP and SMPP, with dials and a control API. */
import { readSettings } from '../shared/config.ts';
import { createScope, runMain, type Scope } from '../shared/lifecycle.ts';
import { createLog, type Log } from '../shared/log.ts';
import { type Accounts, firstDials, SETTINGS } from './config.ts';
import { type Control, createControl } from './control.ts';
import type { DialsPatch } from './dials.ts';
import { serveHttp } from './http-server.ts';
import { createOperator } from './operator.ts';
import { createReceipts } from './receipts.ts';
import { createSchedule } from './schedule.ts';
import { serveSmpp, type Tls } from './smpp-server.ts';

export type SimulatorConfig = {
  host?: string;
  /** 0 takes a free port; `httpPort` and `smppPort` of the answer say which. */
  httpPort?: number;
  smppPort?: number;
  /** With a key and a certificate (PEM) the SMPP port speaks TLS. */
  smppTls?: Tls;
  accounts?: Accounts;
  /** The dials at the start by operator, `*` for all; a reset returns to them. */
  dials?: Readonly<Record<string, DialsPatch>>;
  recordsMax?: number;
};

export type Simulator = Omit<Control, 'counters' | 'operator'> & {
  readonly httpPort: number;
  readonly smppPort: number;
  /** `http://host:port`, without a slash at its end. */
  readonly httpUrl: string;
  counters: { (): ReturnType<Control['allCounters']>; (name: string): ReturnType<Control['counters']> };
  /** Cuts every connection; nothing goes out any more. */
  close(): Promise<void>;
};

/** Starts the operators. Throws when a port is taken. */
export async function start(
  config: SimulatorConfig = {},
  log: Log = createLog('simulator', 'error'),
): Promise<Simulator> {
  const scope = createScope(log);
  try {
    return await open(config, scope);
  } catch (thrown) {
    await scope.close();
    throw thrown;
  }
}

export { start as startSimulator };

const ACCOUNTS: Accounts = { mci: 'mci', mtn: 'mtn', rightel: 'rightel' };

async function open(config: SimulatorConfig, scope: Scope): Promise<Simulator> {
  const { host = '127.0.0.1', httpPort = 2780, smppPort = 2775, smppTls } = config;
  const { accounts = ACCOUNTS, dials = {}, recordsMax = 200_000 } = config;
  const operators = new Map(
    Object.keys(accounts).map((name) => {
      const key = name.toLowerCase();
      return [key, createOperator(key, firstDials(key, dials), recordsMax)];
    }),
  );
  const schedule = createSchedule();
  scope.defer('schedule', schedule.close);
  const receipts = createReceipts(schedule);
  scope.defer('receipts', receipts.close);
  const smpp = await atPort(
    'SIMULATOR_SMPP_PORT',
    host,
    smppPort,
    serveSmpp({ operators, accounts, schedule, receipts }, host, smppPort, smppTls),
  );
  scope.defer('smpp', smpp.close);
  const control = createControl({
    operators,
    smppState: smpp.state,
    dropBinds: smpp.drop,
  });
  const doors = { operators, control, schedule, receipts };
  const http = await atPort('SIMULATOR_HTTP_PORT', host, httpPort, serveHttp(doors, host, httpPort));
  scope.defer('http', http.close);

  function counters(): ReturnType<Control['allCounters']>;
  function counters(name: string): ReturnType<Control['counters']>;
  function counters(name?: string) {
    return name === undefined ? control.allCounters() : control.counters(name);
  }
  return {
    ...control,
    httpPort: http.port,
    smppPort: smpp.port,
    httpUrl: `http://${host}:${http.port}`,
    counters,
    close: () => scope.close(),
  };
}

/** Says in one sentence which port is taken, and the mend. */
async function atPort<T>(setting: string, host: string, port: number, opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (thrown) {
    if ((thrown as { code?: string }).code !== 'EADDRINUSE') throw thrown;
    throw new Error(`${host}:${port} is taken; end what listens there or set ${setting}`, { cause: thrown });
  }
}

if (import.meta.main) {
  const level = process.env.LOG_LEVEL;
  const log = createLog('simulator', level === 'debug' || level === 'warn' || level === 'error' ? level : 'info');
  await runMain(log, async (scope) => {
    const settings = readSettings(SETTINGS, process.env);
    const simulator = await open(
      {
        host: settings.HOST,
        httpPort: settings.SIMULATOR_HTTP_PORT,
        smppPort: settings.SIMULATOR_SMPP_PORT,
        accounts: settings.SIMULATOR_ACCOUNTS,
        dials: settings.SIMULATOR_DIALS,
        recordsMax: settings.SIMULATOR_RECORDS_MAX,
      },
      scope,
    );
    log.info('ready', { http_port: simulator.httpPort, smpp_port: simulator.smppPort, operators: simulator.names });
  });
}
