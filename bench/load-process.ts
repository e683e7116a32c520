/** The load generator as the bench holds it: a process that stays warm from run to run, and whose CPU is known by its pid. */
import { join } from 'node:path';
import { Stopped } from '../local/wait.ts';
import { startChild } from './child.ts';
import type { LoadPlan, LoadResult } from './load/plan.ts';

export type LoadProcess = {
  readonly pid: number;
  /** Runs a plan to its end; one at a time. Throws Stopped at the signal, a sentence when the generator fails. */
  run(plan: LoadPlan): Promise<LoadResult>;
  /** Ends the run that is on, if one is: its `run` resolves with what was done. */
  halt(): void;
  close(): Promise<void>;
};

type Reply = { result: LoadResult } | { error: string };

export function startLoad(signal: AbortSignal): LoadProcess {
  let waiting: { resolve: (reply: Reply) => void; reject: (reason: Error) => void } | null = null;
  const fail = (reason: Error): void => {
    waiting?.reject(reason);
    waiting = null;
  };
  const started = startChild(join('load', 'main.ts'), (line) => {
    waiting?.resolve(JSON.parse(line) as Reply);
    waiting = null;
  });
  const child = started.process;
  child.once('exit', () => fail(new Error('the load generator has ended by itself')));
  child.once('error', (cause) => fail(new Error(`the load generator cannot be started: ${cause.message}`)));
  const onAbort = (): void => fail(new Stopped());
  signal.addEventListener('abort', onAbort, { once: true });

  return {
    pid: child.pid ?? 0,
    run: async (plan) => {
      if (signal.aborted) throw new Stopped();
      if (waiting) throw new Error('the load generator is busy');
      const reply = await new Promise<Reply>((resolve, reject) => {
        waiting = { resolve, reject };
        child.stdin.write(`${JSON.stringify(plan)}\n`);
      });
      if ('error' in reply) throw new Error(`the load generator failed: ${reply.error}`);
      return reply.result;
    },
    halt: () => void child.stdin.write('stop\n'),
    close: async () => {
      signal.removeEventListener('abort', onAbort);
      await started.close();
    },
  };
}
