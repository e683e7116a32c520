/** What a message is checked and priced by: operators, prices and line numbers, each a watched file. */
import type { Log } from '../shared/log.ts';
import type { PortedNumbers } from '../shared/ported.ts';
import { parseOperators } from '../shared/sms/operators.ts';
import { parsePrices } from '../shared/sms/price.ts';
import { buildRoutes, operatorOf } from '../shared/sms/routes.ts';
import { parseSenders } from '../shared/sms/sender.ts';
import { watchFile } from '../shared/watched-file.ts';
import type { Config } from './config.ts';
import type { Rules } from './message.ts';

export type WatchedRules = {
  current(): Rules;
  slotOf(operator: string): number;
  /** The undecided messages of an account past which its normal messages to this operator overflow into the lower lane. */
  overflowAfter(operator: string): number;
  close(): void;
};

/** An operator with a rate is backlogged by so many seconds of it. */
const OVERFLOW_AFTER_S = 2;

/** Throws a ConfigError with every problem when a file is bad at the start; later a bad version is refused and the old one stays. */
export async function watchRules(config: Config, ported: PortedNumbers, log: Log): Promise<WatchedRules> {
  // Routing needs no secrets: operators' passwords live in the dispatcher's environment alone.
  const operators = await watchFile(
    config.OPERATORS_FILE,
    (json) => {
      const parsed = parseOperators(json, null);
      if (!parsed.ok) return parsed;
      const slots = new Map(parsed.file.operators.map(({ name, slot }) => [name, slot]));
      const tps = new Map(parsed.file.operators.map((operator) => [operator.name, operator.tps]));
      return { ok: true, value: { routes: buildRoutes(parsed.file), slots, tps } };
    },
    log,
  );
  const prices = await watchFile(
    config.PRICES_FILE,
    (json) => {
      const parsed = parsePrices(json, operators.value.slots.keys());
      return parsed.ok ? { ok: true, value: parsed.prices } : parsed;
    },
    log,
  );
  const senders = await watchFile(
    config.SENDERS_FILE,
    (json) => {
      const parsed = parseSenders(json);
      return parsed.ok ? { ok: true, value: parsed.senders } : parsed;
    },
    log,
  );
  const route = (phone: string): string | null => {
    const { routes, slots } = operators.value;
    const learned = ported.operatorOf(phone);
    return learned !== undefined && slots.has(learned) ? learned : operatorOf(routes, phone);
  };
  const validS = { express: config.EXPRESS_VALID_S, normal: config.NORMAL_VALID_S };
  return {
    current: () => ({
      operatorOf: route,
      prices: prices.value,
      senders: senders.value,
      pagesMax: config.PAGES_MAX,
      validS,
    }),
    overflowAfter: (operator) => {
      const tps = operators.value.tps.get(operator) ?? 0;
      return tps > 0 ? Math.min(config.OVERFLOW_AFTER, tps * OVERFLOW_AFTER_S) : config.OVERFLOW_AFTER;
    },
    slotOf: (operator) => operators.value.slots.get(operator) ?? 0,
    close: () => {
      for (const file of [operators, prices, senders]) file.close();
    },
  };
}
