/**
 * Whether a Redis may hold the money: every acknowledged write must be on the disk, and none may be thrown away to make
 * room. Asked over a bare socket, because the question is also put to what is no Redis at all.
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { isListening } from '../ports.ts';
import { ABSENT, ANSWER_WITHIN_MS, FIT, type Fitness, starting, unfit } from './fitness.ts';

/** An answer of Redis: a status or text, an error, a number, or a list of these. */
type Answer = string | number | null | Answer[] | { error: string };

/** Reads one answer from the start of the text. Null: more is to come. Throws when it is not RESP. */
export function readAnswer(text: string, at = 0): { answer: Answer; end: number } | null {
  const eol = text.indexOf('\r\n', at);
  if (text.length > at && !'+-:$*'.includes(text[at] as string)) throw new Error('not RESP');
  if (eol < 0) return null;
  const head = text.slice(at + 1, eol);
  const next = eol + 2;
  switch (text[at]) {
    case '+':
      return { answer: head, end: next };
    case '-':
      return { answer: { error: head }, end: next };
    case ':':
      return { answer: Number(head), end: next };
    case '$': {
      const length = Number(head);
      if (length < 0) return { answer: null, end: next };
      return text.length < next + length + 2
        ? null
        : { answer: text.slice(next, next + length), end: next + length + 2 };
    }
    default: {
      const list: Answer[] = [];
      let end = next;
      for (let left = Number(head); left > 0; left--) {
        const one = readAnswer(text, end);
        if (!one) return null;
        list.push(one.answer);
        end = one.end;
      }
      return { answer: list, end };
    }
  }
}

const encode = (words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '');
const portOf = (url: URL): number => Number(url.port || 6379);

/** Sends the commands at once and reads as many answers. Rejects with the socket's error, or when time is up. */
function ask(url: URL, commands: string[][], waitMs: number): Promise<Answer[]> {
  const to = { host: hostOf(url), port: portOf(url) };
  const socket: Socket = url.protocol === 'rediss:' ? connectTls(to) : connect(to);
  return new Promise<Answer[]>((resolve, reject) => {
    let text = '';
    const answers: Answer[] = [];
    const timer = setTimeout(() => reject(new Error('no answer')), waitMs);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Error('it closed the connection'));
    });
    socket.once('error', reject);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      try {
        for (let one = readAnswer(text); one; one = readAnswer(text)) {
          answers.push(one.answer);
          text = text.slice(one.end);
        }
      } catch (thrown) {
        return reject(thrown);
      }
      if (answers.length >= commands.length) resolve(answers);
    });
    socket.write(commands.map(encode).join(''));
  }).finally(() => socket.destroy());
}

const isError = (answer: Answer | undefined): answer is { error: string } =>
  typeof answer === 'object' && answer !== null && 'error' in answer;

/** The settings it must have, and why. */
const WANTED = [
  ['appendonly', 'yes', 'else a restart forgets the money'],
  ['appendfsync', 'always', 'else an acknowledged hold may be lost'],
  ['maxmemory-policy', 'noeviction', 'else a full memory throws balances away'],
] as const;

function judge(where: string, settings: ReadonlyMap<string, string>, info: string): Fitness {
  const version = /redis_version:(\d+)\.(\d+)/.exec(info);
  const [major, minor] = [Number(version?.[1] ?? 0), Number(version?.[2] ?? 0)];
  if (major < 6 || (major === 6 && minor < 2)) {
    return unfit(
      `Redis at ${where} is version ${major}.${minor}; 6.2 or newer is needed: let REDIS_URL name such a one.`,
    );
  }
  if (/role:slave/.test(info)) return unfit(`Redis at ${where} is a replica; let REDIS_URL name its master.`);
  const wrong = WANTED.filter(([name, value]) => settings.get(name) !== value);
  if (wrong.length === 0) return FIT;
  const faults = wrong.map(
    ([name, value, why]) => `${name} is "${settings.get(name) ?? '?'}" and must be "${value}", ${why}`,
  );
  const mend = wrong.map(([name, value]) => `CONFIG SET ${name} ${value}`).join('; ');
  return unfit(
    `Redis at ${where} is not fit for money: ${faults.join('; ')}. Mend it (${mend}; and in its redis.conf), or give REDIS_URL another port and a fit one is started there.`,
  );
}

/** Looks at the Redis of a REDIS_URL. Changes nothing there. */
export async function redisFitness(redisUrl: string, waitMs = ANSWER_WITHIN_MS): Promise<Fitness> {
  const url = new URL(redisUrl);
  const where = `${url.hostname}:${url.port || 6379}`;
  if (!(await isListening(hostOf(url), portOf(url), waitMs))) return ABSENT;
  const login = [decodeURIComponent(url.username), decodeURIComponent(url.password)].filter(Boolean);
  const commands = [
    ...(url.password ? [['AUTH', ...login]] : []),
    ['INFO'],
    ...WANTED.map(([name]) => ['CONFIG', 'GET', name]),
  ];
  let answers: Answer[];
  try {
    answers = await ask(url, commands, waitMs);
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    const reason = code ?? (thrown as Error).message;
    if (reason === 'no answer') return starting(`What listens at ${where} does not answer as Redis does.`);
    return unfit(
      `What listens at ${where} is no Redis that can be used (${reason}): end it, or give REDIS_URL another port.`,
    );
  }
  const refusal = answers.find(isError);
  if (refusal?.error.startsWith('LOADING')) return starting(`Redis at ${where} is still loading its data.`);
  if (refusal) {
    const mend = /NOAUTH|WRONGPASS|AUTH/.test(refusal.error)
      ? 'put its login into REDIS_URL'
      : 'let REDIS_URL name one that does';
    return unfit(`Redis at ${where} does not let its settings be read (${refusal.error}); ${mend}.`);
  }
  const [info, ...pairs] = url.password ? answers.slice(1) : answers;
  const settings = new Map(
    pairs.map((pair) => (Array.isArray(pair) ? pair : [])).map(([k, v]) => [String(k), String(v)]),
  );
  return judge(where, settings, String(info));
}
