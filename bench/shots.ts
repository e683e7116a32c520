/** The requests of a load, built before it begins. */
import type { Bench } from './bench.ts';
import { SERIAL, type Shot } from './load/plan.ts';
import { OPERATORS, type OperatorName, PREFIX } from './operators-file.ts';

/** What every benchmark sends, the peer's too: one page, UCS-2 as most SMS in Iran; no two are the same. */
export const TEXT = `کد تایید: ${SERIAL}`;

/** The n-th number of an operator, as a customer would write it. */
export const phoneOf = (operator: OperatorName, n: number): string =>
  `0${PREFIX[operator]}${String((n * 7_919) % 10_000_000).padStart(7, '0')}`;

/** A whole HTTP/1.1 request with a JSON body. */
export function jsonRequest(path: string, port: number, body: unknown): string {
  const text = JSON.stringify(body);
  const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`;
  return `${head}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

type Kind = {
  accounts: readonly string[];
  operators: readonly OperatorName[];
  type: 'normal' | 'express';
  /** Only this number; default: many. */
  phone?: string;
};

/** What the options say of who sends what to whom. */
export const kindOf = ({ options, books }: Bench): Kind => ({
  accounts: books.accounts,
  operators: OPERATORS.slice(0, options.operators),
  type: options.type,
});

/** Asks the gateway for the price of the text by operator, Rials. */
async function pricesOf({ stack }: Bench, { operators, type }: Kind): Promise<Map<OperatorName, number>> {
  const ask = async (operator: OperatorName): Promise<[OperatorName, number]> => {
    const answer = await fetch(`${stack.urls.gateway}/preview`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ text: TEXT.replace(SERIAL, '12345678'), type, phone: phoneOf(operator, 0) }),
    });
    if (!answer.ok) throw new Error(`the gateway does not tell a price: ${answer.status}`);
    return [operator, ((await answer.json()) as { price: number }).price];
  };
  return new Map(await Promise.all(operators.map(ask)));
}

const SHOTS = 2_000;

/** One message a request. */
export async function sendShots(bench: Bench, kind: Kind = kindOf(bench)): Promise<Shot[]> {
  const prices = await pricesOf(bench, kind);
  const { port } = bench.stack.services.gateway;
  return Array.from({ length: SHOTS }, (_, n) => {
    const operator = kind.operators[n % kind.operators.length] as OperatorName;
    const body = {
      phone: kind.phone ?? phoneOf(operator, n),
      text: TEXT,
      type: kind.type,
      user_id: kind.accounts[n % kind.accounts.length],
    };
    return { request: jsonRequest('/send', port, body), messages: 1, rials: prices.get(operator) as number };
  });
}

/** `size` messages of one account a request; a request for each account. */
export async function batchShots(bench: Bench, size: number, kind: Kind = kindOf(bench)): Promise<Shot[]> {
  const prices = await pricesOf(bench, kind);
  const { port } = bench.stack.services.gateway;
  return kind.accounts.map((user_id, a) => {
    const operators = Array.from({ length: size }, (_, i) => kind.operators[i % kind.operators.length] as OperatorName);
    const messages = operators.map((operator, i) => ({
      phone: phoneOf(operator, a * size + i),
      // One serial a request, so that the place in the batch tells its messages apart.
      text: `${TEXT}-${i}`,
      type: kind.type,
    }));
    const rials = operators.reduce((sum, operator) => sum + (prices.get(operator) as number), 0);
    return { request: jsonRequest('/send/batch', port, { user_id, messages }), messages: size, rials };
  });
}
