/** `bun run infra`: Kafka, Redis and PostgreSQL in the background, so that the services can be run by hand. */
import { mkdirSync } from 'node:fs';
import { bringUp } from '../bring-up.ts';
import { type CommandScope, runCommand, say } from '../command.ts';
import { endLeftovers, occupy } from '../occupancy.ts';
import { ownIdentity, readPidFile, writePidFile } from '../pid-file.ts';
import { readLocalSettings } from '../settings.ts';

const HOW = { running: 'ran already', docker: 'by Docker', started: 'started' } as const;

async function infra({ signal, defer }: CommandScope): Promise<number> {
  const began = performance.now();
  const settings = readLocalSettings(process.env);
  const dir = settings.DATA_DIR;
  mkdirSync(dir, { recursive: true });
  defer(occupy(dir, 'infra'));
  const left = await endLeftovers(dir);
  if (left.length > 0) say(`Ended what a killed start had left: ${left.join(', ')}.`);
  const { found, servers } = await bringUp(settings, { owner: ownIdentity(), say, signal });
  // Ours while they start, so that an interruption ends them; from here on nobody's, until `down`.
  for (const { name } of servers) {
    const record = readPidFile(dir, name);
    if (record) writePidFile(dir, { ...record, owner: null });
  }
  say(`\nReady after ${((performance.now() - began) / 1_000).toFixed(1)} s:`);
  for (const { title, where, how } of found) say(`  ${title.padEnd(11)} ${where}   (${HOW[how]})`);
  say('\nEach service runs from its own folder: cd billing && bun run index.ts');
  say('`bun run down` ends what was started here.');
  return 0;
}

await runCommand(infra);
