/**
 * The faults, each a function that does it, heals it and resolves. What is chosen (for how long, how much) comes from the
 * seed, so that a seed is a schedule; what the machine makes of it is not.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import postgres from 'postgres';
import { FAILPOINTS, type Failpoint } from '../../../shared/failpoint.ts';
import { LANES, PARTITIONS, TOPICS } from '../../../shared/topics.ts';
import type { DialsPatch } from '../../../simulator/index.ts';
import type { Random } from '../../simulation/random.ts';
import { until } from '../../support/poll.ts';
import { connectTestKafka } from '../../support/stack-servers.ts';
import {
  calmOperators,
  LINKS,
  type LinkName,
  OPERATORS,
  type OperatorName,
  SERVERS,
  SERVICES,
  type ServiceName,
  type World,
} from './world.ts';

export type Fault = {
  /** The row of the table. */
  kind: string;
  /** What no other fault may touch meanwhile. */
  targets: readonly string[];
  /** Operators whose submits may be refused or lost on the way while it lasts. */
  refuses?: readonly OperatorName[];
  run(world: World, random: Random): Promise<void>;
};

/** The failpoint was armed and the process went past it: it killed itself there. */
export type OnHit = (name: Failpoint) => void;

const FREEZES_MS = [1_000, 2_000, 4_000, 8_000, 20_000];
const HIT_WITHIN_MS = 25_000;
const operatorNames = Object.keys(OPERATORS) as OperatorName[];

const killed = (name: ServiceName): Fault => ({
  kind: `kill -9 ${name}`,
  targets: [name],
  run: async ({ services }, random) => {
    await services[name].kill();
    await delay(random.between(0, 2_000));
    await services[name].ensure();
  },
});

const serverKilled = (name: (typeof SERVERS)[number]): Fault => ({
  kind: `kill -9 ${name}`,
  targets: [name],
  run: async ({ servers }, random) => {
    await servers[name].kill();
    await delay(random.between(0, 4_000));
    await servers[name].ensure();
  },
});

const frozen = (name: ServiceName | (typeof SERVERS)[number]): Fault => ({
  kind: `freeze ${name}`,
  targets: [name],
  run: async ({ services, servers }, random) => {
    const unit = { ...services, ...servers }[name];
    unit.freeze();
    try {
      await delay(random.pick(FREEZES_MS));
    } finally {
      unit.thaw();
    }
  },
});

const operatorsBehind = (link: LinkName): OperatorName[] =>
  operatorNames.filter((name) => OPERATORS[name].link === link);

const slow = (link: LinkName): Fault => ({
  kind: `slow ${link}`,
  targets: [`link ${link}`],
  refuses: operatorsBehind(link),
  run: async ({ links }, random) => {
    links[link].delayMs = random.pick([20, 100, 400]);
    await delay(random.between(2_000, 6_000));
    links[link].delayMs = 0;
  },
});

const repliesLost = (link: LinkName): Fault => ({
  kind: `replies lost ${link}`,
  targets: [`link ${link}`],
  refuses: operatorsBehind(link),
  run: async ({ links }, random) => {
    for (let left = random.between(1, 3); left > 0; left--) {
      links[link].swallow = true;
      await delay(random.between(20, 600));
      links[link].cut();
      links[link].swallow = false;
      await delay(random.between(200, 1_500));
    }
  },
});

const refused = (link: LinkName): Fault => ({
  kind: `no way to ${link}`,
  targets: [`link ${link}`],
  refuses: operatorsBehind(link),
  run: async ({ links }, random) => {
    links[link].refuse = true;
    links[link].cut();
    await delay(random.between(1_000, 5_000));
    links[link].refuse = false;
  },
});

const turned = (what: string, dialsOf: (random: Random) => DialsPatch): Fault[] =>
  operatorNames.map((operator) => ({
    kind: `operator ${what}`,
    targets: [`operator ${operator}`],
    refuses: [operator],
    run: async ({ simulator }, random) => {
      simulator.dials(operator.toLowerCase(), dialsOf(random));
      await delay(random.between(2_000, 5_000));
      calmOperators(simulator, operator);
    },
  }));

const share = (
  outcome: 'reject' | 'transient' | 'silent' | 'silent_drop' | 'disconnect_before' | 'disconnect_after',
) => {
  return (random: Random): DialsPatch => ({ rules: [{ outcome, share: random.pick([0.01, 0.1, 0.5]) }] });
};

