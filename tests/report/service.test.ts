/** The whole service, on real Kafka and PostgreSQL, through its HTTP door. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Config, checkSettings, settings } from '../../report/config.ts';
import { READ_TOPICS } from '../../report/consumer.ts';
import { start } from '../../report/index.ts';
import { encodeCursor } from '../../report/store.ts';
import { ConfigError, readSettings } from '../../shared/config.ts';
import { newId } from '../../shared/id.ts';
import { connectKafka } from '../../shared/kafka.ts';
import type { Producer } from '../../shared/kafka-producer.ts';
import { createScope, type Scope } from '../../shared/lifecycle.ts';
import { createLog } from '../../shared/log.ts';
import { TOPICS } from '../../shared/topics.ts';
import { ask } from '../support/http.ts';
import { infra } from '../support/infra.ts';
import { until } from '../support/poll.ts';
import {
  createDatabase,
  ledgerEvent,
  messageEvent,
  newAccount,
  receiptEvent,
  statusEvent,
  sumsOf,
  type TestDatabase,
} from './fixture.ts';

const servers = infra();
const quiet = createLog('test', 'error', () => undefined);
const kafka = connectKafka({ brokers: servers.kafkaBrokers.split(','), clientId: 'test', log: quiet });
let db: TestDatabase;
let producer: Producer;
let link: Awaited<ReturnType<typeof openLink>>;
let scope: Scope;
let url: string;

/** A wire to PostgreSQL that can be cut and mended. */
async function openLink(host: string, port: number) {
  const open = new Set<Socket>();
  let cut = false;
  const server: Server = createServer((client) => {
    if (cut) return void client.destroy();
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      cut = true;
      for (const socket of open) socket.destroy();
    },
    mend: () => {
      cut = false;
    },
    close: () => server.close(),
  };
}

function configOf(): Config {
  const viaLink = new URL(db.url);
  viaLink.hostname = '127.0.0.1';
  viaLink.port = String(link.port);
  return {
    ...readSettings(settings, {
      KAFKA_BROKERS: servers.kafkaBrokers,
      DATABASE_URL: viaLink.href,
      DEPENDENCY_WAIT_S: '10',
    }),
    REPORT_HTTP_PORT: 0,
  };
}

async function startReport(): Promise<void> {
  scope = createScope(quiet);
  const { httpPort } = await start(configOf(), scope, quiet);
  url = `http://127.0.0.1:${httpPort}`;
}

/** Where the logs ended before this file: what other tests have left in them is not read here. */
const begins: { topic: string; partition: number; end: number }[] = [];

async function setOffsets(offsets: typeof begins): Promise<void> {
  for (const { topic, partition, end } of offsets) {
    await db.sql`
      INSERT INTO consumer_offsets (topic, partition, next_offset) VALUES (${topic}, ${partition}, ${end})
      ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset`;
  }
}

beforeAll(async () => {
  db = await createDatabase();
  const { hostname, port } = new URL(db.url);
  link = await openLink(hostname, Number(port));
  await kafka.ensureTopics({ replication: 1, retentionMs: 7 * 86_400_000 });
  for (const topic of READ_TOPICS) {
    // A busy Kafka has made the topics before it has told each partition's leader.
    const ends = await until(`the ends of ${topic}`, () => kafka.endOffsets(topic), { withinMs: 20_000 });
    for (const [partition, end] of ends) begins.push({ topic, partition, end });
  }
  producer = await kafka.producer();
  await setOffsets(begins);
  await startReport();
}, 60_000);
afterAll(async () => {
  await scope.close();
  await producer.close();
  await kafka.close();
  link.close();
  await db.close();
}, 30_000);

const publish = (topic: string, ...events: unknown[]) =>
  Promise.all(
    events.map((event) => producer.send({ topic, value: typeof event === 'string' ? event : JSON.stringify(event) })),
  );

type Page = {
  items: { message_id: string; status: string }[];
  counts: Record<string, number>;
  next_cursor: string | null;
};
const report = async (user: string) => (await ask<Page>('GET', `${url}/report/${user}`)).json;

