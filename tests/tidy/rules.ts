/** The rules of the house that a program can check. Each answers a sentence per violation. */
import { codeOf, importsOf, SERVICES, type SourceFile } from './source.ts';

export type Rule = (files: readonly SourceFile[]) => string[];

const roomOf = (path: string): string => path.split('/')[0] as string;
const isService = (room: string): boolean => (SERVICES as readonly string[]).includes(room);
const fileName = (path: string): string => path.split('/').at(-1) as string;

/** Which rooms a room may import from, besides itself. `tests` and `bench` may see everything. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  billing: ['shared'],
  gateway: ['shared'],
  dispatcher: ['shared'],
  report: ['shared'],
  simulator: ['shared'],
  shared: [],
  local: ['shared'],
};

/** Services import shared/ and nothing of each other; shared/ knows no service. */
export const importDirection: Rule = (files) =>
  files.flatMap((file) => {
    const room = roomOf(file.path);
    const allowed = MAY_IMPORT[room];
    if (allowed === undefined) return [];
    return importsOf(file)
      .filter(({ path }) => path !== null && roomOf(path) !== room && !allowed.includes(roomOf(path)))
      .map(({ path }) => `${file.path} imports ${path}: ${room}/ may import ${['itself', ...allowed].join(' and ')}`);
  });

/** The edges of a service: what the world comes in by. */
const EDGES = new Set(['http.ts', 'grpc.ts']);

/** index wires the edges, edges call use cases: nothing imports an index, and only an index imports an edge. */
export const layers: Rule = (files) =>
  files
    .filter(({ path }) => isService(roomOf(path)))
    .flatMap((file) =>
      importsOf(file)
        .filter(({ path }) => path !== null && roomOf(path) === roomOf(file.path) && path.split('/').length === 2)
        .flatMap(({ path }) => {
          const name = fileName(path as string);
          if (name === 'index.ts') return [`${file.path} imports ${path}: an index wires and is imported by nobody`];
          if (EDGES.has(name) && fileName(file.path) !== 'index.ts')
            return [`${file.path} imports the edge ${path}: only an index does`];
          return [];
        }),
    );

/** Decisions without effects: they must not see a server, a file, a clock's timer or a socket. */
const PURE = [
  /^shared\/sms\/(?!read-json\.ts$)/,
  /^shared\/(money|events|topics|error|config|billing)\.ts$/,
  /^billing\/(outcome|shard)\.ts$/,
  /^gateway\/message\.ts$/,
  /^dispatcher\/(breaker|give-way|queue|rate)\.ts$/,
];
const EFFECTS =
  /^node:(?!crypto$)|^(kafkajs|ioredis|postgres|drizzle-orm|elysia|@grpc\/|smpp)|\/(kafka|kafka-producer|kafka-stream|redis|postgres|grpc|http|body|runtime|lifecycle|log|metrics|watched-file)\.ts$/;

export const pureFiles: Rule = (files) =>
  files
    .filter(({ path }) => PURE.some((pattern) => pattern.test(path)))
    .flatMap((file) =>
      importsOf(file)
        .filter(
          ({ name, path, typeOnly }) =>
            !typeOnly && (path === null || !path.startsWith('shared/sms/')) && EFFECTS.test(name),
        )
        .map(({ name }) => `${file.path} is a pure file and imports ${name}`),
    );

/** Each library has one place that knows it, so that a change of library is a change of that place. */
const ONE_OWNER: Readonly<Record<string, RegExp>> = {
  kafkajs: /^shared\/kafka(-producer|-stream)?\.ts$/,
  ioredis: /^shared\/redis\.ts$/,
  postgres: /^shared\/postgres\.ts$/,
  '@grpc/grpc-js': /^shared\/grpc\.ts$/,
  '@grpc/proto-loader': /^shared\/grpc\.ts$/,
  elysia: /^shared\/(http|openapi)\.ts$/,
  '@elysiajs/swagger': /^shared\/http\.ts$/,
  'prom-client': /^shared\/metrics\.ts$/,
};

export const libraryOwners: Rule = (files) =>
  files
    .filter(({ path }) => isService(roomOf(path)) || roomOf(path) === 'shared')
    .flatMap((file) =>
      importsOf(file)
        .filter(({ name }) => ONE_OWNER[name] !== undefined && !(ONE_OWNER[name] as RegExp).test(file.path))
        .map(({ name }) => `${file.path} imports ${name}: one file of shared/ owns it`),
    );

