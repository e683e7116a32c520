/** A service that kills itself between two effects, under the load. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Failpoint } from '../../../shared/failpoint.ts';
import { until } from '../../support/poll.ts';
import type { Fault, OnHit } from './fault.ts';
import { calmOperators, type OperatorName } from './operators.ts';
import type { ServiceName, World } from './world.ts';

const HIT_WITHIN_MS = 25_000;

type Assist = { targets: readonly string[]; refuses?: readonly OperatorName[]; passMax?: number };
/** What must happen beside the load for a point to be passed, and how often a busy second passes it. */
const ASSISTED: Partial<Record<Failpoint, Assist>> = {
  'gateway.relay_before_produce': { targets: ['kafka', 'link kafka'] },
  'gateway.relay_after_produce': { targets: ['kafka', 'link kafka'] },
  'dispatcher.retry_released': { targets: ['operator MTN'], refuses: ['MTN'], passMax: 50 },
  'billing.sweep_after_script': { targets: ['operator Rightel'], refuses: ['Rightel'] },
  'billing.sweep_after_publish': { targets: ['operator Rightel'], refuses: ['Rightel'] },
  'billing.settle_after_script': { targets: [], passMax: 40 },
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