describe('from Kafka to an answer', () => {
  test('a message, its outcome, its receipt and a top-up are there a moment after they were published', async () => {
    const user = newAccount();
    const message = messageEvent({ user_id: user, type: 'express', lane: 'express' });
    const status = statusEvent(message);
    await publish(TOPICS.express, message);
    await publish(TOPICS.status, status, receiptEvent(status));
    await publish(TOPICS.ledger, ledgerEvent(user, 10_000));
    await until('the receipt is shown', async () => (await report(user)).items[0]?.status === 'delivered');
    const totals = await until('the top-up is counted', async () => {
      const { json } = await ask<{ topped_up: number }>('GET', `${url}/accounts/${user}/totals`);
      return json.topped_up === 10_000 && json;
    });
    expect(totals).toMatchObject({ user_id: user, topped_up: 10_000, posted: 220 });
    const { json } = await ask<{ timeline: { event: string }[] }>('GET', `${url}/messages/${message.id}`);
    expect(json.timeline.map(({ event }) => event)).toEqual(['queued', 'sent', 'delivered']);
  }, 30_000);

  test('an undecodable record stops nothing: it is kept with its origin and counted', async () => {
    const user = newAccount();
    const marks = [`{"poison":"${newId()}"}`, 'not json', ''];
    await publish(TOPICS.normal, ...marks, messageEvent({ user_id: user }));
    await until('the message behind them is there', async () => (await report(user)).items.length === 1);
    const kept = await until('they are kept', async () => {
      const rows = await db.sql`SELECT topic, reason FROM poison_records WHERE value = ${Buffer.from(marks[0] ?? '')}`;
      return rows.length > 0 && rows;
    });
    expect({ ...kept[0] }).toEqual({ topic: TOPICS.normal, reason: 'not a message' });
    const { text } = await ask('GET', `${url}/metrics`);
    expect(Number(/^jsms_report_poison_records_total (\d+)/m.exec(text)?.[1])).toBeGreaterThanOrEqual(3);
  }, 30_000);

  test('while PostgreSQL is away answers are 503 and nothing is skipped; once it is back everything is there', async () => {
    const user = newAccount();
    link.cut();
    const messages = Array.from({ length: 50 }, () => messageEvent({ user_id: user }));
    await publish(TOPICS.normal, ...messages);
    await publish(TOPICS.status, ...messages.map((message) => statusEvent(message)));
    const away = await until('reads are refused', async () => {
      const answer = await ask<{ code: string }>('GET', `${url}/report/${user}`);
      return answer.status === 503 && answer;
    });
    expect(away.json.code).toBe('unavailable');
    expect(away.headers.get('retry-after')).toBe('1');
    await until('it is not ready', async () => (await ask('GET', `${url}/health/ready`)).status === 503);
    link.mend();
    await until('all are there', async () => (await report(user)).counts?.sent === 50, { withinMs: 30_000 });
    await until('it is ready', async () => (await ask('GET', `${url}/health/ready`)).status === 200);
    const { kept, counted } = await sumsOf(db.sql);
    expect(kept).toEqual(counted);
  }, 60_000);

  test('a shutdown while PostgreSQL is away ends in time and skips nothing', async () => {
    const user = newAccount();
    link.cut();
    await publish(TOPICS.normal, messageEvent({ user_id: user }));
    await until('it is not ready', async () => (await ask('GET', `${url}/health/ready`)).status === 503);
    const began = performance.now();
    await scope.close();
    expect(performance.now() - began).toBeLessThan(14_000);
    link.mend();
    await startReport();
    await until('it is there', async () => (await report(user)).items.length === 1, { withinMs: 30_000 });
  }, 90_000);

  test('a restart goes on where PostgreSQL stands, and what is read again changes nothing', async () => {
    const user = newAccount();
    const messages = Array.from({ length: 30 }, () => messageEvent({ user_id: user }));
    await publish(TOPICS.normal, ...messages);
    await until('the first are there', async () => (await report(user)).counts.queued === 30);
    await scope.close();
    await publish(TOPICS.status, ...messages.map((message) => statusEvent(message)));
    // PostgreSQL's own offsets decide: they are set back to where this file began, whatever the group has committed in Kafka.
    await setOffsets(begins);
    const before = await sumsOf(db.sql);
    expect(before.kept).toEqual(before.counted);
    await startReport();
    await until('all are sent', async () => (await report(user)).counts.sent === 30, { withinMs: 30_000 });
    await until('everything was read again', async () => {
      const { json } = await ask<{ watermark: { records_behind: number } }>('GET', `${url}/accounts/${user}/totals`);
      return json.watermark?.records_behind === 0;
    });
    const after = await sumsOf(db.sql);
    expect(after.kept).toEqual(after.counted);
    const [row] = await db.sql`SELECT sum(posted)::int AS posted FROM messages WHERE user_id = ${user}`;
    expect(row?.posted).toBe(30 * 220);
  }, 90_000);

  test('offsets beyond the end of a log that was begun anew are given up: it is read from its beginning', async () => {
    const user = newAccount();
    await scope.close();
    await db.sql`UPDATE consumer_offsets SET next_offset = 1000000000 WHERE topic = ${TOPICS.ledger}`;
    await publish(TOPICS.ledger, ledgerEvent(user, 777));
    await startReport();
    await until(
      'it is there',
      async () => (await ask<{ topped_up: number }>('GET', `${url}/accounts/${user}/totals`)).json.topped_up === 777,
      { withinMs: 30_000 },
    );
    const [row] = await db.sql`SELECT max(next_offset)::float8 AS max FROM consumer_offsets`;
    expect(row?.max).toBeLessThan(1_000_000_000);
  }, 60_000);
});

