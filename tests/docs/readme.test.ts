/** README.md and README.fa.md name the calls, commands, routes and settings that there are. */
import { describe, expect, test } from 'bun:test';
import { billingDoor } from '../../billing/http.ts';
import { dispatcherDoor } from '../../dispatcher/http.ts';
import { gatewayDoor } from '../../gateway/http.ts';
import { reportDoor } from '../../report/http.ts';
import { createLog } from '../../shared/log.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { codeOf, documents, quotedIn, readDocument, tablesOf } from './markdown.ts';

/** The three calls of the first README of this system: they are a contract, letter by letter. */
const CALLS = [
  `curl --request POST \\
  --url 'http://localhost:8081/charge/123?amount=123456'`,
  `curl --request POST \\
  --url http://localhost:7070/send \\
  --header 'Content-Type: application/json' \\
  --data '{
    "phone": "09121234567",
    "text": "کد تایید: 1234",
    "type": "express",
    "user_id": "123"
  }'`,
  `curl --request GET \\
  --url http://localhost:6070/report/123`,
];

const READMES = ['README.md', 'README.fa.md'] as const;

/** A service's routes, from its door as it is built; nothing behind it is called. */
function routesOf(service: string, door: unknown): string[] {
  const options = {
    service,
    title: service,
    description: '',
    log: createLog(service, 'error'),
    metrics: createMetrics(service),
    health: () => ({ ready: true, checks: {} }),
  };
  const { routes } = (door as (...parts: unknown[]) => { routes: { method: string; path: string }[] })(options, {}, {});
  return routes.map(({ method, path }) => `${method} ${path}`);
}
const DOORS = { billing: billingDoor, gateway: gatewayDoor, dispatcher: dispatcherDoor, report: reportDoor };
/** The page's own files and the plugin's page, which is not served. */
const HIDDEN = ['GET /swagger/:file', 'GET /swagger/plugin'];
const ROUTES = Object.entries(DOORS).flatMap(([service, door]) =>
  routesOf(service, door).flatMap((route) => (HIDDEN.includes(route) ? [] : [`${service} ${route}`])),
);

const COLUMNS = {
  'README.md': { call: 'Call', service: 'Service', all: 'all', setting: 'Variable', fallback: 'Default' },
  'README.fa.md': { call: 'فراخوانی', service: 'سرویس', all: 'همه', setting: 'متغیر', fallback: 'مقدار پیش‌فرض' },
} as const;

for (const readme of READMES) {
  const text = readDocument(readme);
  const columns = COLUMNS[readme];
  const rows = tablesOf(text).flat();

  describe(readme, () => {
    test("its three curl calls are the original's, in its order", () => {
      const curls = codeOf(text).filter((code) => code.startsWith('curl '));
      expect(curls.map((code) => code.trimEnd())).toEqual(CALLS);
    });

    test('its table of calls has every route of every service, and none that there is not', () => {
      const documented = rows
        .filter((row) => row[columns.call] !== undefined)
        .flatMap((row) => {
          const services = row[columns.service] === columns.all ? Object.keys(DOORS) : [row[columns.service]];
          const calls = [...(row[columns.call] as string).matchAll(/`([A-Z]+ [^`?]+)/g)].map(([, call]) => call);
          return services.flatMap((service) => calls.map((call) => `${service} ${call}`));
        });
      expect(documented.sort()).toEqual([...ROUTES].sort());
    });

    test('the settings that it names have the defaults of docs/CONFIG.md', () => {
      const defaults = new Map(
        tablesOf(readDocument('docs/CONFIG.md'))
          .flat()
          .map(({ Name = '', Default = '' }) => [quotedIn(Name), quotedIn(Default)]),
      );
      const named = rows.filter((row) => row[columns.setting] !== undefined);
      expect(named.length).toBeGreaterThan(5);
      for (const row of named) {
        const name = quotedIn(row[columns.setting] as string);
        expect([name, quotedIn(row[columns.fallback] as string)]).toEqual([name, defaults.get(name) as string]);
      }
    });
  });
}

test('the answers that the two show are the same', () => {
  const [english, persian] = READMES.map((readme) =>
    codeOf(readDocument(readme)).filter((code) => code.startsWith('{')),
  );
  expect(english).toHaveLength(3);
  expect(persian).toEqual(english);
});

/** `bun run x` of a text where x is not a file. */
const commandsOf = (text: string): string[] =>
  [...text.matchAll(/\bbun run ([a-z][a-z:-]*)(?![a-z/.:-])/g)].map(([, name]) => name as string);

test('every `bun run` command of every document exists', () => {
  expect(commandsOf('`bun run up`, bun run index.ts, npx -y bun run ported:import x.csv')).toEqual([
    'up',
    'ported:import',
  ]);
  const { scripts } = JSON.parse(readDocument('package.json')) as { scripts: Record<string, string> };
  for (const path of documents()) {
    const missing = commandsOf(readDocument(path)).filter((name) => !Object.hasOwn(scripts, name));
    expect([path, missing]).toEqual([path, []]);
  }
  const named = new Set(READMES.flatMap((readme) => commandsOf(readDocument(readme))));
  expect(Object.keys(scripts).filter((name) => !named.has(name))).toEqual([]);
});
