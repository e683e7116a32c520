import { expect, test } from 'bun:test';
import { readSettings } from '../../shared/config.ts';
import { SETTINGS } from '../../simulator/config.ts';

test('without variables the defaults hold', () => {
  expect(readSettings(SETTINGS, {})).toMatchObject({
    HOST: '127.0.0.1',
    SIMULATOR_HTTP_PORT: 2780,
    SIMULATOR_SMPP_PORT: 2775,
    SIMULATOR_ACCOUNTS: { mci: 'mci', mtn: 'mtn', rightel: 'rightel' },
    SIMULATOR_RECORDS_MAX: 200_000,
    SIMULATOR_DIALS: {},
  });
});

test('every problem is named at once', () => {
  const env = {
    SIMULATOR_ACCOUNTS: 'mci',
    SIMULATOR_DIALS: '{"MCI":{"latency_ms":-1}}',
    SIMULATOR_HTTP_PORT: '70000',
    SIMULATOR_RECORDS_MAX: 'many',
    HOST: '0.0.0.0',
  };
  for (const name of Object.keys(env)) expect(() => readSettings(SETTINGS, env)).toThrow(name);
  for (const bad of ['control:x', 'a:123456789', 'averylongsystemid:x', ':x']) {
    expect(() => readSettings(SETTINGS, { SIMULATOR_ACCOUNTS: bad })).toThrow('SIMULATOR_ACCOUNTS');
  }
  for (const bad of ['{', '[]', '{"*":{"nothing":1}}']) {
    expect(() => readSettings(SETTINGS, { SIMULATOR_DIALS: bad })).toThrow('SIMULATOR_DIALS');
  }
});
