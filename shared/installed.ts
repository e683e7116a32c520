/**
 * Loaded before a service by the bunfig.toml of its folder: without the repository's node_modules bun would fetch packages of
 * its own choice in silence, without our patches. So the start ends here, with the mend.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const modules = join(import.meta.dirname, '..', 'node_modules');

if (!existsSync(join(modules, 'elysia'))) {
  process.stderr.write(
    `The packages are not installed: run \`bun install --frozen-lockfile\` in ${join(modules, '..')}\n`,
  );
  process.exit(1);
}
