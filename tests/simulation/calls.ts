/** Calls to billing between processes: refused, lost, slow, or answered after their caller gave them up. */
import type { BillingMethod, BillingMethods } from '../../shared/billing.ts';
import { AppError } from '../../shared/error.ts';
import type { BillingClient, BillingHandlers } from '../../shared/grpc.ts';
import { after, type Process } from './clock.ts';
import { survives, type Weather } from './faults.ts';

export type Billing = { process: Process; handlers: BillingHandlers };

/** As shared/grpc.ts reads what comes back. */
const unavailable = (): AppError => new AppError('unavailable', 'Billing does not answer at the moment.');
const unknown = (): AppError => new AppError('outcome_unknown', 'Billing did not answer in time.');
const errorOf = (thrown: unknown): AppError =>
  thrown instanceof AppError && (thrown.code === 'unavailable' || thrown.code === 'invalid_request')
    ? thrown
    : unknown();

export type Calls = {
  weather: Weather;
  /** Those that run now. */
  billings: readonly Billing[];
};

export function connectBilling({ weather, billings }: Calls, from: Process): BillingClient {
  const { random } = weather;
  const call = <M extends BillingMethod>(
    method: M,
    request: BillingMethods[M][0],
    deadlineMs: number,
  ): Promise<BillingMethods[M][1]> =>
    new Promise((resolve, reject) => {
      if (!from.alive) return;
      const { faults } = weather;
      if (billings.length === 0 || random.chance(faults.callRefused))
        return void after(random.between(1, 30), from, () => reject(unavailable()));
      const { process, handlers } = random.pick(billings);
      const deadline = after(deadlineMs, from, () => reject(unknown()));
      const settle = (ms: number, run: () => void): void =>
        void after(ms, from, () => {
          deadline.cancelled = true;
          run();
        });
      const delay = (): number => (random.chance(faults.callSlow) ? random.between(200, 6_000) : random.between(1, 4));
      if (random.chance(faults.callLost)) return;
      const answer = (run: () => void): void => {
        if (!survives(weather, process) || random.chance(faults.answerLost)) return;
        settle(delay(), run);
      };
      after(delay(), process, () => {
        (handlers[method] as (request: unknown) => Promise<never>)(request).then(
          (reply) => answer(() => resolve(reply)),
          (thrown) => answer(() => reject(errorOf(thrown))),
        );
      });
      survives(weather, from);
    });
  return { call, ready: async () => undefined, close: () => undefined };
}
