/** The rules of the house, each first shown to fail on a sample and then held against the repository. */
import { describe, expect, test } from 'bun:test';
import { FAILPOINTS } from '../shared/failpoint.ts';
import {
  fileNames,
  honestTests,
  idleFailpoints,
  importDirection,
  importSpelling,
  layers,
  libraryOwners,
  lockedHosts,
  pureFiles,
  type Rule,
  runtimeSeam,
  unusedPackages,
} from './tidy/rules.ts';
import { codeOf, importsOf, readRepositoryFile, readSources, type SourceFile } from './tidy/source.ts';

const repository = readSources();
const file = (path: string, source = ''): SourceFile => ({ path, source });
const imports = (path: string, ...names: string[]): SourceFile =>
  file(path, names.map((name, i) => `import { a${i} } from '${name}';`).join('\n'));

type Case = { rule: Rule; bad: SourceFile[]; good: SourceFile[] };
const RULES: Record<string, Case> = {
  'services import shared/ and nothing of each other, and shared/ knows no service': {
    rule: importDirection,
    bad: [
      imports('billing/index.ts', '../gateway/accept.ts'),
      imports('shared/kafka.ts', '../billing/shard.ts'),
      imports('dispatcher/connectors/http.ts', '../../report/store.ts'),
      imports('shared/sms/price.ts', '../../local/places.ts'),
      file('gateway/http.ts', "const late = await import('../billing/accounts.ts');"),
      file('gateway/http.ts', "export * from '../billing/accounts.ts';"),
      imports('simulator/index.ts', '../dispatcher/connector.ts'),
    ],
    good: [
      imports('billing/index.ts', './shard.ts', '../shared/kafka.ts', 'node:fs'),
      imports('shared/sms/price.ts', '../money.ts'),
      imports('tests/flow/a.test.ts', '../../billing/shard.ts'),
    ],
  },
  'an index is imported by nobody, and an edge by its index alone': {
    rule: layers,
    bad: [imports('gateway/accept.ts', './http.ts'), imports('billing/http.ts', './index.ts')],
    good: [imports('gateway/index.ts', './http.ts'), imports('gateway/accept.ts', '../shared/http.ts')],
  },
  'pure files see no server, no file and no socket': {
    rule: pureFiles,
    bad: [
      imports('shared/sms/pages.ts', 'node:fs'),
      imports('dispatcher/rate.ts', '../shared/redis.ts'),
      imports('gateway/message.ts', '../shared/http.ts'),
    ],
    good: [
      imports('shared/sms/operators.ts', './operator-http.ts', './read-json.ts'),
      file('dispatcher/queue.ts', "import type { Redis } from '../shared/redis.ts';"),
    ],
  },
  'one place in shared/ owns each library': {
    rule: libraryOwners,
    bad: [imports('report/consumer.ts', 'kafkajs'), imports('billing/accounts.ts', 'ioredis')],
    good: [imports('shared/kafka.ts', 'kafkajs'), imports('local/fitness/kafka.ts', 'kafkajs')],
  },
  'file names say what is inside': {
    rule: fileNames,
    bad: [
      file('shared/utils.ts'),
      file('gateway/types.ts'),
      file('billing/helpers.ts'),
      file('report/common.ts'),
      file('report/query-helper.ts'),
      file('dispatcher/ConnectorManager.ts'),
      file('shared/misc.ts'),
    ],
    good: [file('shared/coalesce.ts'), file('report/dead-letters.ts'), file('shared/smpp.d.ts')],
  },
  "shared/runtime.ts alone names a runtime's own API": {
    rule: runtimeSeam,
    bad: [
      file('gateway/index.ts', 'const server = Bun.serve({});'),
      file('billing/index.ts', "if (Deno?.env.get('A')) exit();"),
      file('billing/index.ts', 'const bun = (globalThis as any).Bun;'),
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the sample holds a template.
      file('billing/index.ts', 'const text = `now ${Bun.version}`;'),
      imports('shared/id.ts', 'bun'),
      imports('simulator/index.ts', 'bun:sqlite'),
    ],
    good: [
      file('shared/runtime.ts', 'Bun.serve({});'),
      file('shared/grpc.ts', '// Bun.serve is not used here\nconst text = "Deno.serve";'),
      imports('tests/a.test.ts', 'bun:test'),
    ],
  },
  'imports are spelled so that every runtime finds them': {
    rule: importSpelling,
    bad: [imports('gateway/index.ts', './accept'), imports('gateway/index.ts', 'fs')],
    good: [imports('gateway/index.ts', './accept.ts', 'node:fs', 'elysia')],
  },
  'tests wait for what they expect, and none is left out': {
    rule: honestTests,
    bad: [
      file('tests/a.test.ts', 'await Bun.sleep(100);'),
      file('tests/a.test.ts', 'await new Promise((resolve) => setTimeout(resolve, 100));'),
      file('tests/a.test.ts', "test.skip('a', () => {});"),
      file('tests/a.test.ts', "test.only('a', () => {});"),
    ],
    good: [
      file('tests/a.test.ts', "test('a sleep is not taken: test.skip(', () => { setTimeout(() => abort(), 100); });"),
    ],
  },
};

