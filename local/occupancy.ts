/** One `up` for a DATA_DIR at a time, and an end for what a killed one has left. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { composeNote, composeReset, composeStop, findCompose } from './compose.ts';
import { isSame } from './identity.ts';
import { endRecord, ownIdentity, type PidRecord, removePidFile, runningRecords, writePidFile } from './pid-file.ts';
import type { LocalSettings } from './settings.ts';

/** Above everything that a command starts: it is asked to end first, and ends its own. */
const COMMAND_RANK = 100;
/** As long as all its children together may take. */
const COMMAND_GRACE_MS = 120_000;

/**
 * Writes this command down as the one at work in the folder.
 * @returns the release
 * @throws a sentence when another one is at work there
 */
export function occupy(dir: string, name: 'up' | 'infra'): () => void {
  const other = runningRecords(dir).find((record) => record.rank === COMMAND_RANK);
  if (other) {
    throw new Error(`\`bun run ${other.name}\` is at work for ${dir} (pid ${other.pid}); \`bun run down\` ends it.`);
  }
  const self = ownIdentity();
  const record: PidRecord = {
    ...self,
    name,
    address: '',
    rank: COMMAND_RANK,
    stopSignal: 'SIGTERM',
    graceMs: COMMAND_GRACE_MS,
    owner: self,
  };
  writePidFile(dir, record);
  return () => removePidFile(dir, record);
}

/** Ends what belongs to a command that is gone. Returns the names. */
export async function endLeftovers(dir: string): Promise<string[]> {
  const left = runningRecords(dir).filter(({ owner }) => owner !== null && !isSame(owner.pid, owner.identity));
  for (const record of left) await endRecord(dir, record);
  return left.map(({ name }) => name);
}

/** Ends everything that runs for this DATA_DIR, a running command first. Returns the names. */
export async function endAll(settings: LocalSettings): Promise<string[]> {
  const dir = settings.DATA_DIR;
  const ended: string[] = [];
  for (let [next] = runningRecords(dir); next; [next] = runningRecords(dir)) {
    // A command ends what it has started: its children are named here only if it left them.
    await endRecord(dir, next);
    ended.push(next.rank === COMMAND_RANK ? `\`bun run ${next.name}\` with what it had started` : next.name);
  }
  const byDocker = composeNote(dir);
  if (byDocker.length > 0 && (await findCompose()) !== null) {
    await composeStop(byDocker, settings);
    ended.push(...byDocker.map((service) => `${service} (Docker)`));
  }
  return ended;
}

/** What lies in DATA_DIR by our doing; a folder that a person has named may hold other things. */
const OURS = ['kafka', 'redis', 'postgres', 'logs', 'run', 'services'];

/** Removes all data of this DATA_DIR. Servers that were not started by us keep theirs. */
export async function removeData(settings: LocalSettings): Promise<void> {
  await composeReset(settings);
  for (const name of OURS) rmSync(join(settings.DATA_DIR, name), { recursive: true, force: true });
}
