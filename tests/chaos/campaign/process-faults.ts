/** What is done to processes: killed, frozen, doubled, and put into another time. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Fault } from './fault.ts';
import type { Unit } from './unit.ts';
import { SERVERS, SERVICES, type ServerName, type ServiceName, type World } from './world.ts';

const FREEZES_MS = [1_000, 2_000, 4_000, 8_000, 20_000];

const unitOf = ({ services, servers }: World, name: ServiceName | ServerName): Unit =>
  ({ ...services, ...servers })[name];

/** @param awayMs it is away for so long at most */
const killed = (name: ServiceName | ServerName, awayMs: number): Fault => ({
  kind: `kill -9 ${name}`,
  targets: [name],
  run: async (world, random) => {
    const unit = unitOf(world, name);
    await unit.kill();
    await delay(random.between(0, awayMs));
    await unit.ensure();
  },
});

const frozen = (name: ServiceName | ServerName): Fault => ({
  kind: `freeze ${name}`,
  targets: [name],
  run: async (world, random) => {
    const unit = unitOf(world, name);
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
  ...SERVICES.map((name) => killed(name, 2_000)),
  ...SERVERS.map((name) => killed(name, 4_000)),
  ...[...SERVICES, ...SERVERS].map(frozen),
  ...SERVICES.map(replica),
  ...SERVICES.map(clockJump),
];
