/**
 * Runs before the tests. Unless `bun run test` gave the addresses of the tests' own servers, those in the environment
 * may be a person's real ones: they are replaced by one where nobody listens, until `infra()` starts servers.
 */
import { TEST_INFRA } from './infra.ts';

const NOBODY = '127.0.0.1:1';

if (!process.env[TEST_INFRA]) {
  process.env.KAFKA_BROKERS = NOBODY;
  process.env.REDIS_URL = `redis://${NOBODY}`;
  process.env.DATABASE_URL = `postgres://nobody@${NOBODY}/none`;
}
