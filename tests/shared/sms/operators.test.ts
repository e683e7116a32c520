import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readJsonFile } from '../../../shared/json-file.ts';
import { parseOperators } from '../../../shared/sms/operators.ts';
import { fileOf, HTTP, type Json, onlyOperator, operator, problemsOf, SMPP, smppOperator } from './sample.ts';

describe('what a file may leave out', () => {
  test('an HTTP operator with nothing but its prefixes and its URL has every default', () => {
    expect(onlyOperator(operator())).toEqual({
      name: 'A',
      prefixes: ['912'],
      connector: 'http',
      slot: 0,
      tps: 0,
      fallback: [],
      onUnknown: { express: 'wait', normal: 'wait' },
      unknownWaitMs: 120_000,
      expressShare: 0.2,
      breaker: { failures: 5, openMs: 10_000, halfOpenProbes: 3 },
      http: {
        url: 'http://127.0.0.1:2780/x',
        method: 'POST',
        headers: {},
        body: '{"message_id":"{message_id}","to":"{to}","from":"{from}","text":"{text}","encoding":"{encoding}"}',
        idPath: 'id',
        timeoutMs: 5_000,
        windowSize: 64,
        statuses: {},
        wrongNetwork: [],
      },
    });
  });

  test('an SMPP operator with nothing but its address and login has every default', () => {
    const settings = onlyOperator(smppOperator());
    expect(settings.connector === 'smpp' && settings.smpp).toEqual({
      host: '127.0.0.1',
      port: 2775,
      systemId: 'x',
      password: 'x',
      systemType: '',
      addressRange: '',
      bind: 'transceiver',
      binds: 1,
      windowSize: 100,
      tls: null,
      sourceAddress: {},
      sourceTon: null,
      sourceNpi: null,
      destTon: 1,
      destNpi: 1,
      destFormat: 'digits',
      serviceType: '',
      registeredDelivery: 1,
      validityPeriodMs: { express: 0, normal: 0 },
      priority: { express: 1, normal: 0 },
      defaultAlphabet: 'gsm7',
      longMessage: 'udh8',
      enquireLinkMs: 30_000,
      connectTimeoutMs: 5_000,
      responseTimeoutMs: 10_000,
      reconnect: { minMs: 500, maxMs: 30_000 },
      receiptId: { response: 'as_is', receipt: 'as_is' },
      statuses: {},
      wrongNetwork: [],
    });
  });

  test('the contract of the first design is read as it stands', () => {
    expect(
      problemsOf({
        operators: {
          MCI: {
            prefixes: ['910', '919', '990'],
            connector: 'smpp',
            tps: 0,
            fallback: [],
            on_unknown: 'wait',
            unknown_wait_s: 120,
            smpp: { host: '127.0.0.1', port: 2775, system_id: 'mci', password: 'mci', binds: 1, window: 100 },
          },
          MTN: {
            prefixes: ['901', '935'],
            connector: 'http',
            http: { url: 'http://127.0.0.1:2780/mtn', timeout_ms: 5000, window: 64 },
          },
          Rightel: { prefixes: ['920'], connector: 'http', http: { url: 'http://127.0.0.1:2780/rightel' } },
        },
        ported_numbers: { '+989121234567': 'MTN' },
      }),
    ).toEqual([]);
  });
});

describe('units', () => {
  test('seconds of the file are milliseconds inside', () => {
    const settings = onlyOperator(operator({ unknown_wait_s: 7, breaker: { failures: 2, open_s: 3 } }));
    expect(settings.unknownWaitMs).toBe(7_000);
    expect(settings.breaker).toEqual({ failures: 2, openMs: 3_000, halfOpenProbes: 3 });
  });

  test('on_unknown is one word for both lanes, or one by lane', () => {
    expect(onlyOperator(operator({ on_unknown: 'resend' })).onUnknown).toEqual({ express: 'resend', normal: 'resend' });
    expect(onlyOperator(operator({ on_unknown: { express: 'resend' } })).onUnknown).toEqual({
      express: 'resend',
      normal: 'wait',
    });
  });
});

const twoOf = (a: Json, b: Json): Json => fileOf({ A: operator(a), B: operator({ prefixes: ['935'], ...b }) });

