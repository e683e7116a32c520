/** The load generator's process: a plan per line comes in, a result per line goes out; the end of its input is its end. */
import { createInterface } from 'node:readline';
import type { LoadPlan } from './plan.ts';
import { shoot } from './shoot.ts';

let stop = false;

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
lines.on('line', (line) => {
  if (line === 'stop') {
    stop = true;
    return;
  }
  stop = false;
  shoot(JSON.parse(line) as LoadPlan, () => stop).then(
    (result) => process.stdout.write(`${JSON.stringify({ result })}\n`),
    (thrown) => process.stdout.write(`${JSON.stringify({ error: (thrown as Error).message })}\n`),
  );
});
