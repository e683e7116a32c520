/**
 * Schemathesis, a program of Python's that makes requests by the property out of an OpenAPI document and holds the answers
 * against it: found or installed in a virtual environment beside the temporary files, told what a real client knows, run, read.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Another version may check other things: the table of runs names this one. */
const VERSION = '4.32.5';
const PYTHON_MIN = [3, 10] as const;

/** Python as a program that is new enough and can make virtual environments; throws a sentence. */
function findPython(): string {
  const asked = spawnSync('python3', ['-c', 'import sys, venv; print(sys.version_info[0], sys.version_info[1])'], {
    encoding: 'utf8',
  });
  const [major = 0, minor = 0] = (asked.stdout ?? '').trim().split(' ').map(Number);
  if (asked.status !== 0 || major !== PYTHON_MIN[0] || minor < PYTHON_MIN[1])
    throw new Error(
      `\`bun run test:doors\` needs Python ${PYTHON_MIN.join('.')} or later with its venv module as \`python3\` on the PATH.`,
    );
  return 'python3';
}

/** The program; installed on the first call on this machine. Throws a sentence where Python or its registry is missing. */
export function findSchemathesis(say: (line: string) => void): string {
  const home = join(tmpdir(), `jsms-schemathesis-${VERSION}`);
  const program = join(home, 'bin', 'schemathesis');
  if (existsSync(program)) return program;
  const python = findPython();
  say(`Installing schemathesis ${VERSION} into ${home} …`);
  const steps: [string, string[]][] = [
    [python, ['-m', 'venv', home]],
    [join(home, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', `schemathesis==${VERSION}`]],
  ];
  for (const [command, args] of steps) {
    const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`schemathesis cannot be installed: ${stderr.trim().split('\n').at(-1)}`);
  }
  return program;
}

/** What a client knows and no document can tell: numbers that operators carry, accounts with money, ids that there are. */
export type Words = Readonly<Record<'values' | 'ids' | 'deadLetters', readonly string[]>>;

const quoted = (values: readonly string[]): string => JSON.stringify(values);

/**
 * Its configuration. Two checks are told what is right here:
 * - data that fits its schema may still be refused for what it means (a number of no operator: 422, no money: 402, 409, 404);
 * - the messages of a batch are checked one by one, and one that does not fit is refused by itself in a 202.
 */
function configOf(words: Words, key: string): string {
  return `
[auth.openapi]
bearer = { bearer = ${JSON.stringify(key)} }

[dictionaries.values]
values = ${quoted(words.values)}
[dictionaries.ids]
values = ${quoted(words.ids)}
[dictionaries.dead-letters]
values = ${quoted(words.deadLetters)}

[generation]
with-security-parameters = false
dictionaries = { string = { dictionary = "values", probability = 0.4 } }

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "402", "404", "409", "422"]
[checks.negative_data_rejection]
expected-statuses = ["400", "404", "405", "413", "415", "422"]

[[operations]]
include-path = "/send/batch"
checks = { negative_data_rejection = { expected-statuses = ["202", "400", "404", "405", "413", "415", "422"] } }

[[operations]]
include-path = "/messages/{id}"
parameters = { "path.id" = { dictionary = "ids", probability = 0.5 } }

[[operations]]
include-path-regex = "^/dead-letters/"
parameters = { "path.id" = { dictionary = "dead-letters", probability = 0.5 } }
`;
}

export type DoorRun = {
  service: string;
  cases: number;
  operations: number;
  seconds: number;
  /** By title, with the calls it was found at. */
  findings: string[];
  /** Where everything that was printed stands. */
  log: string;
};

type Report = {
  complete: boolean;
  running_time: number;
  operations: { tested: number; errored: number };
  test_cases: { generated: number };
  failures: { title: string; count: number; operations: string[] }[];
  errors: { title?: string; message?: string }[];
};

export type DoorPlan = {
  service: string;
  url: string;
  /** Shown with each request, but for those that must be refused without one. */
  key: string;
  words: Words;
  /** Of each operation in the random phase; the phases of examples and of coverage come on top. */
  examples: number;
  seed: number;
  /** For the configuration, the log and the report. */
  dir: string;
  signal: AbortSignal;
};

/** One service's document, once through all phases and all checks. Throws a sentence when the program itself fails. */
export async function runSchemathesis(program: string, plan: DoorPlan): Promise<DoorRun> {
  const { service, url, key, words, examples, seed, dir, signal } = plan;
  mkdirSync(dir, { recursive: true });
  const file = (name: string): string => join(dir, `${service}${name}`);
  writeFileSync(file('.toml'), configOf(words, key));
  const args = [
    ...['--config-file', file('.toml'), 'run', `${url}/swagger/json`, '--url', url],
    ...['--checks', 'all', '--continue-on-failure', '--no-color'],
    ...['--max-examples', String(examples), '--seed', String(seed)],
    ...['--suppress-health-check', 'all', '--request-timeout', '30'],
    ...['--report', 'json', '--report-json-path', file('.json')],
  ];
  let printed = '';
  const child = spawn(program, args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  const keep = (chunk: Buffer): void => {
    printed += chunk.toString();
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  signal.removeEventListener('abort', end);
  writeFileSync(file('.log'), printed.replaceAll(key, '(key)'));
  if (!existsSync(file('.json'))) throw new Error(`schemathesis failed; ${file('.log')} says why`);
  return runOf(service, JSON.parse(readFileSync(file('.json'), 'utf8')) as Report, file('.log'));
}

/** What a report says, as a row and its findings. Pure. */
export function runOf(service: string, report: Report, log: string): DoorRun {
  const { complete, running_time, operations, test_cases, failures, errors } = report;
  return {
    service,
    cases: test_cases.generated,
    operations: operations.tested,
    seconds: Math.round(running_time),
    findings: [
      ...(complete ? [] : ['it did not come to its end']),
      ...(operations.errored > 0 ? [`${operations.errored} operations could not be tested`] : []),
      ...errors.map(({ title, message }) => `${title ?? 'error'}: ${message ?? ''}`.slice(0, 200)),
      ...failures.map(({ title, count, operations: at }) => `${title} (${count}): ${at.slice(0, 5).join(', ')}`),
    ],
    log,
  };
}
