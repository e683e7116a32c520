import { expect, test } from 'bun:test';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { postgresFitness } from '../../../local/fitness/postgres.ts';
import { freePort } from '../../../local/ports.ts';
import { infra } from '../../support/infra.ts';

const { databaseUrl } = infra();

const changed = (change: (url: URL) => void): string => {
  const url = new URL(databaseUrl);
  change(url);
  return url.href;
};

test('a real PostgreSQL with our login is fit', async () => {
  expect(await postgresFitness(databaseUrl)).toEqual({ state: 'fit' });
});

test('a wrong password and a missing database are told apart, and no password is shown', async () => {
  const wrong = await postgresFitness(
    changed((url) => {
      url.password = 'hunter2';
    }),
  );
  expect(wrong).toHaveProperty('reason', expect.stringContaining('refuses the password of DATABASE_URL'));
  expect(JSON.stringify(wrong)).not.toContain('hunter2');
  const missing = await postgresFitness(
    changed((url) => {
      url.pathname = '/nothing';
    }),
  );
  expect(missing).toHaveProperty('reason', expect.stringContaining('has no database of the name in DATABASE_URL'));
});

test('nobody there is absent, and a web server there is no PostgreSQL', async () => {
  const port = await freePort();
  expect(await postgresFitness(`postgres://jsms:jsms@127.0.0.1:${port}/jsms`)).toEqual({ state: 'absent' });
  const web = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
  await new Promise((resolve) => web.once('listening', resolve));
  const address = `postgres://jsms:jsms@127.0.0.1:${(web.address() as AddressInfo).port}/jsms`;
  const fitness = await postgresFitness(address, 1_000);
  web.closeAllConnections();
  web.close();
  expect(fitness).toHaveProperty('reason', expect.stringContaining('does not answer as PostgreSQL does'));
});
