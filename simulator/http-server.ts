/** The simulator's one HTTP port: the operators' submits and the control API. */

import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server } from 'node:net';
import { answerControl, type Control } from './control.ts';
import { type Handle, JSON_TYPE, PROBLEM_TYPE, serveConnection } from './http-connection.ts';
import { answerSubmit } from './http-operator.ts';
import type { Operator } from './operator.ts';
import type { Receipts } from './receipts.ts';
import type { Schedule } from './schedule.ts';

export type HttpServer = { readonly port: number; close(): Promise<void> };

type Deps = { operators: ReadonlyMap<string, Operator>; control: Control; schedule: Schedule; receipts: Receipts };

/** Listens on a port; rejects with the socket's error when it is taken. */
export async function serveHttp(deps: Deps, host: string, port: number): Promise<HttpServer> {
  const { operators, control } = deps;
  const sockets = new Set<Socket>();
  const handle: Handle = (request, reply, connection) => {
    const operator = request.method === 'POST' ? findOperator(operators, request.target) : undefined;
    if (!operator) {
      const { status, body } = answerControl(control, request);
      reply.answer(status, body, status < 400 ? JSON_TYPE : PROBLEM_TYPE);
      return undefined;
    }
    if (!operator.dials.accept_connections) {
      operator.counters.refused_connections++;
      reply.drop();
    } else if (operator.dials.freeze) {
      operator.whenThawed(connection.resume);
      return 'wait';
    } else answerSubmit(deps, operator, request.body, reply);
    return undefined;
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serveConnection(socket, handle);
  });
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () => closeServer(server, sockets),
  };
}

function findOperator(operators: ReadonlyMap<string, Operator>, target: string): Operator | undefined {
  const name = target.slice(1);
  const known = operators.get(name);
  if (known) return known;
  const end = name.search(/[?#]/);
  return operators.get((end < 0 ? name : name.slice(0, end)).toLowerCase());
}

/** Rejects with the socket's error, such as a port that is taken. */
export function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Stops listening and cuts every connection. */
export function closeServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of sockets) socket.destroy();
  });
}
