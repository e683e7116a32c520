/**
 * Redis' Lua as JavaScript: the text of a script is parsed (luaparse) and compiled to a function, about fifty times as fast
 * as the Lua machines that npm has (a script call took 100 to 170 µs in them). Only what the scripts use is
 * there; whatever else a script comes to use is refused when it is compiled or when it runs, never guessed.
 * scripts.test.ts holds it, together with memory-redis.ts, against a real Redis.
 */
import { type Clause, type Expression, type Field, parse, type Statement } from 'luaparse';
import { ITERATORS, LIBRARY, type LuaValue, luaOf, RUNTIME, replyOf } from './lua-runtime.ts';
import type { Reply } from './memory-redis.ts';

export type Script = (keys: readonly string[], args: readonly string[]) => Reply;
/** What `redis.call` does. */
export type RedisCall = (command: string, args: readonly string[]) => Reply;

class Unsupported extends Error {}
const refuse = (what: string): never => {
  throw new Unsupported(`lua.ts does not know ${what}`);
};

const GLOBALS: ReadonlySet<string> = new Set(['KEYS', 'ARGV']);
const ARITHMETIC: ReadonlySet<string> = new Set(['+', '-', '*', '/']);
const COMPARISON: Readonly<Record<string, string>> = { '<': 'lt', '<=': 'le', '>': 'gt', '>=': 'ge' };

/**
 * One function's or block's names. Lua may declare a name twice in a block, JavaScript may not: each gets a number. A function
 * that never answers more than one value answers it as it is, others answer a list.
 */
type Name = { own: string; single: boolean };
type Names = Map<string, Name>;

/** Whether a function's body answers one value at most; inner functions are their own business. */
function answersOne(body: readonly Statement[]): boolean {
  return body.every((s) => {
    if (s.type === 'ReturnStatement') return s.arguments.length < 2 && s.arguments[0]?.type !== 'CallExpression';
    if (s.type === 'IfStatement') return s.clauses.every((clause) => answersOne(clause.body));
    return s.type === 'FunctionDeclaration' || !('body' in s) || answersOne(s.body);
  });
}

