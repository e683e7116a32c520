/** Starts Kafka, Redis and PostgreSQL for a test run, prints their settings as JSON and leaves them to the watchdog. */
import { endWithProcess, startServers } from '../servers/all.ts';

const [dir, pid, identity] = process.argv.slice(2);
if (!dir || !pid || identity === undefined) throw new Error('usage: test-servers <folder> <pid> <start time>');
const owner = { pid: Number(pid), identity };
endWithProcess(dir, owner);
try {
  const { env } = await startServers({ dir, owner, progress: (line) => process.stderr.write(`${line}\n`) });
  process.stdout.write(JSON.stringify(env));
  process.exit(0);
} catch (thrown) {
  process.stderr.write(`${(thrown as Error).message}\n`);
  process.exit(1);
}
