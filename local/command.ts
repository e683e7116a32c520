/** The frame of every command: one way to start, to be stopped, to clean up and to say what is wrong. */
import { ConfigError } from '../shared/config.ts';
import { launchersOf, watchLaunchers } from './launchers.ts';
import { createSignalGate } from './signal-gate.ts';
import { Stopped } from './wait.ts';

export type CommandScope = {
  /** Comes with the first signal: waits end, the command returns, then the clean-up runs. */
  readonly signal: AbortSignal;
  /** Registers a clean-up; the last registered runs first. */
  defer(cleanUp: () => unknown): void;
};

/** Says a line to the person at the terminal. */
export const say = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

function describe(thrown: unknown): string[] {
  if (thrown instanceof ConfigError) return [...thrown.problems];
  const { code, path } = thrown as NodeJS.ErrnoException;
  if (path && (code === 'EACCES' || code === 'EPERM')) {
    return [`${path} belongs to another user: start as that one, or let DATA_DIR name a folder of your own.`];
  }
  return [thrown instanceof Error ? thrown.message : String(thrown)];
}

/**
 * Runs a command and ends the process with its exit code: 1 after a fault, 130 when it was stopped before its end. The
 * clean-up runs in every case, also when the terminal is gone.
 */
export async function runCommand(body: (scope: CommandScope) => Promise<number>): Promise<never> {
  // After a HUP the terminal takes no more lines; the clean-up must not die of that.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const stop = new AbortController();
  const gate = createSignalGate(() => performance.now());
  const signalled = () => {
    const meaning = gate();
    if (meaning === 'stop') stop.abort();
    if (meaning === 'out') {
      complain('Out at once; `bun run down` ends what is left.');
      process.exit(130);
    }
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, signalled);
  watchLaunchers(launchersOf(process.ppid), signalled);

  const cleanUps: (() => unknown)[] = [];
  let code = 1;
  try {
    code = await body({ signal: stop.signal, defer: (cleanUp) => void cleanUps.push(cleanUp) });
  } catch (thrown) {
    // A Ctrl-C also reaches the installers and formatters under way: their complaints are its consequence.
    if (thrown instanceof Stopped || stop.signal.aborted) code = 130;
    else for (const line of describe(thrown)) complain(line);
  }
  for (let next = cleanUps.pop(); next; next = cleanUps.pop()) {
    try {
      await next();
    } catch (thrown) {
      code = code || 1;
      for (const line of describe(thrown)) complain(line);
    }
  }
  process.exit(code);
}
