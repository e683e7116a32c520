/** What is done to processes: killed, frozen, doubled, and put into another time. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Fault } from './fault.ts';
import { SERVERS, SERVICES, type ServiceName } from './world.ts';

const FREEZES_MS = [1_000, 2_000, 4_000, 8_000, 20_000];

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

export const PROCESS_FAULTS: readonly Fault[] = [
  ...SERVICES.map(killed),
  ...SERVERS.map(serverKilled),
  ...[...SERVICES, ...SERVERS].map(frozen),
  ...SERVICES.map(replica),
  ...SERVICES.map(clockJump),
];
