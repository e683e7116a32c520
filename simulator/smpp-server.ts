/** The simulator's one SMPP port: every operator binds at it by its system_id, as in an SMSC that serves many. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Accounts } from './config.ts';
import type { Binds, SmppState } from './control.ts';
import { closeServer, listen } from './http-server.ts';
import type { Operator } from './operator.ts';
import type { Receipts } from './receipts.ts';
import type { Schedule } from './schedule.ts';
import { createSmppOperator, type SmppOperator } from './smpp-operator.ts';
import { type SmppDeps, serveSession } from './smpp-session.ts';

export type SmppServer = {
  readonly port: number;
  state(operator: Operator): SmppState;
  /** Drops an operator's live binds; answers how many. */
  drop(operator: Operator): number;
  close(): Promise<void>;
};

export type Tls = { key: string | Buffer; cert: string | Buffer };

type Deps = { operators: ReadonlyMap<string, Operator>; accounts: Accounts; schedule: Schedule; receipts: Receipts };

/** Listens on a port; rejects with the socket's error when it is taken. With `tls` it speaks nothing else there. */
export async function serveSmpp(deps: Deps, host: string, port: number, tls?: Tls): Promise<SmppServer> {
  const { schedule, receipts } = deps;
  const operators = new Map<string, SmppOperator>();
  for (const [name, operator] of deps.operators) operators.set(name, createSmppOperator(operator, schedule));
  const byOperator = new Map([...operators.values()].map((one) => [one.operator, one]));
  const passwords = new Map(Object.entries(deps.accounts).map(([name, password]) => [name.toLowerCase(), password]));
  const sessionDeps: SmppDeps = { schedule, receipts, operators, passwords };
  receipts.deliver = (receipt) => byOperator.get(receipt.operator)?.deliver(receipt);

  const sockets = new Set<Socket>();
  const accept = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serveSession(sessionDeps, socket);
  };
  const make = (): Server => (tls ? createTlsServer(tls, accept) : createServer(accept));
  const door = await createDoor(make, sockets, host, port);
  const forgets = [...deps.operators.values()].map((operator) =>
    operator.onTurn(() => door.open([...deps.operators.values()].some(({ dials }) => dials.accept_connections))),
  );

  const find = (operator: Operator): SmppOperator => byOperator.get(operator) as SmppOperator;
  return {
    port: door.port,
    state: (operator) => {
      const { sessions, receiptsWaiting, assemblies } = find(operator);
      const binds: Binds = { transceiver: 0, transmitter: 0, receiver: 0 };
      for (const { bind } of sessions) if (bind !== null) binds[bind]++;
      return { binds, receiptsWaiting: receiptsWaiting(), incomplete: assemblies.incomplete() };
    },
    drop: (operator) => {
      const live = [...find(operator).sessions];
      for (const session of live) session.destroy();
      operator.counters.dropped += live.length;
      return live.length;
    },
    close: async () => {
      for (const forget of forgets) forget();
      for (const one of operators.values()) one.close();
      await door.close();
    },
  };
}

type Door = { readonly port: number; open(wanted: boolean): void; close(): Promise<void> };

/** A listener that can be shut and opened again at the same port, so that connecting is refused by the machine. */
async function createDoor(make: () => Server, sockets: ReadonlySet<Socket>, host: string, port: number): Promise<Door> {
  let server = make();
  await listen(server, host, port);
  const own = (server.address() as AddressInfo).port;
  let isOpen = true;
  let last: Promise<void> = Promise.resolve();
  const turn = async (wanted: boolean): Promise<void> => {
    if (wanted === isOpen) return;
    isOpen = wanted;
    if (!wanted) return closeServer(server, sockets);
    server = make();
    await listen(server, host, own);
  };
  return {
    port: own,
    open: (wanted) => {
      last = last.then(() => turn(wanted));
    },
    close: async () => {
      await last.catch(() => undefined);
      await closeServer(server, sockets);
    },
  };
}