describe('each rule', () => {
  for (const [name, { rule, bad, good }] of Object.entries(RULES)) {
    test(`finds its bad samples and passes its good ones: ${name}`, () => {
      for (const sample of bad)
        expect([sample, rule([sample])]).toEqual([sample, [expect.stringContaining(sample.path)]]);
      expect(rule(good)).toEqual([]);
    });
  }
});

describe('in this repository', () => {
  for (const [name, { rule }] of Object.entries(RULES)) {
    test(name, () => {
      expect(rule(repository)).toEqual([]);
    });
  }

  test('the lock file names no registry', () => {
    expect(lockedHosts('"a": ["a@1.0.0", "https://registry.example/a.tgz", {}]')).toEqual([
      'bun.lock names https://registry.example',
    ]);
    expect(lockedHosts(readRepositoryFile('bun.lock'))).toEqual([]);
  });

  test('every dependency is really used', () => {
    expect(unusedPackages(['left-pad', 'elysia'], [imports('shared/http.ts', 'elysia')])).toEqual([
      'left-pad is a dependency that nothing uses',
    ]);
    const manifest = JSON.parse(readRepositoryFile('package.json')) as {
      scripts: Record<string, string>;
      dependencies: Record<string, string>;
    };
    const product = repository.filter(({ path }) => !path.startsWith('tests/') && !path.startsWith('bench/'));
    expect(unusedPackages(Object.keys(manifest.dependencies), product)).toEqual([]);
    expect(Object.values(manifest.scripts).join(' ')).toContain('drizzle-kit generate');
    expect(readRepositoryFile('tsconfig.json')).toContain('"bun-types"');
  });

  test('every failpoint is passed by the code and armed by a test', () => {
    const code = file('gateway/a.ts', "failpoint('gateway.a'); failpoint('gateway.b');");
    const chaos = file('tests/chaos/a.test.ts', "await stack.arm('gateway', 'gateway.a');");
    const list = file('tests/chaos/campaign/faults.ts', "'gateway.b'");
    expect(idleFailpoints(['gateway.a', 'gateway.b', 'gateway.c'], [code, chaos, list])).toEqual([
      'gateway.b: no test arms it',
      'gateway.c: no code passes it',
      'gateway.c: no test arms it',
    ]);
    expect(idleFailpoints(FAILPOINTS, repository)).toEqual([]);
  });
});

describe('the reader of sources', () => {
  test('leaves code alone and blanks comments, texts and regular expressions', () => {
    const lines = [
      "const a = 'Bun.a'; // Bun.b",
      '/* Bun.c */ const b = "it\\"s Bun.d";',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the sample holds a template.
      'const c = /Bun\\.[/"]e/.test(x) ? y / z / 2 : `Bun.f ${`${Bun.g}`} Bun.h`;',
      'const d = { e: { f: 1 } };',
    ];
    const code = codeOf(lines.join('\n')).split('\n');
    expect(code.map((line) => [...line.matchAll(/Bun\.\w/g)].map(([name]) => name))).toEqual([[], [], ['Bun.g'], []]);
    expect(code[2]).toContain('y / z / 2');
    expect(code[3]).toBe(lines[3] as string);
  });

  test('finds every form of import', () => {
    const source = [
      "import './a.ts';",
      "import type { B } from './b.ts';",
      "import {\n  c,\n  type D,\n} from '../c.ts';",
      "export { e } from 'e';",
      "const f = await import('./f.ts');",
    ].join('\n');
    expect(importsOf(file('x/y.ts', source))).toEqual([
      { name: './a.ts', path: 'x/a.ts', typeOnly: false },
      { name: './b.ts', path: 'x/b.ts', typeOnly: true },
      { name: '../c.ts', path: 'c.ts', typeOnly: false },
      { name: 'e', path: null, typeOnly: false },
      { name: './f.ts', path: 'x/f.ts', typeOnly: false },
    ]);
  });
});