/** The file, and the only problem there is. */
const REFUSED: readonly (readonly [string, unknown, string])[] = [
  ['no object', [], 'must be an object'],
  ['null', null, 'must be an object'],
  ['a text', 'operators', 'must be an object'],
  ['no operators', {}, 'operators: is missing'],
  ['an empty table', { operators: {} }, 'operators: must name at least one operator'],
  ['a list of operators', { operators: [] }, 'operators: must be an object'],
  ['an unknown setting at the top', fileOf({ A: operator() }, { operator: {} }), 'operator: unknown setting'],
  ['an operator that is no object', fileOf({ A: 'http' }), 'operators.A: must be an object'],
  [
    'a name of digits',
    fileOf({ 1: operator() }),
    'operators.1: must be a letter, then up to 31 letters, digits, _ or -',
  ],
  [
    'a name that is no word',
    fileOf({ 'M C I': operator() }),
    'operators."M C I": must be a letter, then up to 31 letters, digits, _ or -',
  ],
  [
    'too many operators',
    fileOf(Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`A${at}`, operator({ prefixes: [] })]))),
    'operators: must have at most 64 entries',
  ],
  ['an unknown setting', fileOf({ A: operator({ tsp: 1 }) }), 'operators.A.tsp: unknown setting'],
  ['no connector', fileOf({ A: operator({ connector: undefined }) }), 'operators.A.connector: is missing'],
  [
    'another connector',
    fileOf({ A: operator({ connector: 'ss7' }) }),
    'operators.A.connector: must be one of smpp, http',
  ],
  ['no prefixes', fileOf({ A: operator({ prefixes: undefined }) }), 'operators.A.prefixes: is missing'],
  ['prefixes that are no list', fileOf({ A: operator({ prefixes: '912' }) }), 'operators.A.prefixes: must be a list'],
  ...['91', '912345', '0912', '812', '9a2', '', '۹۱۲', '+98912', 912, null].map(
    (prefix) =>
      [
        `the prefix ${JSON.stringify(prefix)}`,
        fileOf({ A: operator({ prefixes: ['910', prefix] }) }),
        'operators.A.prefixes[1]: must be 3 to 5 digits that start with 9 (a number without its leading 0)',
      ] as const,
  ),
  ['a prefix twice', fileOf({ A: operator({ prefixes: ['912', '912'] }) }), 'operators.A.prefixes[1]: is there twice'],
  ["another operator's prefix", twoOf({}, { prefixes: ['912'] }), 'operators.B.prefixes: 912 belongs to A already'],
  [
    'a negative rate',
    fileOf({ A: operator({ tps: -1 }) }),
    'operators.A.tps: must be a whole number from 0 to 1000000',
  ],
  ['half a submit', fileOf({ A: operator({ tps: 0.5 }) }), 'operators.A.tps: must be a whole number from 0 to 1000000'],
  [
    'a rate as text',
    fileOf({ A: operator({ tps: '50' }) }),
    'operators.A.tps: must be a whole number from 0 to 1000000',
  ],
  [
    'a rate that is null',
    fileOf({ A: operator({ tps: null }) }),
    'operators.A.tps: must be a whole number from 0 to 1000000',
  ],
  ['a fifth slot', fileOf({ A: operator({ slot: 4 }) }), 'operators.A.slot: must be a whole number from 0 to 3'],
  ['a fallback that is no list', fileOf({ A: operator({ fallback: 'B' }) }), 'operators.A.fallback: must be a list'],
  ['an unknown fallback', twoOf({ fallback: ['B', 'C'] }, {}), 'operators.A.fallback[1]: there is no such operator'],
  [
    'itself as a fallback',
    twoOf({}, { fallback: ['A', 'B'] }),
    'operators.B.fallback[1]: an operator cannot stand in for itself',
  ],
  ['a fallback twice', twoOf({ fallback: ['B', 'B'] }, {}), 'operators.A.fallback[1]: is there twice'],
  [
    'another word for unknown',
    fileOf({ A: operator({ on_unknown: 'retry' }) }),
    'operators.A.on_unknown: must be one of wait, resend',
  ],
  [
    'a lane that does not exist',
    fileOf({ A: operator({ on_unknown: { bulk: 'wait' } }) }),
    'operators.A.on_unknown.bulk: unknown setting',
  ],
  [
    'another word for one lane',
    fileOf({ A: operator({ on_unknown: { express: true } }) }),
    'operators.A.on_unknown.express: must be one of wait, resend',
  ],
  [
    'no wait for unknowns',
    fileOf({ A: operator({ unknown_wait_s: 0 }) }),
    'operators.A.unknown_wait_s: must be a whole number from 1 to 86400',
  ],
  [
    'everything kept for express',
    fileOf({ A: operator({ express_share: 1 }) }),
    'operators.A.express_share: must be a number from 0 to 0.9',
  ],
  [
    'a share as text',
    fileOf({ A: operator({ express_share: '0.2' }) }),
    'operators.A.express_share: must be a number from 0 to 0.9',
  ],
  ['a breaker that is no object', fileOf({ A: operator({ breaker: 5 }) }), 'operators.A.breaker: must be an object'],
  [
    'a breaker that opens at once',
    fileOf({ A: operator({ breaker: { failures: 0 } }) }),
    'operators.A.breaker.failures: must be a whole number from 1 to 1000',
  ],
  [
    'a breaker that never rests',
    fileOf({ A: operator({ breaker: { open_s: 0 } }) }),
    'operators.A.breaker.open_s: must be a whole number from 1 to 3600',
  ],
  [
    'no probes',
    fileOf({ A: operator({ breaker: { half_open_probes: 0 } }) }),
    'operators.A.breaker.half_open_probes: must be a whole number from 1 to 100',
  ],
  [
    'an unknown setting of the breaker',
    fileOf({ A: operator({ breaker: { open_ms: 10 } }) }),
    'operators.A.breaker.open_ms: unknown setting',
  ],
  ['no section of the connector', fileOf({ A: operator({ http: undefined }) }), 'operators.A.http: is missing'],
  [
    'the section of the other connector alone',
    fileOf({ A: operator({ http: undefined, smpp: SMPP }) }),
    'operators.A.http: is missing',
  ],
  [
    'a problem in the section that is not in use',
    fileOf({ A: operator({ smpp: { ...SMPP, port: 0 } }) }),
    'operators.A.smpp.port: must be a whole number from 1 to 65535',
  ],
  ['ported numbers as a list', fileOf({ A: operator() }, { ported_numbers: [] }), 'ported_numbers: must be an object'],
  [
    'a ported number that is none',
    fileOf({ A: operator() }, { ported_numbers: { '09121234567': 'A', '02112345678': 'A' } }),
    'ported_numbers[1]: the number is not an Iranian mobile number',
  ],
  [
    'a ported number in two forms',
    fileOf({ A: operator() }, { ported_numbers: { '09121234567': 'A', '+98 912 123 4567': 'A' } }),
    'ported_numbers[1]: the number is there twice',
  ],
  [
    'a ported number of nobody',
    fileOf({ A: operator() }, { ported_numbers: { '09121234567': 'B' } }),
    'ported_numbers[0]: there is no such operator',
  ],
];

