/** The simulator and the four services: where they are, on which ports, and when they are ready. */
import { join } from 'node:path';
import type { PidRecord } from './pid-file.ts';
import { ROOT } from './places.ts';
import { isListening } from './ports.ts';
import { allOrNone } from './servers/all.ts';
import type { Turn } from './servers/scheduling.ts';
import { type LocalServer, startServer } from './servers/server-process.ts';
import type { LocalSettings } from './settings.ts';

type Port =
  | 'BILLING_HTTP_PORT'
  | 'BILLING_GRPC_PORT'
  | 'GATEWAY_HTTP_PORT'
  | 'DISPATCHER_HTTP_PORT'
  | 'REPORT_HTTP_PORT';
type SimulatorPort = 'SIMULATOR_HTTP_PORT' | 'SIMULATOR_SMPP_PORT';

/** A service and the settings of its ports; the first is its HTTP port. */
type Service = { name: string; ports: readonly [Port | SimulatorPort, ...(Port | SimulatorPort)[]] };

/** In the order of dependency; what is in one step does not need each other to become ready. */
const STEPS: readonly (readonly Service[])[] = [
  [
    { name: 'simulator', ports: ['SIMULATOR_HTTP_PORT', 'SIMULATOR_SMPP_PORT'] },
    { name: 'billing', ports: ['BILLING_HTTP_PORT', 'BILLING_GRPC_PORT'] },
  ],
  [
    { name: 'report', ports: ['REPORT_HTTP_PORT'] },
    { name: 'dispatcher', ports: ['DISPATCHER_HTTP_PORT'] },
    { name: 'gateway', ports: ['GATEWAY_HTTP_PORT'] },
  ],
];

const FIRST_RANK = 20;
/** A service ends within 15 s of its signal. */
const GRACE_MS = 17_000;
const READY_ANSWERS_WITHIN_MS = 2_000;

/** Throws a sentence per port that another program holds. */
export async function portsMustBeFree(settings: LocalSettings): Promise<void> {
  const wanted = STEPS.flat().flatMap(({ name, ports }) => ports.map((setting) => ({ name, setting })));
  const taken = await Promise.all(wanted.map(({ setting }) => isListening(settings.HOST, settings[setting])));
  const faults = wanted
    .filter((_, index) => taken[index])
    .map(({ name, setting }) => {
      const also = name === 'simulator' ? ' and name the same port in operator.json' : '';
      return `Port ${settings[setting]} (${name}) is taken by another program: end it, or set ${setting}${also}.`;
    });
  if (faults.length > 0) throw new Error(faults.join('\n'));
}

/**
 * For the runtime, not for the services. Bun's allocator gives freed pages back to the system within milliseconds and is given them
 * again, zeroed, at the next request: an eighth of a loaded service's CPU. -1 keeps them, so that a process stays as large as it has
 * been at most.
 */
export const RUNTIME_ENV: Readonly<Record<string, string>> = { MIMALLOC_PURGE_DELAY: '-1' };

/** Nobody who sends waits for the report: on a machine that is full a one-time password goes before its rows. */
export const turnOf = (service: string): Turn => (service === 'report' ? 'last' : 'among');

const inUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** The base URL of each service. */
export function serviceUrls(settings: LocalSettings): Record<string, string> {
  return Object.fromEntries(
    STEPS.flat().map(({ name, ports }) => [name, `http://${inUrl(settings.HOST)}:${settings[ports[0]]}`]),
  );
}

const isReady = (url: string): Promise<boolean> =>
  fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(READY_ANSWERS_WITHIN_MS) }).then(
    ({ status }) => status === 200,
    () => false,
  );

/** The environment of a service: ours, with every setting spelled out, paths absolute, and the services' own addresses. */
function serviceEnv(settings: LocalSettings): NodeJS.ProcessEnv {
  const values = Object.entries(settings).map(([name, value]) => [name, String(value)] as const);
  const { report, gateway } = serviceUrls(settings);
  const addresses = {
    BILLING_GRPC_URL: `${inUrl(settings.HOST)}:${settings.BILLING_GRPC_PORT}`,
    REPORT_URL: report,
    GATEWAY_URL: gateway,
  };
  return { ...RUNTIME_ENV, ...addresses, ...process.env, ...Object.fromEntries(values) };
}

type Context = { owner: PidRecord['owner']; say: (line: string) => void; signal: AbortSignal };

/**
 * Starts the simulator and the services, step by step, and waits until each is ready. Each is handed over as soon as it
 * runs, so that a later fault finds it to end it.
 * @throws the first fault, with the end of that service's log
 */
export async function startServices(
  settings: LocalSettings,
  { owner, say, signal }: Context,
  started: (service: LocalServer) => void,
): Promise<void> {
  const env = serviceEnv(settings);
  const urls = serviceUrls(settings);
  let rank = FIRST_RANK;
  const startOne = async (service: Service, ownRank: number, either: AbortSignal): Promise<LocalServer> => {
    const began = performance.now();
    const url = urls[service.name] as string;
    const server = await startServer({
      name: service.name,
      dir: settings.DATA_DIR,
      address: url,
      host: settings.HOST,
      port: settings[service.ports[0]],
      rank: ownRank,
      launch: {
        command: process.execPath,
        args: ['run', 'index.ts'],
        cwd: join(ROOT, service.name),
        env,
        turn: turnOf(service.name),
      },
      answers: () => isReady(url),
      stopSignal: 'SIGTERM',
      graceMs: GRACE_MS,
      readyWithinMs: settings.START_WAIT_S * 1_000,
      owner,
      signal: either,
    });
    started(server);
    say(`  ${service.name} is ready at ${url} after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
    return server;
  };
  for (const step of STEPS) {
    const starts = step.map((service) => {
      const ownRank = rank++;
      return (either: AbortSignal) => startOne(service, ownRank, either);
    });
    await allOrNone(signal, starts);
  }
}
