import { describe, expect, test } from 'bun:test';
import { fileOf, type Json, onlyOperator, operator, problemsOf, smppOperator } from './sample.ts';

const http = (changed: Json) => {
  const settings = onlyOperator(operator(changed));
  if (settings.connector !== 'http') throw new Error('not http');
  return settings.http;
};
const smpp = (changed: Json) => {
  const settings = onlyOperator(smppOperator(changed));
  if (settings.connector !== 'smpp') throw new Error('not smpp');
  return settings.smpp;
};

describe('overrides', () => {
  test('a single HTTP status goes before its hundred, in any order of the file', () => {
    const forwards = http({ status_overrides: { '5xx': 'transient', '504': 'unknown', '404': 'transient' } }).statuses;
    const backwards = http({ status_overrides: { '404': 'transient', '504': 'unknown', '5xx': 'transient' } }).statuses;
    for (const statuses of [forwards, backwards]) {
      expect(statuses['500']).toBe('transient');
      expect(statuses['599']).toBe('transient');
      expect(statuses['504']).toBe('unknown');
      expect(statuses['404']).toBe('transient');
      expect(statuses['400']).toBeUndefined();
      expect(Object.keys(statuses)).toHaveLength(101);
    }
  });

  test('an SMPP status is written in hex or in decimal, and looked up by its number', () => {
    expect(
      smpp({ status_overrides: { '0x14': 'throttled', 88: 'transient', '0X0000000b': 'unknown' } }).statuses,
    ).toEqual({
      20: 'throttled',
      88: 'transient',
      11: 'unknown',
    });
  });

  test('codes of the wrong network are numbers, or texts for hex', () => {
    expect(http({ wrong_network_codes: [421, '422'] }).wrongNetwork).toEqual([421, 422]);
    expect(smpp({ wrong_network_codes: ['0x44D', 11] }).wrongNetwork).toEqual([0x44d, 11]);
  });
});

const HTTP_STATUS = 'must be an HTTP status from 200 to 599';
const SMPP_STATUS = 'must be an SMPP command_status such as 0x14 or 20';

describe('what is refused', () => {
  for (const [settings, problem] of [
    [operator({ status_overrides: [] }), 'operators.A.status_overrides: must be an object'],
    [operator({ status_overrides: { 100: 'transient' } }), `operators.A.status_overrides.100: ${HTTP_STATUS}`],
    [operator({ status_overrides: { 600: 'transient' } }), `operators.A.status_overrides.600: ${HTTP_STATUS}`],
    [operator({ status_overrides: { '1xx': 'transient' } }), `operators.A.status_overrides.1xx: ${HTTP_STATUS}`],
    [operator({ status_overrides: { '0x14': 'transient' } }), `operators.A.status_overrides.0x14: ${HTTP_STATUS}`],
    [operator({ wrong_network_codes: [42] }), `operators.A.wrong_network_codes[0]: ${HTTP_STATUS}`],
    [operator({ wrong_network_codes: 421 }), 'operators.A.wrong_network_codes: must be a list'],
    [operator({ wrong_network_codes: [421, '421'] }), 'operators.A.wrong_network_codes[1]: is there twice'],
    [
      operator({ status_overrides: { 503: 'retry' } }),
      'operators.A.status_overrides.503: must be one of accepted, rejected, transient, throttled, unknown',
    ],
    [
      operator({ status_overrides: { '5xx': null } }),
      'operators.A.status_overrides.5xx: must be one of accepted, rejected, transient, throttled, unknown',
    ],
    [smppOperator({ status_overrides: { '5xx': 'transient' } }), `operators.A.status_overrides.5xx: ${SMPP_STATUS}`],
    [
      smppOperator({ status_overrides: { '0x100000000': 'transient' } }),
      `operators.A.status_overrides.0x100000000: ${SMPP_STATUS}`,
    ],
    [
      smppOperator({ status_overrides: { 4294967296: 'transient' } }),
      `operators.A.status_overrides.4294967296: ${SMPP_STATUS}`,
    ],
    [
      smppOperator({ status_overrides: { ESME_RTHROTTLED: 'transient' } }),
      `operators.A.status_overrides.ESME_RTHROTTLED: ${SMPP_STATUS}`,
    ],
    [
      smppOperator({ status_overrides: { 20: 'throttled', '0x14': 'transient' } }),
      'operators.A.status_overrides.0x14: is there twice, written in two ways',
    ],
    [smppOperator({ wrong_network_codes: [-1] }), `operators.A.wrong_network_codes[0]: ${SMPP_STATUS}`],
    [smppOperator({ wrong_network_codes: [1.5] }), `operators.A.wrong_network_codes[0]: ${SMPP_STATUS}`],
  ] as const) {
    test(problem, () => expect(problemsOf(fileOf({ A: settings }))).toEqual([problem]));
  }
});
