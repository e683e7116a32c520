/**
 * Runs before each test file. Unless `bun run test` gave the addresses of the tests' own servers, those in the environment
 * may be a person's real ones: they are replaced by one where nobody listens, until `infra()` starts servers.
 */
import { setDefaultTimeout } from 'bun:test';
import { TEST_INFRA } from './infra.ts';

// Of a test and of its hooks; bun reads no such setting from bunfig.toml. Starting servers takes more than its 5 s.
setDefaultTimeout(30_000);

const NOBODY = '127.0.0.1:1';

if (!process.env[TEST_INFRA]) {
  process.env.KAFKA_BROKERS = NOBODY;
  process.env.REDIS_URL = `redis://${NOBODY}`;
  process.env.DATABASE_URL = `postgres://nobody@${NOBODY}/none`;
}
