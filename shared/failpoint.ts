/**
 * Failpoints: with FAILPOINT=<name> a process kills itself (SIGKILL) the moment it passes that point, so that a test sees what
 * a crash between two effects does. FAILPOINT=<name>:<n> does so at the n-th pass. Without the setting a point costs a call of
 * an empty function.
 */

/** Every point there is, between two effects. A test run fails when one of them was never reached. */
export const FAILPOINTS = [
  'gateway.after_hold',
  'gateway.after_produce',
  'gateway.relay_before_produce',
  'gateway.relay_after_produce',
  'dispatcher.before_claim',
  'dispatcher.after_claim',
  'dispatcher.after_submit',
  'dispatcher.after_settle',
  'dispatcher.after_publish',
  'dispatcher.before_commit',
  'dispatcher.retry_released',
  'dispatcher.receipt_before_produce',
  'billing.topup_after_script',
  'billing.topup_after_publish',
  'billing.sweep_after_script',
  'billing.sweep_after_publish',
  'billing.settle_after_script',
  'report.before_write',
  'report.after_write',
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];

const [wanted = '', pass = '1'] = (process.env.FAILPOINT ?? '').split(':');
let left = Number(pass);

/** Dies here when FAILPOINT says so. */
export const failpoint: (name: Failpoint) => void =
  wanted === ''
    ? () => undefined
    : (name) => {
        if (name !== wanted) return;
        left -= 1;
        if (left <= 0) process.kill(process.pid, 'SIGKILL');
      };
