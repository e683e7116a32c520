/** `bun run down`: ends what `up` or `infra` has started or left. Data stay. */
import { runCommand, say } from '../command.ts';
import { endAll } from '../occupancy.ts';
import { readLocalSettings } from '../settings.ts';

await runCommand(async () => {
  const ended = await endAll(readLocalSettings(process.env));
  say(ended.length > 0 ? `Ended: ${ended.join(', ')}.` : 'Nothing was running.');
  return 0;
});
