/** The public doors of the four services, as a client sees them. */
import { type Answer, type Ask, ask } from './http.ts';

export type Urls = { billing: string; gateway: string; dispatcher: string; report: string };

export type SendBody = {
  phone: string;
  text?: string;
  user_id: string;
  type?: 'express' | 'normal';
  sender?: string;
  client_ref?: string;
  valid_for_s?: number;
};

export type Accepted = {
  message_id: string;
  status: string;
  user_id: string;
  operator: string;
  encoding: string;
  pages: number;
  price: number;
};
export type BatchAnswer = {
  batch_id: string;
  accepted: number;
  refused: number;
  results: (Accepted | { error: { code: string; detail: string } })[];
};
export type Balance = { user_id: string; available: number; held: number; posted: number; topped_up: number };
export type Audit = {
  user_id: string;
  redis: { topped_up: number; available: number; held: number; posted: number; open_holds: number };
  postgres: { topped_up: number; posted: number } | null;
  lag: { topped_up: number | null; posted: number | null; records: number | null };
  balanced: boolean;
};
export type Item = {
  message_id: string;
  user_id: string;
  /** null, as everything of the message itself, while only its outcome was read. */
  phone: string | null;
  text: string;
  type: string;
  sender: string;
  status: string;
  operator: string;
  encoding: string;
  pages: number;
  price: number;
  posted: number;
  attempts: number;
  error: string | null;
  flags: string[];
  batch_id: string | null;
  client_ref: string | null;
  replay_of: string | null;
  created_at: string;
  updated_at: string;
};
export type Timeline = {
  at: string;
  event: string;
  attempt: number | null;
  operator: string | null;
  detail: unknown;
}[];
export type Message = Item & { timeline: Timeline };
export type Page = { user_id: string; items: Item[]; counts: Record<string, number>; next_cursor: string | null };
export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string;
  errors?: { field: string; detail: string }[];
  message_id?: string;
};

/** Past these no retry and no sweep changes a message any more; a receipt may still. */
export const FINAL: ReadonlySet<string> = new Set(['sent', 'failed', 'delivered', 'undelivered']);

const mustBe = <T>(status: number, answer: Answer<T>): T => {
  if (answer.status !== status) throw new Error(`answered ${answer.status} instead of ${status}: ${answer.text}`);
  return answer.json;
};

const keyed = (key?: string): Record<string, string> => (key === undefined ? {} : { 'idempotency-key': key });

export type Api = ReturnType<typeof createApi>;

/** The calls; those that name no status of their own throw unless all went well. */
export function createApi(urls: Urls) {
  const call = <T>(service: keyof Urls, method: string, path: string, options?: Ask): Promise<Answer<T>> =>
    ask<T>(method, urls[service] + path, options);
  const get = async <T>(service: keyof Urls, path: string): Promise<T> =>
    mustBe(200, await call<T>(service, 'GET', path));
  const trySend = ({ text = 'hello', ...rest }: SendBody, key?: string): Promise<Answer<Accepted & Problem>> =>
    call('gateway', 'POST', '/send', { json: { text, ...rest }, headers: keyed(key) });
  const tryBatch = (userId: string, messages: unknown[], key?: string): Promise<Answer<BatchAnswer & Problem>> =>
    call('gateway', 'POST', '/send/batch', { json: { user_id: userId, messages }, headers: keyed(key) });
  return {
    call,
    charge: async (userId: string, amount: number): Promise<void> =>
      void mustBe(200, await call('billing', 'POST', `/charge/${userId}?amount=${amount}`)),
    trySend,
    send: async (body: SendBody, key?: string): Promise<Accepted> => mustBe(202, await trySend(body, key)),
    tryBatch,
    sendBatch: async (userId: string, messages: unknown[], key?: string): Promise<BatchAnswer> =>
      mustBe(202, await tryBatch(userId, messages, key)),
    balance: (userId: string): Promise<Balance> => get('billing', `/balance/${userId}`),
    audit: (userId: string): Promise<Audit> => get('billing', `/audit/${userId}`),
    report: (userId: string, query = ''): Promise<Page> => get('report', `/report/${userId}${query}`),
    message: (id: string): Promise<Message> => get('report', `/messages/${id}`),
  };
}
