import { describe, expect, test } from 'bun:test';
import { compileTemplate, escapeJson } from '../../../dispatcher/connectors/body-template.ts';
import { PLACEHOLDERS } from '../../../shared/sms/operator-http.ts';
import { fileOf, HTTP, type Json, onlyOperator, operator, problemsOf } from './sample.ts';

const http = (changed: Json, env: Readonly<Record<string, string>> = {}) => {
  const settings = onlyOperator(operator({ http: { ...HTTP, ...changed } }), env);
  if (settings.connector !== 'http') throw new Error('not http');
  return settings.http;
};
const problems = (changed: Json, env: Readonly<Record<string, string>> = {}): string[] =>
  problemsOf(fileOf({ A: operator({ http: { ...HTTP, ...changed } }) }), env);

test('what the file calls a placeholder, the connector fills in', () => {
  const values = { message_id: '1', to: '2', from: '3', text: '4', encoding: '5', pages: '6', attempt: '7', lane: '8' };
  const filled = compileTemplate(PLACEHOLDERS.map((name) => `{${name}}`).join(), escapeJson)(values);
  expect(filled).toBe('1,2,3,4,5,6,7,8');
});

describe('the body', () => {
  test('as an object it is JSON, with its secrets in place', () => {
    const body = {
      login: { secret: { env: 'KEY' } },
      to: ['{to}'],
      text: '{text}',
      line: 3000,
      flash: false,
      none: null,
    };
    expect(http({ body }, { KEY: 'a"b' }).body).toBe(
      '{"login":{"secret":"a\\"b"},"to":["{to}"],"text":"{text}","line":3000,"flash":false,"none":null}',
    );
  });

  test('as a text it stays as it is', () => {
    expect(http({ body: 'to={to}&text={text}' }).body).toBe('to={to}&text={text}');
  });

  test('GET has none and carries the message in its URL', () => {
    const settings = http({ method: 'GET', url: 'http://h/send?to={to}&text={text}' });
    expect(settings.body).toBeNull();
    expect(settings.url).toBe('http://h/send?to={to}&text={text}');
  });
});

test('headers and their secrets', () => {
  expect(http({ headers: { 'X-Key': { env: 'KEY' }, accept: '*/*' } }, { KEY: 'k' }).headers).toEqual({
    'X-Key': 'k',
    accept: '*/*',
  });
});

const URL_PROBLEM = 'url: must be an http or https URL without blanks or a fragment';
const KNOWN = 'known are {message_id} {to} {from} {text} {encoding} {pages} {attempt} {lane}';

describe('what is refused', () => {
  for (const [changed, ...expected] of [
    [{ url: undefined }, URL_PROBLEM],
    [{ url: 'ftp://h/' }, URL_PROBLEM],
    [{ url: '/send' }, URL_PROBLEM],
    [{ url: 'http://' }, URL_PROBLEM],
    [{ url: 'http://h/a b' }, URL_PROBLEM],
    [{ url: 'http://h/#x' }, URL_PROBLEM],
    [{ url: 'http://{to}/' }, URL_PROBLEM],
    [{ url: 'http://h:99999/' }, URL_PROBLEM],
    [{ url: 'http://h/\r\nX: y' }, URL_PROBLEM],
    [{ url: `http://h/${'a'.repeat(2048)}` }, URL_PROBLEM],
    [{ url: 'http://h/{phone}' }, `url: {phone} is no placeholder; ${KNOWN}`],
    [{ method: 'get' }, 'method: must be one of POST, PUT, PATCH, GET'],
    [{ method: 'GET' }, ': neither the url nor the body carries {to}', ': neither the url nor the body carries {text}'],
    [{ method: 'GET', url: 'http://h/{to}/{text}', body: 'x' }, 'body: GET sends none; use the url'],
    [{ body: { to: '{to}' } }, ': neither the url nor the body carries {text}'],
    [
      { body: { to: '{to}', text: '{txt}' } },
      `body.text: {txt} is no placeholder; ${KNOWN}`,
      ': neither the url nor the body carries {text}',
    ],
    [{ body: '{to}{text}{ref}' }, `body: {ref} is no placeholder; ${KNOWN}`],
    [{ body: 7 }, 'body: must be an object or a text'],
    [{ body: null }, 'body: must be an object or a text'],
    [{ body: '' }, 'body: must not be empty'],
    [{ body: `{to}{text}${' '.repeat(16_384)}` }, 'body: must be shorter than 16384 characters'],
    [
      { body: { to: '{to}', text: '{text}', key: { env: 'MISSING' } } },
      'body.key: the environment variable MISSING is not set',
    ],
    [
      { body: { to: '{to}', text: '{text}', key: { env: 'TRAP' } } },
      'body.key: the secret must not contain a placeholder',
    ],
    [{ headers: [] }, 'headers: must be an object'],
    [{ headers: { 'X Y': '1' } }, 'headers."X Y": is not the name of a header'],
    [{ headers: { Host: 'h' } }, 'headers.Host: is written by the connector itself'],
    [{ headers: { 'content-length': '1' } }, 'headers.content-length: is written by the connector itself'],
    [{ headers: { 'X-A': '1', 'x-a': '2' } }, 'headers.x-a: is there twice'],
    [{ headers: { 'X-A': 'a\r\nX-B: b' } }, 'headers.X-A: must be printable ASCII on one line'],
    [{ headers: { 'X-A': 'سلام' } }, 'headers.X-A: must be printable ASCII on one line'],
    [{ headers: { 'X-A': 1 } }, 'headers.X-A: must be printable ASCII on one line'],
    [{ headers: { 'X-A': '{to}' } }, 'headers.X-A: placeholders are filled in the url and the body alone'],
    [
      { headers: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`X-${at}`, ''])) },
      'headers: must have at most 32 entries',
    ],
    [{ id_path: '' }, 'id_path: must be names joined by dots, such as messages.0.id'],
    [{ id_path: 'a..b' }, 'id_path: must be names joined by dots, such as messages.0.id'],
    [{ id_path: ['id'] }, 'id_path: must be names joined by dots, such as messages.0.id'],
    [{ timeout_ms: 99 }, 'timeout_ms: must be a whole number from 100 to 120000'],
    [{ timeout_ms: 120_001 }, 'timeout_ms: must be a whole number from 100 to 120000'],
    [{ window: 0 }, 'window: must be a whole number from 1 to 10000'],
    [{ window: 1.5 }, 'window: must be a whole number from 1 to 10000'],
    [{ timeout: 5 }, 'timeout: unknown setting'],
  ] as const) {
    test(`${JSON.stringify(changed).slice(0, 60)}: ${expected[0]}`, () => {
      const paths = expected.map((each) =>
        each.startsWith(':') ? `operators.A.http${each}` : `operators.A.http.${each}`,
      );
      expect(problems(changed, { TRAP: 'a{text}b' })).toEqual(paths);
    });
  }

  test('no section at all', () => {
    expect(problemsOf(fileOf({ A: operator({ http: {} }) }))).toEqual(['operators.A.http.url: is missing']);
    expect(problemsOf(fileOf({ A: operator({ http: 'x' }) }))).toEqual(['operators.A.http: must be an object']);
  });
});
