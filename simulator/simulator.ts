/** All operators behind one SMPP and one HTTP port, and what a test may ask of them. */
import type { Scope } from '../shared/lifecycle.ts';
import { type Accounts, firstDials } from './config.ts';
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

const ACCOUNTS: Accounts = { mci: 'mci', mtn: 'mtn', rightel: 'rightel' };

/** Opens everything and registers each close with the scope. Throws one sentence when a port is taken. */
export async function openSimulator(config: SimulatorConfig, scope: Scope): Promise<Simulator> {
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
