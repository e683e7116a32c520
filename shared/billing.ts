/** proto/billing.proto in TypeScript: what travels between billing and its callers. int64 are numbers, Rials or epoch milliseconds. */

export type Ref = { user_id: string; message_id: string };
export type Published = Ref & { version: number };

export type HoldItem = {
  message_id: string;
  price: number;
  valid_until: number;
  event: Uint8Array;
  answer: string;
};
export type HoldGroup = {
  user_id: string;
  idempotency_key: string;
  body_hash: string;
  batch_id: string;
  refused: string;
  items: HoldItem[];
};
export type HoldRequest = { groups: HoldGroup[]; produced: Ref[] };
export type HoldGroupReply = {
  outcome: number;
  codes: number[];
  answers: string[];
  batch_id: string;
  open: number;
  refused: string;
};
export type HoldReply = { groups: HoldGroupReply[] };
export const HoldOutcome = { HELD: 0, REPLAYED: 1, CONFLICT: 2, OVERLOADED: 3 } as const;
export const HoldCode = { OK: 0, INSUFFICIENT: 1, STALE: 2 } as const;

export type ClaimItem = Ref & {
  attempt: number;
  claim: number;
  operator: string;
  resend_unknown: boolean;
  unknown_wait_ms: number;
};
export type ClaimRequest = { owner: string; ttl_ms: number; items: ClaimItem[]; published: Published[] };
export type ClaimResult = {
  code: number;
  version: number;
  outcome: string;
  retry: string;
  retry_number: number;
  not_before: number;
};
export type ClaimReply = { results: ClaimResult[] };
export const ClaimCode = { CLAIMED: 0, ABSENT: 1, DECIDED: 2, BUSY: 3, NEWER: 4, EARLY: 5 } as const;

export type SettleItem = Ref & {
  attempt: number;
  claim: number;
  outcome: number;
  operator: string;
  operator_ids: string[];
  amount: number;
  error: string;
  flags: string[];
};
export type SettleRequest = { owner: string; items: SettleItem[]; published: Published[] };
export type SettleResult = { applied: boolean; version: number; outcome: string; retry: string; retry_number: number };
export type SettleReply = { results: SettleResult[] };
export const Outcome = { SENT: 0, REJECTED: 1, TRANSIENT: 2, UNKNOWN: 3, RELEASED: 4 } as const;

export type RelayRequest = { owner: string; max: number; after: number; by: number };
export type RelayReply = { events: string[]; reached: number; more: boolean };
export type BalanceRequest = { user_id: string };
export type BalanceReply = { available: number; held: number; posted: number; topped_up: number; open_holds: number };

/** Each method's request and reply. */
export type BillingMethods = {
  Hold: [HoldRequest, HoldReply];
  Claim: [ClaimRequest, ClaimReply];
  Settle: [SettleRequest, SettleReply];
  Relay: [RelayRequest, RelayReply];
  GetBalance: [BalanceRequest, BalanceReply];
};
export type BillingMethod = keyof BillingMethods;
