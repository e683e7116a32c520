/** A request as bytes, with the places of its serial. */
import { SERIAL, type Shot } from './plan.ts';

export type Bullet = { bytes: Buffer; serialsAt: readonly number[]; messages: number; rials: number };

export function bulletOf({ request, messages, rials }: Shot): Bullet {
  const bytes = Buffer.from(request);
  const serialsAt: number[] = [];
  for (let at = bytes.indexOf(SERIAL); at >= 0; at = bytes.indexOf(SERIAL, at + SERIAL.length)) serialsAt.push(at);
  return { bytes, serialsAt, messages, rials };
}

/** Writes the serial into the request's bytes. They were last used thousands of requests ago: the system has them long since. */
export function mark({ bytes, serialsAt }: Bullet, serial: number): void {
  for (const at of serialsAt) {
    let rest = serial;
    for (let i = at + SERIAL.length - 1; i >= at; i--) {
      bytes[i] = 48 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
  }
}
