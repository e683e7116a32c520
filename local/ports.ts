/** Ports: finding free ones and asking whether somebody listens. */
import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';

/**
 * Below the range (32768 and up on Linux) from which the system gives outgoing connections their ports: a port that was
 * found free stays free until its server has started, and again while a test restarts it.
 */
const FIRST = 20_000;
const LAST = 32_000;
const given = new Set<number>();

const canListen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** A port of 127.0.0.1 on which nobody listens. This process never gets the same one twice. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 1_000; tries++) {
    const port = randomInt(FIRST, LAST);
    if (given.has(port) || !(await canListen(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`No free port between ${FIRST} and ${LAST} on 127.0.0.1.`);
}

/** Whether somebody accepts connections there, asked for at most `waitMs`. */
export const isListening = (host: string, port: number, waitMs = 1_000): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(waitMs, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '::1', '[::1]']);

/** Whether a server for this host name could be started here. */
export const isThisMachine = (host: string): boolean => LOOPBACK.has(host);
