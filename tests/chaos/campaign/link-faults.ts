/** What is done on the ways between processes, and by the operators at their end. */
import { setTimeout as delay } from 'node:timers/promises';
import type { DialsPatch } from '../../../simulator/index.ts';
import type { Random } from '../../simulation/random.ts';
import type { Fault } from './fault.ts';
import { calmOperators, OPERATORS, type OperatorName } from './operators.ts';
import { LINKS, type LinkName } from './world.ts';

const operatorNames = Object.keys(OPERATORS) as OperatorName[];

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

export const OPERATOR_FAULTS: readonly Fault[] = [
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

export const LINK_FAULTS: readonly Fault[] = LINKS.flatMap((link) => [slow(link), repliesLost(link), refused(link)]);