function createCompiler() {
  let serial = 0;
  let scopes: Names[] = [new Map()];
  let temporaries: string[] = [];
  /** Of each function around the place: whether it answers its one value as it is. */
  const answering: boolean[] = [];

  const declare = (name: string, single = false): string => {
    serial += 1;
    const own = `${name}_${serial}`;
    (scopes.at(-1) as Names).set(name, { own, single });
    return own;
  };
  const find = (name: string): Name | undefined => {
    for (let i = scopes.length - 1; i >= 0; i -= 1) {
      const found = scopes[i]?.get(name);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const resolve = (name: string): string =>
    find(name)?.own ?? (GLOBALS.has(name) ? `G.${name}` : refuse(`the global ${name}`));
  /** A library's function by its whole name, such as string.sub; null for what is the script's own. */
  const libraryName = (e: Expression): string | null => {
    if (e.type === 'Identifier') return find(e.name) ? null : e.name;
    if (e.type !== 'MemberExpression' || e.base.type !== 'Identifier' || find(e.base.name)) return null;
    return `${e.base.name}.${e.identifier.name}`;
  };
  const temporary = (): string => {
    serial += 1;
    temporaries.push(`t_${serial}`);
    return `t_${serial}`;
  };
  const inScope = (work: () => string): string => {
    scopes.push(new Map());
    const text = work();
    scopes.pop();
    return text;
  };
  const block = (body: readonly Statement[]): string => inScope(() => body.map(statement).join('\n'));

  /** Whether an expression may be other than one value. */
  const isMulti = (e: Expression | undefined): boolean => {
    if (e?.type !== 'CallExpression') return false;
    const name = libraryName(e.base);
    if (name !== null) return name === 'unpack';
    return e.base.type !== 'Identifier' || !find(e.base.name)?.single;
  };
  const call = (e: Expression): string => {
    if (e.type !== 'CallExpression') return refuse(`${e.type} as a call`);
    const name = libraryName(e.base);
    if (name === 'redis.call') return `C([${list(e.arguments)}])`;
    if (name === null) return `${expression(e.base)}(${list(e.arguments)})`;
    return name in LIBRARY ? `L[${JSON.stringify(name)}](${list(e.arguments)})` : refuse(`the function ${name}`);
  };
  /** A list of values, the last call's all. */
  const list = (all: readonly Expression[]): string =>
    all.map((e, i) => (i === all.length - 1 && isMulti(e) ? `...R.all(${call(e)})` : expression(e))).join(', ');
  const truth = (e: Expression): string => {
    if (e.type === 'BinaryExpression' && (e.operator in COMPARISON || e.operator === '==' || e.operator === '~='))
      return expression(e);
    if (e.type === 'UnaryExpression' && e.operator === 'not') return expression(e);
    return `R.truth(${expression(e)})`;
  };

  const binary = (operator: string, left: string, right: string): string => {
    if (operator === '==') return `(${left} === ${right})`;
    if (operator === '~=') return `(${left} !== ${right})`;
    if (operator === '..') return `R.concat(${left}, ${right})`;
    if (operator === '%') return `R.modulo(${left}, ${right})`;
    if (ARITHMETIC.has(operator)) return `(R.number(${left}) ${operator} R.number(${right}))`;
    return COMPARISON[operator] ? `R.${COMPARISON[operator]}(${left}, ${right})` : refuse(`the operator ${operator}`);
  };
  const field = (f: Field, last: boolean): string => {
    if (f.type === 'TableKeyString') return `.set(${JSON.stringify(f.key.name)}, ${expression(f.value)})`;
    if (f.type === 'TableKey') return `.set(${expression(f.key)}, ${expression(f.value)})`;
    return last && isMulti(f.value) ? `.append(R.all(${call(f.value)}))` : `.add(${expression(f.value)})`;
  };
  const functionOf = (parameters: readonly { name: string }[], body: readonly Statement[], single = false): string => {
    const outer = temporaries;
    temporaries = [];
    answering.push(single);
    const text = inScope(() => {
      const names = parameters.map(({ name }) => declare(name)).join(', ');
      const inner = block(body);
      const own = temporaries.length > 0 ? `let ${temporaries.join(', ')};\n` : '';
      return `((${names}) => {\n${own}${inner}\n})`;
    });
    temporaries = outer;
    answering.pop();
    return text;
  };

  const expression = (e: Expression): string => {
    if (e.type === 'Identifier') return resolve(e.name);
    if (e.type === 'StringLiteral') return JSON.stringify(e.value ?? refuse(`the string ${e.raw}`));
    if (e.type === 'NumericLiteral' || e.type === 'BooleanLiteral') return String(e.value);
    if (e.type === 'NilLiteral') return 'undefined';
    if (e.type === 'FunctionDeclaration') return functionOf(e.parameters, e.body);
    if (e.type === 'TableConstructorExpression')
      return `R.table()${e.fields.map((f, i) => field(f, i === e.fields.length - 1)).join('')}`;
    if (e.type === 'BinaryExpression') return binary(e.operator, expression(e.left), expression(e.right));
    if (e.type === 'LogicalExpression') {
      const t = temporary();
      const [left, right] = [expression(e.left), expression(e.right)];
      return e.operator === 'and'
        ? `(R.truth(${t} = ${left}) ? ${right} : ${t})`
        : `(R.truth(${t} = ${left}) ? ${t} : ${right})`;
    }
    if (e.type === 'UnaryExpression') {
      if (e.operator === 'not') return `!R.truth(${expression(e.argument)})`;
      if (e.operator === '-') return `-R.number(${expression(e.argument)})`;
      return e.operator === '#' ? `R.length(${expression(e.argument)})` : refuse(`the operator ${e.operator}`);
    }
    if (e.type === 'MemberExpression') {
      if (e.indexer !== '.') return refuse('methods');
      return `R.index(${expression(e.base)}, ${JSON.stringify(e.identifier.name)})`;
    }
    if (e.type === 'IndexExpression') return `R.index(${expression(e.base)}, ${expression(e.index)})`;
    if (e.type !== 'CallExpression') return refuse((e as Expression).type);
    return isMulti(e) ? `R.first(${call(e)})` : call(e);
  };

  /** As many values as there are variables; what is missing is nil. */
  const values = (count: number, init: readonly Expression[]): string[] | null => {
    if (isMulti(init.at(-1)) && count !== init.length) return null;
    return Array.from({ length: count }, (_, i) => (init[i] ? expression(init[i]) : 'undefined'));
  };
  const assign = (target: Expression, value: string): string => {
    if (target.type === 'Identifier') {
      const name = resolve(target.name);
      return name.startsWith('G.') ? refuse(`writing the global ${target.name}`) : `${name} = ${value};`;
    }
    if (target.type === 'MemberExpression')
      return `R.write(${expression(target.base)}, ${JSON.stringify(target.identifier.name)}, ${value});`;
    if (target.type === 'IndexExpression')
      return `R.write(${expression(target.base)}, ${expression(target.index)}, ${value});`;
    return refuse(`writing to ${target.type}`);
  };
  const clause = ({ condition, body }: Clause): string => {
    const text = `{\n${block(body)}\n}`;
    return condition ? `if (${truth(condition)}) ${text}` : text;
  };
  const generic = (s: Extract<Statement, { type: 'ForGenericStatement' }>): string => {
    const [from] = s.iterators;
    const name = from?.type === 'CallExpression' ? libraryName(from.base) : null;
    if (s.iterators.length !== 1 || from?.type !== 'CallExpression' || name === null || !(name in ITERATORS))
      return refuse('a loop over anything but pairs, ipairs and string.gmatch');
    const items = `I[${JSON.stringify(name)}](${list(from.arguments)})`;
    return inScope(() => {
      const names = s.variables.map((variable) => declare(variable.name)).join(', ');
      return `for (const [${names}] of ${items}) {\n${block(s.body)}\n}`;
    });
  };
  const numeric = (s: Extract<Statement, { type: 'ForNumericStatement' }>): string => {
    const [from, to, by] = [expression(s.start), expression(s.end), s.step ? expression(s.step) : '1'];
    const [end, step] = [temporary(), temporary()];
    return inScope(() => {
      const i = declare(s.variable.name);
      const head = `let ${i} = R.count(${from}), ${end}_ = R.count(${to}), ${step}_ = R.step(${by}); ${i} <= ${end}_; ${i} += ${step}_`;
      return `for (${head}) {\n${block(s.body)}\n}`;
    });
  };

  const statement = (s: Statement): string => {
    if (s.type === 'LocalStatement') {
      const ready = values(s.variables.length, s.init);
      const right = ready ? ready.join(', ') : list(s.init);
      const names = s.variables.map(({ name }) => declare(name));
      if (ready && names.length === 1) return `let ${names[0]} = ${right};`;
      return `let [${names.join(', ')}] = [${right}];`;
    }
    if (s.type === 'AssignmentStatement') {
      const ready =
        values(s.variables.length, s.init) ?? refuse('several values of a call into variables that are there');
      if (ready.length === 1) return assign(s.variables[0] as Expression, ready[0] as string);
      const held = ready.map(() => temporary());
      return [
        ...held.map((t, i) => `${t} = ${ready[i]};`),
        ...s.variables.map((target, i) => assign(target, held[i] as string)),
      ].join('\n');
    }
    if (s.type === 'CallStatement') return `${call(s.expression)};`;
    if (s.type === 'FunctionDeclaration') {
      if (!s.isLocal || !s.identifier) return refuse('a global function');
      const single = answersOne(s.body);
      return `const ${declare(s.identifier.name, single)} = ${functionOf(s.parameters, s.body, single)};`;
    }
    if (s.type === 'ReturnStatement') {
      if (!answering.at(-1)) return `return [${list(s.arguments)}];`;
      return s.arguments[0] ? `return ${expression(s.arguments[0])};` : 'return;';
    }
    if (s.type === 'IfStatement') return s.clauses.map(clause).join(' else ');
    if (s.type === 'ForGenericStatement') return generic(s);
    if (s.type === 'ForNumericStatement') return numeric(s);
    if (s.type === 'WhileStatement') return `while (${truth(s.condition)}) {\n${block(s.body)}\n}`;
    if (s.type === 'DoStatement') return `{\n${block(s.body)}\n}`;
    return s.type === 'BreakStatement' ? 'break;' : refuse((s as Statement).type);
  };

  return (body: readonly Statement[]): string => {
    scopes = [new Map()];
    return `return ${functionOf([], body)};`;
  };
}

/** Compiles a script; throws for what is not in the subset. */
export function compileLua(source: string, redisCall: RedisCall): Script {
  const { body } = parse(source, { luaVersion: '5.1', comments: false, encodingMode: 'x-user-defined' });
  const globals: Record<string, LuaValue> = {};
  const callRedis = (values: LuaValue[]): LuaValue => {
    const command = values.shift() as string;
    for (let i = 0; i < values.length; i += 1) {
      if (typeof values[i] !== 'string') values[i] = RUNTIME.argument(values[i]);
    }
    return luaOf(redisCall(command, values as string[]));
  };
  const make = new Function('G', 'R', 'L', 'I', 'C', createCompiler()(body)) as (
    ...parts: unknown[]
  ) => () => LuaValue[] | undefined;
  const main = make(globals, RUNTIME, LIBRARY, ITERATORS, callRedis);
  return (keys, args) => {
    globals.KEYS = luaOf(keys as string[]);
    globals.ARGV = luaOf(args as string[]);
    return replyOf(main()?.[0]);
  };
}
