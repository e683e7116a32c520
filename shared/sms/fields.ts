/**
 * Reading a JSON file of settings: every problem at once, each with the path of its place, unknown settings included. What is
 * read is used only when there was no problem at all.
 */

export type Problems = {
  add(path: string, sentence: string): void;
  /** One line per problem, `path: sentence`, bounded. */
  lines(): string[];
};

/** Nobody mends more at once; a generated file can be wrong a million times. */
const PROBLEMS_MAX = 100;

export function collectProblems(): Problems {
  const lines: string[] = [];
  let omitted = 0;
  return {
    add(path, sentence) {
      if (lines.length === PROBLEMS_MAX) omitted++;
      else lines.push(path === '' ? sentence : `${path}: ${sentence}`);
    },
    lines: () => (omitted > 0 ? [...lines, `and ${omitted} more`] : [...lines]),
  };
}

/** Where a value stands. `refuse` notes a problem there and answers undefined, which is what a rule returns for a refused value. */
export type Place = { readonly path: string; refuse(sentence: string): undefined; inside(key: string | number): Place };

export function placeAt(path: string, problems: Problems): Place {
  return {
    path,
    refuse(sentence) {
      problems.add(path, sentence);
      return undefined;
    },
    inside: (key) => placeAt(typeof key === 'number' ? `${path}[${key}]` : join(path, key), problems),
  };
}

/** A key that is not a plain word is quoted and cut: it comes from the file and may be anything. */
function join(path: string, key: string): string {
  const name = /^[A-Za-z0-9_+-]{1,64}$/.test(key) ? key : JSON.stringify(key.slice(0, 40));
  return path === '' ? name : `${path}.${name}`;
}

export type Rule<T> = (value: unknown, place: Place) => T | undefined;

export type Fields = {
  readonly place: Place;
  /** The setting's value, or the fallback where it is absent or was refused. */
  read<T>(name: string, rule: Rule<T>, fallback: T): T;
  /** Absent is a problem. The answer is what its type says only if no problem was noted. */
  need<T>(name: string, rule: Rule<T>): T;
  /** Refuses every setting that was neither read nor needed. */
  end(): void;
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @returns undefined, with the problem noted, when the value is not an object */
export function fieldsOf(value: unknown, place: Place): Fields | undefined {
  if (!isObject(value)) return place.refuse('must be an object');
  const known = new Set<string>();
  const take = <T>(name: string, rule: Rule<T>): T | undefined => rule(value[name], place.inside(name));
  return {
    place,
    read(name, rule, fallback) {
      known.add(name);
      return Object.hasOwn(value, name) ? (take(name, rule) ?? fallback) : fallback;
    },
    need<T>(name: string, rule: Rule<T>): T {
      known.add(name);
      if (Object.hasOwn(value, name)) return take(name, rule) as T;
      return place.inside(name).refuse('is missing') as T;
    },
    end() {
      for (const name of Object.keys(value)) if (!known.has(name)) place.inside(name).refuse('unknown setting');
    },
  };
}

/** The entries of an object whose keys are names that the file chooses; undefined, with the problem noted, for anything else. */
export function entriesOf(value: unknown, place: Place): [string, unknown][] | undefined {
  return isObject(value) ? Object.entries(value) : place.refuse('must be an object');
}

/** @param scale multiplies what the file says, so that a rule can answer in another unit (seconds to milliseconds) */
export const integer =
  (min: number, max: number, scale = 1): Rule<number> =>
  (value, place) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? (value as number) * scale
      : place.refuse(`must be a whole number from ${min} to ${max}`);

export const seconds = (min: number, max: number): Rule<number> => integer(min, max, 1000);

export const share =
  (min: number, max: number): Rule<number> =>
  (value, place) =>
    typeof value === 'number' && value >= min && value <= max
      ? value
      : place.refuse(`must be a number from ${min} to ${max}`);

export const text =
  (pattern: RegExp, meaning: string): Rule<string> =>
  (value, place) =>
    typeof value === 'string' && pattern.test(value) ? value : place.refuse(`must be ${meaning}`);

export const choice =
  <T extends string>(...choices: readonly T[]): Rule<T> =>
  (value, place) =>
    choices.includes(value as T) ? (value as T) : place.refuse(`must be one of ${choices.join(', ')}`);

/** Each item by its rule, without a repetition. */
export const list =
  <T extends string | number>(rule: Rule<T>, max: number): Rule<T[]> =>
  (value, place) => {
    if (!Array.isArray(value)) return place.refuse('must be a list');
    if (value.length > max) return place.refuse(`must have at most ${max} entries`);
    const seen = new Set<T>();
    for (const [at, item] of value.entries()) {
      const read = rule(item, place.inside(at));
      if (read === undefined) continue;
      if (seen.has(read)) place.inside(at).refuse('is there twice');
      seen.add(read);
    }
    return [...seen];
  };

export type ByLane<T> = { readonly express: T; readonly normal: T };

/** One value for both lanes, or `{ "express": …, "normal": … }`; a lane left out keeps the fallback. */
export const byLane =
  <T>(rule: Rule<T>, fallback: ByLane<T>): Rule<ByLane<T>> =>
  (value, place) => {
    if (!isObject(value)) {
      const both = rule(value, place);
      return both === undefined ? undefined : { express: both, normal: both };
    }
    const fields = fieldsOf(value, place) as Fields;
    const lanes = {
      express: fields.read('express', rule, fallback.express),
      normal: fields.read('normal', rule, fallback.normal),
    };
    fields.end();
    return lanes;
  };

export type Env = Readonly<Record<string, string | undefined>>;

/**
 * A value that the file may keep out of itself: `{ "env": "NAME" }` is read from the environment. A problem never repeats it.
 * @param env null for a reader that needs no secrets: what the environment holds is then the empty text
 */
export const secret =
  (env: Env | null, rule: Rule<string>): Rule<string> =>
  (value, place) => {
    if (!isObject(value)) return rule(value, place);
    const fields = fieldsOf(value, place) as Fields;
    const name = fields.need('env', text(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'the name of an environment variable'));
    fields.end();
    if (typeof name !== 'string' || env === null) return '';
    const kept = env[name];
    return kept === undefined || kept === ''
      ? place.refuse(`the environment variable ${name} is not set`)
      : rule(kept, place);
  };