describe('two replicas', () => {
  test('share the partitions; one that comes and goes under load loses nothing and counts nothing twice', async () => {
    const user = newAccount();
    const messages = Array.from({ length: 600 }, () => messageEvent({ user_id: user }));
    const send = (from: number, to: number) =>
      Promise.all([
        publish(TOPICS.normal, ...messages.slice(from, to)),
        publish(TOPICS.status, ...messages.slice(from, to).map((message) => statusEvent(message))),
      ]);
    await send(0, 200);
    const second = createScope(quiet);
    const [{ httpPort }] = await Promise.all([start(configOf(), second, quiet), send(200, 400)]);
    const other = `http://127.0.0.1:${httpPort}`;
    await until('the second one reads too', async () => {
      const { text } = await ask('GET', `${other}/metrics`);
      await publish(TOPICS.status, ...messages.slice(0, 12).map((message) => statusEvent(message)));
      return /^jsms_report_records_read_total [1-9]/m.test(text);
    });
    await Promise.all([second.close(), send(400, 600)]);
    await until('all are sent', async () => (await report(user)).counts.sent === 600, { withinMs: 60_000 });
    const { kept, counted } = await sumsOf(db.sql);
    expect(kept).toEqual(counted);
    const [row] = await db.sql`SELECT sum(posted)::int AS posted FROM messages WHERE user_id = ${user}`;
    expect(row?.posted).toBe(600 * 220);
  }, 120_000);
});

describe('the door', () => {
  type Problem = { code: string; errors?: { field: string }[] };
  test.each([
    ['/report/a%20b', 'user_id'],
    ['/report/123?limit=0', 'limit'],
    ['/report/123?limit=501', 'limit'],
    ['/report/123?limit=1e2', 'limit'],
    ['/report/123?status=gone', 'status'],
    ['/report/123?nonsense=1', 'request'],
    ['/report/123?from=yesterday', 'from'],
    ['/report/123?from=0000-05-02', 'from'],
    ['/report/123/summary?from=0000-05-02', 'from'],
    ['/report/123/summary?to=2026-02-30', 'to'],
    [`/report/123/summary?cursor=${encodeCursor(['2026-02-30'])}`, 'cursor'],
    [
      `/report/123/statement?cursor=${encodeCursor(['0000-01-01', 0, '01a204c2-af0b-7257-a9e4-6aa55dbbf36b'])}`,
      'cursor',
    ],
    ['/report/123?cursor=%00', 'cursor'],
    ['/report/123?format=xml', 'format'],
    ['/report/123?format=csv&limit=5', 'limit'],
    ['/report/123?status=sent&status=failed', 'query'],
    ['/messages/nope', 'id'],
    ['/report/123/summary?to=x', 'to'],
    ['/report/123/statement?limit=x', 'limit'],
    ['/dead-letters?operator=%27', 'operator'],
    ['/accounts/%27/totals', 'user_id'],
  ])('GET %s is refused with 422 and names the field', async (path, field) => {
    const { status, json, headers } = await ask<Problem>('GET', url + path);
    expect([status, json.code]).toEqual([422, 'invalid_request']);
    expect(headers.get('content-type')).toStartWith('application/problem+json');
    expect(json.errors?.map((error) => error.field)).toContain(field);
  });

  test.each(['', '/summary'])('GET /report/123%s takes the first and the last day that there is', async (list) => {
    const { status } = await ask('GET', `${url}/report/123${list}?from=0001-01-01&to=9999-12-31`);
    expect(status).toBe(200);
  });

  test('an unknown account has zeros and empty lists; an unknown message is 404', async () => {
    const user = newAccount();
    const list = await ask<Page>('GET', `${url}/report/${user}`);
    expect([list.status, list.json.items, list.json.next_cursor]).toEqual([200, [], null]);
    expect((await ask('GET', `${url}/report/${user}/summary`)).json).toMatchObject({ items: [], next_cursor: null });
    expect((await ask('GET', `${url}/report/${user}/statement`)).json).toMatchObject({ items: [], next_cursor: null });
    expect((await ask('GET', `${url}/accounts/${user}/totals`)).json).toMatchObject({ topped_up: 0, posted: 0 });
    expect((await ask('GET', `${url}/dead-letters?user_id=${user}`)).json).toEqual({ items: [], next_cursor: null });
    const csv = await ask('GET', `${url}/report/${user}?format=csv`);
    expect(csv.text.split('\r\n').length).toBe(2);
    for (const [method, path] of [
      ['GET', '/messages/'],
      ['DELETE', '/dead-letters/'],
    ] as const)
      expect((await ask<Problem>(method, url + path + newId())).json.code).toBe('not_found');
    expect((await ask<Problem>('POST', `${url}/dead-letters/${newId()}/replay`)).json.code).toBe('not_found');
  });

  test('a dead letter is discarded with 204 and an empty body', async () => {
    const message = messageEvent({ user_id: newAccount() });
    await publish(TOPICS.normal, message);
    await publish(
      TOPICS.status,
      statusEvent(message, { status: 'failed', posted: 0, dead: true, error: 'queue full' }),
    );
    const path = `${url}/dead-letters?user_id=${message.user_id}`;
    await until('it is listed', async () => (await ask<Page>('GET', path)).json.items.length === 1);
    const gone = await ask('DELETE', `${url}/dead-letters/${message.id}`);
    expect([gone.status, gone.text]).toEqual([204, '']);
    expect((await ask<Page>('GET', path)).json.items).toEqual([]);
  }, 30_000);

  test('every route is in the specification with an example of its answer', async () => {
    type Spec = {
      paths: Record<
        string,
        Record<string, { responses: Record<string, { content?: Record<string, { example?: unknown }> }> }>
      >;
    };
    const { json } = await ask<Spec>('GET', `${url}/swagger/json`);
    const documented = Object.entries(json.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => {
        const success = Object.entries(responses).find(([status]) => status.startsWith('2'))?.[1];
        return { route: `${method} ${path}`, example: Object.values(success?.content ?? {})[0]?.example !== undefined };
      }),
    );
    const examples = Object.fromEntries(documented.map(({ route, example }) => [route, example]));
    expect(examples).toMatchObject({
      'get /report/{user_id}': true,
      'get /report/{user_id}/summary': true,
      'get /report/{user_id}/statement': true,
      'get /messages/{id}': true,
      'get /accounts/{user_id}/totals': true,
      'get /dead-letters': true,
      'post /dead-letters/{id}/replay': true,
      'delete /dead-letters/{id}': false,
    });
  });
});

