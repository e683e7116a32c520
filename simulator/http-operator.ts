/** `POST /:operator`: an operator's HTTP API, as the gateway's HTTP connector speaks it by default. */
import { JSON_TYPE, type Reply } from './http-connection.ts';
import { accepts, countOutcome, type Operator, writeId } from './operator.ts';
import type { Receipts } from './receipts.ts';
import { hashText } from './rng.ts';
import type { Schedule } from './schedule.ts';

const ID_MAX = 200;

export type HttpSubmit = { message_id: string; to: string; from: string; text: string; encoding: string };

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The submit in a body, or a sentence that says why there is none. */
export function readSubmit(body: Uint8Array): HttpSubmit | string {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(body));
  } catch {
    return 'the body is not JSON in UTF-8';
  }
  if (typeof value !== 'object' || value === null) return 'the body is not an object';
  const { message_id = '', to, from = '', text, encoding = '' } = value as Record<string, unknown>;
  if (typeof to !== 'string' || to === '' || to.length > ID_MAX) return 'to is missing';
  if (typeof text !== 'string') return 'text is missing';
  if (typeof message_id !== 'string' || message_id.length > ID_MAX) return 'message_id is not a short text';
  if ((from !== null && typeof from !== 'string') || typeof encoding !== 'string')
    return 'from or encoding is not a text';
  return { message_id, to, from: from ?? '', text, encoding };
}

const error = (code: string): string => `{"error":"${code}"}`;

type Deps = { schedule: Schedule; receipts: Receipts };

/** Decides one submit, records it and answers it, at once or after the operator's latency. */
export function answerSubmit({ schedule, receipts }: Deps, operator: Operator, body: Uint8Array, reply: Reply): void {
  const submit = readSubmit(body);
  if (typeof submit === 'string') {
    operator.counters.malformed++;
    reply.answer(400, JSON.stringify({ error: 'malformed', detail: submit }));
    return;
  }
  const { counters, tally, dials } = operator;
  const nowMs = Date.now();
  const named = submit.message_id !== '';
  const key = named ? submit.message_id : `${submit.to}\n${submit.text}`;
  counters.received++;
  const { outcome, httpStatus } = operator.judge(submit.to, submit.message_id, 1, nowMs);
  const slot = tally.slot(hashText(key));
  const before = tally.accepted(slot);
  const repeat = dials.dedupe && named && before > 0;
  const accepted = accepts(outcome) && !repeat;
  tally.countReceived(slot);

  let id = repeat ? tally.operatorId(slot) : 0;
  if (accepted) {
    id = operator.nextId();
    tally.countAccepted(slot, id);
    operator.countAccepted(nowMs);
    operator.countMessage(before, 1, () => key);
  } else if (repeat && accepts(outcome)) counters.duplicates++;
  countOutcome(counters, outcome);

  const shownId = id === 0 ? '' : writeId(id, dials.id_form, 'response');
  if (dials.record === 'full') {
    operator.records.see({
      key,
      messageId: submit.message_id,
      to: submit.to,
      from: submit.from,
      text: submit.text,
      encoding: submit.encoding,
      parts: 1,
      atMs: nowMs,
      received: 1,
      accepted: accepted ? 1 : 0,
      operatorIds: accepted ? [shownId] : [],
      references: [],
      partCounts: [],
      smpp: null,
    });
  }
  const latencyMs = operator.latencyMs();
  const { early } = dials.receipts;
  if (accepted && early) receipts.planHttp(operator, id, latencyMs);
  const answer = (): void => {
    if (outcome === 'disconnect_before' || outcome === 'disconnect_after') reply.drop();
    else if (outcome === 'accept') reply.answer(httpStatus, `{"id":"${shownId}"}`);
    else if (outcome === 'throttle') reply.answer(httpStatus, error(outcome), `${JSON_TYPE}retry-after: 1\r\n`);
    else if (outcome !== 'silent' && outcome !== 'silent_drop') reply.answer(httpStatus, error(outcome));
  };
  if (latencyMs === 0) answer();
  else schedule.after(latencyMs, () => operator.whenThawed(answer));
  if (accepted && !early) receipts.planHttp(operator, id, latencyMs);
}
