/** From what a client sent to a message that is ready to be held, or to the reason why not. Pure. */
import { AppError } from '../shared/error.ts';
import type { MessageEvent } from '../shared/events.ts';
import { encodingOf, forcesUcs2, isWellFormed, unitsOf } from '../shared/sms/encoding.ts';
import { pagesOf } from '../shared/sms/pages.ts';
import { parsePhone } from '../shared/sms/phone.ts';
import { type Prices, priceOf } from '../shared/sms/price.ts';

import { type Senders, senderFor } from '../shared/sms/sender.ts';

/** One message as the API takes it. */
export type SendItem = {
  phone: string;
  text: string;
  type?: 'express' | 'normal';
  sender?: string;
  client_ref?: string;
  replay_of?: string;
  valid_for_s?: number;
};

export type Rules = {
  /** Who carries a number: a ported number's operator, else the longest prefix's; null when nobody does. */
  operatorOf: (phone: string) => string | null;
  prices: Prices;
  senders: Senders;
  pagesMax: number;
  /** How long each type may wait for its submit when the client does not say, seconds. */
  validS: { express: number; normal: number };
};

const refuse = (field: string, detail: string): never => {
  throw new AppError('invalid_request', 'The message does not fit.', { fields: [{ field, detail }] });
};

/** The encoding, its pages and the price per message of a text. Throws `invalid_request` for a text that cannot be sent. */
function measure(rules: Rules, text: string, type: 'express' | 'normal', operator: string | null) {
  if (!isWellFormed(text)) refuse('text', 'holds half of a surrogate pair');
  // No handset shows it, and PostgreSQL cannot keep it: the report would not know the message.
  if (text.includes('\0')) refuse('text', 'holds a NUL character');
  const encoding = encodingOf(text);
  const pages = pagesOf(text, encoding);
  if (pages > rules.pagesMax) refuse('text', `has more than ${rules.pagesMax} pages`);
  return { encoding, pages, price: priceOf(rules.prices, { type, encoding, operator: operator ?? '', pages }) };
}

/**
 * Checks and prices a message. Throws `invalid_request` or `no_route`.
 * @param nowMs the instant of acceptance, epoch milliseconds
 */
export function composeMessage(rules: Rules, userId: string, item: SendItem, id: string, nowMs: number): MessageEvent {
  const phone = parsePhone(item.phone) ?? refuse('phone', 'is not an Iranian mobile number');
  const operator = rules.operatorOf(phone);
  if (operator === null) throw new AppError('no_route', 'No operator carries the prefix of this number.');
  const sender = senderFor(rules.senders, userId, item.sender);
  if (!sender.ok) return refuse('sender', 'is not a line number of this account');
  const type = item.type ?? 'normal';
  const { encoding, pages, price } = measure(rules, item.text, type, operator);
  const event: MessageEvent = {
    id,
    user_id: userId,
    phone,
    text: item.text,
    type,
    lane: type,
    sender: sender.sender,
    operator,
    encoding,
    pages,
    price,
    accepted_at: nowMs,
    valid_until: nowMs + (item.valid_for_s ?? rules.validS[type]) * 1_000,
  };
  if (item.client_ref !== undefined) event.client_ref = item.client_ref;
  if (item.replay_of !== undefined) event.replay_of = item.replay_of;
  return event;
}

export type Preview = { encoding: 'gsm7' | 'ucs2'; units: number; pages: number; price: number; forces_ucs2: string[] };

/** What a text would cost. Without a phone the price is that of no operator in particular. */
export function previewMessage(
  rules: Rules,
  { text, type = 'normal', phone }: { text: string; type?: 'express' | 'normal'; phone?: string },
): Preview {
  const parsed = phone === undefined ? null : (parsePhone(phone) ?? refuse('phone', 'is not an Iranian mobile number'));
  const operator = parsed === null ? null : rules.operatorOf(parsed);
  if (parsed !== null && operator === null)
    throw new AppError('no_route', 'No operator carries the prefix of this number.');
  const { encoding, pages, price } = measure(rules, text, type, operator);
  return { encoding, units: unitsOf(text, encoding), pages, price, forces_ucs2: forcesUcs2(text) };
}