const BANNED = /^(utils?|helpers?|common|misc|managers?|types)\.|[-.](utils?|helpers?|misc|manager)\./;
const NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.config|\.d)?\.ts$/;

/** Names say what is inside. */
export const fileNames: Rule = (files) =>
  files.flatMap(({ path }) => {
    const name = fileName(path);
    if (BANNED.test(name)) return [`${path}: this name says nothing`];
    return NAME.test(name) ? [] : [`${path}: lower-case words joined by hyphens`];
  });

const SEAM = 'shared/runtime.ts';
const RUNTIME_GLOBAL = /(?<![\w$.])(Bun|Deno)(?=\s*[.[?])|globalThis(?:\s+as\s[^;]*?)?\)?\s*\.\s*(Bun|Deno)\b/;

/** The seam alone names what belongs to one runtime. */
export const runtimeSeam: Rule = (files) =>
  files.flatMap((file) => {
    const found: string[] = [];
    if (file.path !== SEAM && RUNTIME_GLOBAL.test(codeOf(file.source)))
      found.push(`${file.path} names a runtime's own API: ${SEAM} alone does`);
    if (roomOf(file.path) !== 'tests' && importsOf(file).some(({ name }) => /^bun(:|$)/.test(name)))
      found.push(`${file.path} imports from bun: only tests do`);
    return found;
  });

/** Deno reads the same files: extensions are written, node's modules are named as such. */
export const importSpelling: Rule = (files) =>
  files.flatMap((file) =>
    importsOf(file)
      .filter(({ name }) => (name.startsWith('.') ? !/\.(ts|json)$/.test(name) : NODE_BARE.has(name)))
      .map(({ name }) => `${file.path} imports '${name}': write its extension, or node: before it`),
  );
const NODE_BARE = new Set(
  'assert buffer child_process crypto events fs fs/promises http https net os path process stream timers timers/promises tls url util zlib'.split(
    ' ',
  ),
);

const SLEEPS = /(?<![\w$.])Bun\.sleep|\bsetTimeout\(\s*(?:resolve|r|done)\b/;
const WEAKENED = /(?<![\w$.])(?:test|it|describe)\.(?:skip|todo|only|if|skipIf|todoIf|failing)\b/;

/** A test waits for what it expects, and each test runs. */
export const honestTests: Rule = (files) =>
  files
    .filter(({ path }) => roomOf(path) === 'tests' && path.endsWith('.test.ts'))
    .flatMap((file) => {
      const code = codeOf(file.source);
      return [
        ...(SLEEPS.test(code) ? [`${file.path} sleeps: poll with a bound, or await the event`] : []),
        ...(WEAKENED.test(code) ? [`${file.path} leaves tests out`] : []),
      ];
    });

/** Whether the lock file names a registry: whoever installs has their own. */
export function lockedHosts(lock: string): string[] {
  return [...new Set([...lock.matchAll(/https?:\/\/[^\s"'/]+/g)].map(([host]) => `bun.lock names ${host}`))];
}

/** Packages of package.json that no file of the product imports or resolves. */
export function unusedPackages(packages: readonly string[], files: readonly SourceFile[]): string[] {
  const imported = files.flatMap((file) => importsOf(file).map(({ name }) => name));
  const used = (name: string): boolean =>
    files.some(({ source }) => source.includes(`resolve('${name}`)) ||
    imported.some((one) => one === name || one.startsWith(`${name}/`));
  return packages.filter((name) => !used(name)).map((name) => `${name} is a dependency that nothing uses`);
}

/** Failpoints that no code passes, and those that no test of tests/chaos/ arms. */
export function idleFailpoints(names: readonly string[], files: readonly SourceFile[]): string[] {
  const product = files.filter(({ path }) => isService(roomOf(path)) || roomOf(path) === 'shared');
  const chaos = files.filter(({ path }) => path.startsWith('tests/chaos/') && path.endsWith('.test.ts'));
  return names.flatMap((name) => [
    ...(product.some(({ source }) => source.includes(`failpoint('${name}')`)) ? [] : [`${name}: no code passes it`]),
    ...(chaos.some(({ source }) => source.includes(`'${name}'`)) ? [] : [`${name}: no test arms it`]),
  ]);
}