const OPERATOR_FAULTS: readonly Fault[] = [
  ...turned('throttles', (random) => ({ throttle_tps: random.pick([10, 50, 200]) })),
  ...turned('refuses for good', share('reject')),
  ...turned('refuses for now', share('transient')),
  ...turned('accepts and is silent', share('silent')),
  ...turned('is silent', share('silent_drop')),
  ...turned('drops the link', share('disconnect_after')),
  ...turned('drops the link unaccepted', share('disconnect_before')),
  ...turned('is frozen', () => ({ freeze: true })),
  ...turned('is away', () => ({ accept_connections: false })),
];

const replica = (service: ServiceName): Fault => ({
  kind: `replica of ${service} joins, leaves`,
  targets: [`replica ${service}`],
  run: async ({ replicate, links }, random) => {
    const second = await replicate(service);
    // Whoever speaks gRPC stays with the connection it has: the next ones go to both.
    if (service === 'billing') links.grpc.cut();
    await delay(random.between(2_000, 6_000));
    await second.leave(random.pick(['kill', 'stop']));
  },
});

/** A minute ahead or back, at once, while it works; then the machine's time again. */
const clockJump = (name: ServiceName): Fault => ({
  kind: `clock of ${name} jumps`,
  targets: [name],
  run: async ({ services, dir }, random) => {
    const file = join(dir, `${name}.clock`);
    writeFileSync(file, '0');
    await services[name].stop();
    await services[name].ensure({ CLOCK_JUMP_FILE: file });
    for (let jumps = 2; jumps > 0; jumps--) {
      writeFileSync(file, String(random.pick([-60_000, 60_000])));
      await delay(random.between(1_500, 3_000));
      writeFileSync(file, '0');
      await delay(1_000);
    }
    await services[name].stop();
    await services[name].ensure();
  },
});

const POISON: readonly (string | Buffer | null)[] = [
  null,
  '',
  'no JSON',
  '{"id":',
  '[]',
  'null',
  '{"kind":"status"}',
  '{"id":"x","user_id":1,"attempt":"1"}',
  '{"transaction_id":"x","amount":1e308}',
  Buffer.from([0xff, 0xfe, 0x00, 0x80]),
  '['.repeat(50_000),
];

const poison: Fault = {
  kind: 'poison records',
  targets: ['poison'],
  run: async ({ direct }, random) => {
    const producer = connectTestKafka(direct.kafkaBrokers).producer();
    await producer.connect();
    try {
      for (const topic of Object.values(TOPICS)) {
        const messages = Array.from({ length: 6 }, () => ({
          value: random.pick(POISON),
          partition: random.between(0, (PARTITIONS[topic] ?? 1) - 1),
        }));
        await producer.send({ topic, messages });
      }
    } finally {
      await producer.disconnect();
    }
  },
};

const REREAD_RECORDS = 2_000;

/** Sets a group that nobody is in so far back in a topic. */
async function rewind(brokers: string, groupId: string, topic: string): Promise<Map<number, number>> {
  const admin = connectTestKafka(brokers).admin();
  await admin.connect();
  try {
    const partitions = (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => ({
      partition,
      offset: Math.max(Number(low), Number(high) - REREAD_RECORDS),
    }));
    await until(
      `the group ${groupId} is empty`,
      async () => {
        const offsets = partitions.map(({ partition, offset }) => ({ partition, offset: String(offset) }));
        await admin.setOffsets({ groupId, topic, partitions: offsets });
        return true;
      },
      { withinMs: 30_000, everyMs: 500 },
    );
    return new Map(partitions.map(({ partition, offset }) => [partition, offset]));
  } finally {
    await admin.disconnect();
  }
}

const reread: readonly Fault[] = [
  {
    kind: 'dispatcher reads topics again',
    targets: ['dispatcher', 'replica dispatcher', 'kafka', 'link kafka'],
    run: async ({ services, direct }) => {
      await services.dispatcher.stop();
      for (const lane of LANES) await rewind(direct.kafkaBrokers, `jsms-dispatcher-${lane}`, `sms-${lane}`);
      await rewind(direct.kafkaBrokers, 'jsms-dispatcher-dlq', TOPICS.dlq);
      await services.dispatcher.ensure();
    },
  },
  {
    kind: 'report reads topics again',
    targets: ['report', 'replica report', 'kafka', 'link kafka', 'postgres', 'link postgres'],
    run: async ({ services, direct }) => {
      await services.report.stop();
      const sql = postgres(direct.databaseUrl, { max: 1, onnotice: () => undefined });
      try {
        await sql`UPDATE consumer_offsets SET next_offset = greatest(0, next_offset - ${REREAD_RECORDS})`;
      } finally {
        await sql.end({ timeout: 5 });
      }
      await services.report.ensure();
    },
  },
];

