/** The operators of a benchmark, as the simulator plays them. */
import { OPERATORS, type OperatorName, simulatorName } from './operators-file.ts';
import type { Stack } from './stack.ts';

type Counters = { accepted: number; messages: number; doubled: number; received: number };

async function control<T>(stack: Stack, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(`${stack.urls.simulator}/control/${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  if (!answer.ok) throw new Error(`the simulator refuses ${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

/** Of one operator, or of the peer's (`kannel`). */
export const countersOf = (stack: Stack, name: string): Promise<Counters> =>
  control<Counters>(stack, 'GET', `${name}/counters`);

/** Messages that our operators accepted, and how often one was accepted that had been accepted before. */
export async function simulatorCounters(stack: Stack): Promise<{ accepted: number; doubled: number }> {
  const each = await Promise.all(OPERATORS.map((name) => countersOf(stack, simulatorName(name))));
  const sum = (pick: (one: Counters) => number): number => each.reduce((total, one) => total + pick(one), 0);
  return { accepted: sum(({ messages }) => messages), doubled: sum(({ doubled }) => doubled) };
}

/** Changes an operator's behaviour; the dials are the simulator's own. */
export const turn = (stack: Stack, operator: OperatorName, dials: Record<string, unknown>): Promise<unknown> =>
  control(stack, 'PUT', `${simulatorName(operator)}/dials`, dials);

/** When each message for a number first came to an operator: epoch milliseconds by the serial that its text ends with. */
export async function arrivals(stack: Stack, operator: OperatorName, to: string): Promise<Map<number, number>> {
  const path = `${simulatorName(operator)}/records?to=${encodeURIComponent(to)}&limit=1000000`;
  const { items } = await control<{ items: { text: string; first_at: string }[] }>(stack, 'GET', path);
  return new Map(items.map(({ text, first_at }) => [Number(/\d{8}$/.exec(text)?.[0]), Date.parse(first_at)]));
}
