import { expect, test } from 'bun:test';
import { COMMON, type ConfigError, choice, integer, readSettings, text } from '../../shared/config.ts';

const settings = {
  ...COMMON,
  PORT: integer(8080, 1, 65_535, 'a port'),
  MODE: choice('calm', ['calm', 'wild'], 'a mode'),
  NAME: text('jsms', 'a name'),
} as const;

const problemsOf = (env: Record<string, string>): readonly string[] => {
  try {
    readSettings(settings, env);
    return [];
  } catch (thrown) {
    return (thrown as ConfigError).problems;
  }
};

test('settings have their defaults, and an empty variable counts as unset', () => {
  const values = readSettings(settings, { PORT: '', NAME: 'other' });
  expect({ port: values.PORT, mode: values.MODE, name: values.NAME, host: values.HOST }).toEqual({
    port: 8080,
    mode: 'calm',
    name: 'other',
    host: '127.0.0.1',
  });
});

test('every problem is named at once', () => {
  expect(problemsOf({ PORT: '0', MODE: 'odd', LOG_LEVEL: 'loud' })).toHaveLength(3);
});

test.each(['1.5', '1e3', '0x10', '-1', '99999', 'NaN', ' 1'])('a port of %p is refused', (PORT) => {
  expect(problemsOf({ PORT })).toHaveLength(1);
});

test.each(['0.0.0.0', '::', '192.168.1.5', 'example.org'])(
  'HOST=%s is refused while nobody has to show a key',
  (HOST) => {
    expect(problemsOf({ HOST })[0]).toContain('HOST');
  },
);
