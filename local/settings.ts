/** The settings of `up`, `infra`, `down` and `test`; docs/CONFIG.md describes them. */
import { COMMON, integer, port, readSettings, text, type Values } from '../shared/config.ts';
import { fromRoot } from './places.ts';

export const LOCAL = {
  ...COMMON,
  KAFKA_BROKERS: text('127.0.0.1:9092', 'the addresses of the Kafka brokers, separated by commas'),
  REDIS_URL: text('redis://127.0.0.1:6379', 'the address of Redis'),
  DATABASE_URL: text('postgres://jsms:jsms@127.0.0.1:5432/jsms', 'the address of PostgreSQL, with login and database'),
  BILLING_HTTP_PORT: port(8081, "billing's HTTP port"),
  BILLING_GRPC_PORT: port(50051, "billing's gRPC port"),
  GATEWAY_HTTP_PORT: port(7070, "the gateway's HTTP port"),
  DISPATCHER_HTTP_PORT: port(9070, "the dispatcher's HTTP port"),
  REPORT_HTTP_PORT: port(6070, "the report's HTTP port"),
  SIMULATOR_HTTP_PORT: port(2780, "the simulator's HTTP port"),
  SIMULATOR_SMPP_PORT: port(2775, "the simulator's SMPP port"),
  OPERATORS_FILE: text('operator.json', 'the operators, their prefixes and connectors'),
  DATA_DIR: text('.data', 'the folder of the data, logs and pid files of what `up` and `infra` start'),
  LOCAL_KAFKA_HEAP_MB: integer(512, 128, 65_536, 'the largest heap of the Kafka that `up` starts, MB'),
  LOCAL_REDIS_MAXMEMORY: text('0', 'the memory limit of the Redis that `up` starts (0: none), e.g. 512mb'),
  LOCAL_POSTGRES_BIN: text(
    '',
    "the folder of PostgreSQL's programs for `up`; empty: the npm package's, else the machine's",
  ),
  START_WAIT_S: integer(120, 5, 3600, 'how long `up` waits for a server or a service to become ready, seconds'),
} as const;

export type LocalSettings = Values<typeof LOCAL>;

/** Reads the settings, with paths made absolute. Throws one ConfigError that names every problem. */
export function readLocalSettings(env: Readonly<Record<string, string | undefined>>): LocalSettings {
  const settings = readSettings(LOCAL, env);
  return {
    ...settings,
    DATA_DIR: fromRoot(settings.DATA_DIR),
    OPERATORS_FILE: fromRoot(settings.OPERATORS_FILE),
    LOCAL_POSTGRES_BIN: settings.LOCAL_POSTGRES_BIN && fromRoot(settings.LOCAL_POSTGRES_BIN),
  };
}
