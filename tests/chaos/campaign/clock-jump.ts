/**
 * Preloaded into a service: its wall clock is ahead of the machine's by the milliseconds that a file says, from the moment
 * the file says so. The monotonic clock goes on as it was, as it does when a machine's time is set.
 */
import { readFileSync } from 'node:fs';

const LOOK_EVERY_MS = 50;
const file = process.env.CLOCK_JUMP_FILE as string;
const TrueDate = Date;
let aheadMs = 0;

function look(): void {
  try {
    aheadMs = Number(readFileSync(file, 'utf8')) || 0;
  } catch {
    aheadMs = 0;
  }
}

const now = (): number => TrueDate.now() + aheadMs;

globalThis.Date = new Proxy(TrueDate, {
  construct: (target, args) => (args.length === 0 ? new target(now()) : Reflect.construct(target, args)),
  apply: () => new TrueDate(now()).toString(),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
});
look();
setInterval(look, LOOK_EVERY_MS).unref();
