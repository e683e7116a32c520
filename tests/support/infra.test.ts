import { expect, test } from 'bun:test';
import { kafkaFitness } from '../../local/fitness/kafka.ts';
import { postgresFitness } from '../../local/fitness/postgres.ts';
import { redisFitness } from '../../local/fitness/redis.ts';
import { infra } from './infra.ts';

const { kafkaBrokers, redisUrl, databaseUrl } = infra();

test('the servers of the tests are real, fit and the same for every caller', async () => {
  expect(await kafkaFitness(kafkaBrokers)).toEqual({ state: 'fit' });
  expect(await redisFitness(redisUrl)).toEqual({ state: 'fit' });
  expect(await postgresFitness(databaseUrl)).toEqual({ state: 'fit' });
  expect(infra()).toEqual({ kafkaBrokers, redisUrl, databaseUrl });
});

test("the servers of the tests are never those of a person's own settings", () => {
  expect(kafkaBrokers).not.toContain(':9092');
  expect(redisUrl).not.toContain(':6379');
  expect(databaseUrl).not.toContain(':5432');
});