describe('what is refused, with its place', () => {
  for (const [what, json, problem] of REFUSED) test(what, () => expect(problemsOf(json)).toEqual([problem]));

  test('a setting that was misspelt deep inside', () => {
    const file = fileOf({ MCI: operator({ http: { ...HTTP, windw: 10 } }) });
    expect(problemsOf(file)).toEqual(['operators.MCI.http.windw: unknown setting']);
  });
});

test('every problem is named at once', () => {
  const file = fileOf(
    {
      A: { prefixes: ['91'], connector: 'http', tps: -1, http: { url: 'ftp://x', window: 0 } },
      B: smppOperator({ prefixes: ['935'], fallback: ['C'], smpp: { host: 'x y', port: 2775 } }),
    },
    { ported: {} },
  );
  expect(problemsOf(file)).toEqual([
    'operators.A.prefixes[0]: must be 3 to 5 digits that start with 9 (a number without its leading 0)',
    'operators.A.tps: must be a whole number from 0 to 1000000',
    'operators.A.http.url: must be an http or https URL without blanks or a fragment',
    'operators.A.http.window: must be a whole number from 1 to 10000',
    'operators.B.smpp.host: must be a host name or an address',
    'operators.B.smpp.system_id: is missing',
    'operators.B.smpp.password: is missing',
    'ported: unknown setting',
    'operators.B.fallback[0]: there is no such operator',
  ]);
});

