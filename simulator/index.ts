/** The operators, for the quick start, the tests and the benchmarks: HTTP and SMPP, with dials and a control API. */
import { readSettings } from '../shared/config.ts';
import { createScope, runMain } from '../shared/lifecycle.ts';
import { createLog, type Log } from '../shared/log.ts';
import { SETTINGS } from './config.ts';
import { openSimulator, type Simulator, type SimulatorConfig } from './simulator.ts';

export type { Dials, DialsPatch } from './dials.ts';
export type { MessageRecord } from './records.ts';
export type { Rule } from './rules.ts';
export type { Simulator, SimulatorConfig } from './simulator.ts';

/** Starts the operators. Throws when a port is taken. */
export async function start(
  config: SimulatorConfig = {},
  log: Log = createLog('simulator', 'error'),
): Promise<Simulator> {
  const scope = createScope(log);
  try {
    return await openSimulator(config, scope);
  } catch (thrown) {
    await scope.close();
    throw thrown;
  }
}

export { start as startSimulator };

if (import.meta.main) {
  const level = process.env.LOG_LEVEL;
  const log = createLog('simulator', level === 'debug' || level === 'warn' || level === 'error' ? level : 'info');
  await runMain(log, async (scope) => {
    const settings = readSettings(SETTINGS, process.env);
    const simulator = await openSimulator(
      {
        host: settings.HOST,
        httpPort: settings.SIMULATOR_HTTP_PORT,
        smppPort: settings.SIMULATOR_SMPP_PORT,
        accounts: settings.SIMULATOR_ACCOUNTS,
        dials: settings.SIMULATOR_DIALS,
        recordsMax: settings.SIMULATOR_RECORDS_MAX,
      },
      scope,
    );
    log.info('ready', { http_port: simulator.httpPort, smpp_port: simulator.smppPort, operators: simulator.names });
  });
}
