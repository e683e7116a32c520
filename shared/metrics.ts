/** Prometheus metrics: names are `jsms_<service>_<noun>_<unit>`. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

/** Latency buckets in seconds, from half a millisecond to thirty seconds. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(service: string) {
  const registry = new Registry();
  const name = (noun: string): string => `jsms_${service}_${noun}`;
  const cpu = new Gauge({
    name: name('cpu_seconds'),
    help: 'CPU time of this process since its start',
    registers: [registry],
    collect() {
      const used = process.cpuUsage();
      cpu.set((used.user + used.system) / 1e6);
    },
  });
  const memory = new Gauge({
    name: name('resident_memory_bytes'),
    help: 'resident memory of this process',
    registers: [registry],
    collect() {
      memory.set(process.memoryUsage().rss);
    },
  });
  const described = <L extends string>(noun: string, help: string, labelNames: readonly L[]) => ({
    name: name(noun),
    help,
    labelNames: [...labelNames],
    registers: [registry],
  });
  return {
    counter: <L extends string>(
      noun: string,
      help: string,
      labelNames: readonly L[] = [],
      collect?: (counter: Counter<L>) => void,
    ): Counter<L> => {
      const counter: Counter<L> = new Counter({
        ...described(noun, help, labelNames),
        collect() {
          collect?.(counter);
        },
      });
      return counter;
    },
    gauge: <L extends string>(
      noun: string,
      help: string,
      labelNames: readonly L[] = [],
      collect?: (gauge: Gauge<L>) => void,
    ): Gauge<L> => {
      const gauge: Gauge<L> = new Gauge({
        ...described(noun, help, labelNames),
        collect() {
          collect?.(gauge);
        },
      });
      return gauge;
    },
    histogram: <L extends string>(
      noun: string,
      help: string,
      labelNames: readonly L[] = [],
      buckets: number[] = SECONDS,
    ): Histogram<L> => new Histogram({ ...described(noun, help, labelNames), buckets }),
    text: (): Promise<string> => registry.metrics(),
    contentType: registry.contentType,
  };
}