test('a million problems are a hundred lines and a count', () => {
  const prefixes = Array.from({ length: 5_000 }, () => 'x');
  const problems = problemsOf(fileOf({ A: operator({ prefixes }) }));
  expect(problems).toHaveLength(101);
  expect(problems.at(-1)).toBe('and 4900 more');
});

describe('slots', () => {
  const slotsOf = (...wanted: (number | undefined)[]): (number | undefined)[] => {
    const operators = wanted.map((slot, at) => [`A${at}`, operator({ prefixes: [`9${10 + at}`], slot })] as const);
    const result = parseOperators(fileOf(Object.fromEntries(operators)));
    return result.ok ? result.file.operators.map((each) => each.slot) : [];
  };

  test('the first four operators are alone in theirs, in the order of the file', () =>
    expect(slotsOf(undefined, undefined, undefined, undefined)).toEqual([0, 1, 2, 3]));

  test('a fifth and sixth share with the first and second', () =>
    expect(slotsOf(...Array<undefined>(6).fill(undefined))).toEqual([0, 1, 2, 3, 0, 1]));

  test('who names none keeps away from who does', () => {
    expect(slotsOf(undefined, 0)).toEqual([1, 0]);
    expect(slotsOf(2, undefined, 0, undefined)).toEqual([2, 1, 0, 3]);
  });

  test('two operators may share one by name', () => expect(slotsOf(1, 1, undefined)).toEqual([1, 1, 0]));
});

describe('secrets', () => {
  const secretive = smppOperator({
    smpp: { ...SMPP, system_id: { env: 'MCI_USER' }, password: { env: 'MCI_PASSWORD' } },
  });

  test('they come from the environment', () => {
    const settings = onlyOperator(secretive, { MCI_USER: 'acme', MCI_PASSWORD: 's3cret' });
    expect(settings.connector === 'smpp' && [settings.smpp.systemId, settings.smpp.password]).toEqual([
      'acme',
      's3cret',
    ]);
  });

  test('an absent one is named, an empty one counts as absent', () => {
    expect(problemsOf(fileOf({ MCI: secretive }), { MCI_USER: '' })).toEqual([
      'operators.MCI.smpp.system_id: the environment variable MCI_USER is not set',
      'operators.MCI.smpp.password: the environment variable MCI_PASSWORD is not set',
    ]);
  });

  test('a bad one is refused and not repeated', () => {
    const [problem, ...more] = problemsOf(fileOf({ MCI: secretive }), { MCI_USER: 'acme', MCI_PASSWORD: 'رمز-secret' });
    expect(more).toEqual([]);
    expect(problem).toBe('operators.MCI.smpp.password: must be 0 to 64 printable ASCII characters');
  });

  test('who only routes needs none of them', () => {
    expect(problemsOf(fileOf({ MCI: secretive }), null)).toEqual([]);
    const url = fileOf({
      A: operator({ http: { url: { env: 'URL_WITH_KEY' }, headers: { 'X-Key': { env: 'KEY' } } } }),
    });
    expect(problemsOf(url, null)).toEqual([]);
    expect(problemsOf(url, {})).toHaveLength(2);
  });

  test('the name of a variable is a name', () => {
    for (const [env, path] of [
      ['A B', '.env: must be the name of an environment variable'],
      [7, '.env: must be the name of an environment variable'],
    ]) {
      const file = fileOf({ A: smppOperator({ smpp: { ...SMPP, password: { env } } }) });
      expect(problemsOf(file, {})).toEqual([`operators.A.smpp.password${path}`]);
    }
    const file = fileOf({ A: smppOperator({ smpp: { ...SMPP, password: { env: 'X', or: 'y' } } }) });
    expect(problemsOf(file, { X: 'x' })).toEqual(['operators.A.smpp.password.or: unknown setting']);
  });
});