describe('settings', () => {
  test('that contradict each other are all named at once', () => {
    const config = {
      ...configOf(),
      REPORT_RETENTION_DAYS: 8,
      KAFKA_RETENTION_DAYS: 20,
      DEAD_LETTER_RETENTION_DAYS: 30,
      RECEIPT_RETENTION_DAYS: 9,
      REPORT_TIME_ZONE: 'Tehran/Iran',
    };
    try {
      checkSettings(config);
      expect.unreachable();
    } catch (thrown) {
      expect((thrown as ConfigError).problems.map((problem) => problem.split(':')[0])).toEqual([
        'REPORT_RETENTION_DAYS',
        'DEAD_LETTER_RETENTION_DAYS',
        'RECEIPT_RETENTION_DAYS',
        'REPORT_TIME_ZONE',
      ]);
    }
  });

  test('Kafka never keeps records for less than a message may wait', () => {
    const read = (days: string) => readSettings(settings, { KAFKA_RETENTION_DAYS: days });
    expect(() => read('3')).toThrow('KAFKA_RETENTION_DAYS');
    expect(read('4').KAFKA_RETENTION_DAYS * 86_400).toBeGreaterThan(259_200);
  });

  test('a server that is not there ends the start with one sentence, without a password', async () => {
    const own = createScope(quiet);
    const config = { ...configOf(), DATABASE_URL: 'postgres://jsms:secret@127.0.0.1:1/jsms', DEPENDENCY_WAIT_S: 1 };
    const failure = await start(config, own, quiet).catch((thrown: Error) => thrown.message);
    expect(failure).toBe('PostgreSQL does not answer at 127.0.0.1:1/jsms; `bun run infra` starts one');
    await own.close();
    const wrong = new URL(db.url);
    wrong.password = 'secret';
    const other = createScope(quiet);
    const refused = await start({ ...configOf(), DATABASE_URL: wrong.href }, other, quiet).catch(
      (thrown: Error) => thrown,
    );
    expect(refused).toBeInstanceOf(ConfigError);
    expect((refused as Error).message).not.toContain('secret');
    await other.close();
  }, 30_000);
});