const redisFull: Fault = {
  kind: 'redis is full',
  targets: ['redis', 'link redis'],
  run: async ({ direct }, random) => {
    const redis = new Redis(direct.redisUrl, { maxRetriesPerRequest: 3 });
    try {
      const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
      await redis.config('SET', 'maxmemory', String(used + 50_000));
      await delay(random.between(2_000, 5_000));
    } finally {
      await redis.config('SET', 'maxmemory', '0').finally(() => redis.disconnect());
    }
  },
};

type Assist = { targets: readonly string[]; refuses?: readonly OperatorName[]; passMax?: number };
/** What must happen beside the load for a point to be passed, and how often a busy second passes it. */
const ASSISTED: Partial<Record<Failpoint, Assist>> = {
  'gateway.relay_before_produce': { targets: ['kafka', 'link kafka'] },
  'gateway.relay_after_produce': { targets: ['kafka', 'link kafka'] },
  'dispatcher.retry_released': { targets: ['operator MTN'], refuses: ['MTN'], passMax: 50 },
  'billing.sweep_after_script': { targets: ['operator Rightel'], refuses: ['Rightel'] },
  'billing.sweep_after_publish': { targets: ['operator Rightel'], refuses: ['Rightel'] },
  'billing.topup_after_script': { targets: [], passMax: 3 },
  'billing.topup_after_publish': { targets: [], passMax: 3 },
  'dispatcher.receipt_before_produce': { targets: [], passMax: 50 },
  'dispatcher.before_commit': { targets: [], passMax: 4 },
  'report.before_write': { targets: [], passMax: 4 },
  'report.after_write': { targets: [], passMax: 4 },
};

async function assist({ links, simulator }: World, name: Failpoint): Promise<void> {
  if (name.startsWith('gateway.relay')) {
    links.kafka.refuse = true;
    links.kafka.cut();
    await delay(4_000);
    links.kafka.refuse = false;
  } else if (name === 'dispatcher.retry_released') {
    simulator.dials('mtn', { rules: [{ outcome: 'transient', share: 0.2 }] });
  } else if (name.startsWith('billing.sweep')) {
    simulator.dials('rightel', { rules: [{ outcome: 'silent', share: 0.05 }] });
  }
}

/** The service starts with the point armed, kills itself there under the load, and is started again without. */
export function atFailpoint(name: Failpoint, onHit: OnHit): Fault {
  const service = name.slice(0, name.indexOf('.')) as ServiceName;
  const {
    targets,
    refuses = [],
    passMax = name.startsWith('gateway.relay') || name.startsWith('billing.sweep') ? 1 : 200,
  } = ASSISTED[name] ?? { targets: [] };
  return {
    kind: `killed at ${name}`,
    // A replica would pass the point in its place.
    targets: [service, `replica ${service}`, ...targets],
    refuses,
    run: async (world, random) => {
      const unit = world.services[service];
      await unit.stop();
      // It may kill itself before it is ready: there is a load.
      const started = unit.start({ FAILPOINT: `${name}:${random.between(1, passMax)}` }).then(
        () => '',
        (thrown: Error) => thrown.message,
      );
      const complaint = await started;
      if (complaint === '') {
        await assist(world, name);
        await until(`${name} is passed`, () => !unit.isAlive(), { withinMs: HIT_WITHIN_MS, everyMs: 20 }).catch(
          () => undefined,
        );
      }
      const hit = !unit.isAlive() && !/start_failed|"unfit"|not ready/.test(complaint);
      if (hit) onHit(name);
      if (refuses.length > 0) calmOperators(world.simulator, ...refuses);
      if (!hit) await unit.stop();
      await unit.ensure();
    },
  };
}

/** Every fault there is but the failpoints. */
export const FAULTS: readonly Fault[] = [
  ...SERVICES.map(killed),
  ...SERVERS.map(serverKilled),
  ...[...SERVICES, ...SERVERS].map(frozen),
  ...LINKS.flatMap((link) => [slow(link), repliesLost(link), refused(link)]),
  ...OPERATOR_FAULTS,
  ...SERVICES.map(replica),
  ...SERVICES.map(clockJump),
  poison,
  ...reread,
  redisFull,
];

const shuffled = <T>(list: readonly T[], random: Random): T[] =>
  list
    .map((one) => [random.float(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one);

/**
 * The endless row of faults of a seed: all of them in one order, then all again in another. The failpoints come within the
 * first round, every second fault one of them, so that a short run meets each.
 */
export function* faultsBySeed(random: Random, onHit: OnHit): Generator<Fault> {
  for (;;) {
    const points = shuffled(FAILPOINTS, random).map((name) => atFailpoint(name, onHit));
    for (const fault of shuffled(FAULTS, random)) {
      const point = points.pop();
      if (point) yield point;
      yield fault;
    }
  }
}