describe('names that objects have of their own', () => {
  test('are refused or carried like any other', () => {
    const file = JSON.parse(
      '{"operators":{"__proto__":{},"constructor":{"prefixes":["912"],"connector":"http","toString":1}}}',
    );
    const problems = problemsOf(file);
    expect(problems).toContain('operators.__proto__: must be a letter, then up to 31 letters, digits, _ or -');
    expect(problems).toContain('operators.constructor.toString: unknown setting');
    expect(problems).toContain('operators.constructor.http: is missing');
  });

  test('an operator may not fall back on them', () => {
    expect(problemsOf(fileOf({ A: operator({ fallback: ['constructor'] }) }))).toEqual([
      'operators.A.fallback[0]: there is no such operator',
    ]);
  });
});

describe('whatever JSON it is', () => {
  const names = fc.constantFrom(
    ...[
      'operators',
      'ported_numbers',
      'A',
      'B',
      'prefixes',
      'connector',
      'http',
      'smpp',
      'url',
      'body',
      'headers',
      'env',
    ],
    ...['on_unknown', 'express', 'breaker', 'status_overrides', 'wrong_network_codes', 'fallback', 'tls', 'reconnect'],
    ...['receipt_id', '__proto__', 'constructor', '09121234567'],
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      fc.oneof(
        fc.constantFrom('http', 'smpp', '912', 'A', 'wait', 'http://h/{to}{text}', '{bad}'),
        fc.string(),
        fc.double(),
      ),
      fc.constantFrom(null, true, false, 0, 1, 5e9),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(names, tie('value'), { maxKeys: 8 }),
    ),
  }));

  test('it is an answer and no exception', () => {
    fc.assert(
      fc.property(fc.oneof(value, fc.jsonValue()), (json) => {
        const result = parseOperators(json, {});
        if (!result.ok) expect(result.problems.length).toBeGreaterThan(0);
      }),
      { numRuns: 1_000 },
    );
  });

  test('nor inside an operator that is otherwise good', () => {
    fc.assert(
      fc.property(value, names, value, names, (a, inOperator, b, inSection) => {
        const file = fileOf({
          A: operator({ http: { ...HTTP, [inSection]: b }, [inOperator]: a }),
          B: smppOperator({ prefixes: ['935'], smpp: { ...SMPP, [inSection]: b } }),
        });
        const result = parseOperators(file, {});
        if (result.ok) expect(result.file.operators).toHaveLength(2);
        else expect(result.problems.length).toBeGreaterThan(0);
      }),
      { numRuns: 1_000 },
    );
  });

  test('a body of ten thousand levels is refused', () => {
    let body: unknown = '{to}{text}';
    for (let level = 0; level < 10_000; level++) body = { inside: body };
    expect(problemsOf(fileOf({ A: operator({ http: { ...HTTP, body } }) }))[0]).toContain(
      'must be at most 8 levels deep',
    );
  });
});

describe('reading the file', () => {
  const within = <T>(use: (folder: string) => T): T => {
    const folder = mkdtempSync(join(tmpdir(), 'operators-'));
    try {
      return use(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  test('what cannot be read is one sentence with the name of the file', () => {
    within((folder) => {
      const path = join(folder, 'operator.json');
      expect(readJsonFile(path)).toEqual({ ok: false, problems: [`${path} does not exist`] });
      expect(readJsonFile(folder)).toEqual({ ok: false, problems: [`${folder} cannot be read (EISDIR)`] });
      writeFileSync(path, Buffer.from([0x7b, 0xff, 0x7d]));
      expect(readJsonFile(path)).toEqual({ ok: false, problems: [`${path} is not UTF-8`] });
      writeFileSync(path, '{"operators": {');
      const broken = readJsonFile(path);
      expect(broken.ok).toBe(false);
      if (!broken.ok) expect(broken.problems).toEqual([expect.stringMatching(/operator\.json is not JSON: ./)]);
    });
  });

  test('a good one is read, also with the byte order mark that some editors write', () => {
    within((folder) => {
      const path = join(folder, 'operator.json');
      writeFileSync(path, `\ufeff${JSON.stringify(fileOf({ A: operator() }))}`);
      expect(readJsonFile(path).ok).toBe(true);
    });
  });
});
