/**
 * The one way to an operator, whatever it speaks. A connector submits one message at a time per free window slot and says in
 * one word what became of it; it decides nothing about money, retries or other operators.
 */

export type Submission = {
  /** Our id: operators that remove duplicates do so by it. */
  messageId: string;
  /** 1 to 4. */
  attempt: number;
  /** E.164. */
  to: string;
  from: string;
  text: string;
  encoding: 'gsm7' | 'ucs2';
  pages: number;
  lane: 'express' | 'normal' | 'bulk';
  /** Epoch milliseconds; nothing is sent after it. */
  validUntil: number;
};

/**
 * What became of one submit (DESIGN.md, outcomes at an operator). `error` is a closed, lower-case word for the report such as
 * `smpp_0x0000000b`, `http_400`, `connect_failed`, `no_answer`: never the operator's own free text.
 * `linkFault` is true when the link failed rather than the message: only that feeds the breaker.
 */
export type SubmitOutcome = Ended & {
  /** Some part was throttled, whatever became of the message: the rate is too high. */
  throttled?: boolean;
  /** Parts that were written once more. */
  rewritten?: number;
};
type Ended =
  /** Some parts may have been refused: acceptedParts < parts is a partial acceptance, never resent. */
  | {
      kind: 'accepted';
      operatorIds: string[];
      acceptedParts: number;
      parts: number;
      linkFault: false;
      /** Of a partial acceptance: the error of the worst part. */
      partError?: string;
    }
  /** `wrongNetwork`: refused because the number belongs to another operator now. */
  | { kind: 'rejected'; error: string; wrongNetwork: boolean; linkFault: boolean }
  | { kind: 'transient'; error: string; linkFault: boolean }
  | { kind: 'throttled'; error: string; retryAfterMs?: number; linkFault: false }
  /** Not written at all (not bound, no free slot): the claim is undone. */
  | { kind: 'released'; error: string; linkFault: boolean }
  /** Written, and no answer: it may have arrived. `operatorIds` holds what parts were accepted before. */
  | { kind: 'unknown'; error: string; operatorIds: string[]; linkFault: boolean };

export type OperatorReceipt = {
  operatorId: string;
  /** Our id where the operator echoes it. */
  messageId?: string;
  /** The handset's number (E.164) where the receipt names it. */
  phone?: string;
  status: 'delivered' | 'undelivered';
  error: string | null;
  /** Epoch milliseconds. */
  at: number;
};

export type ConnectorState = {
  connector: 'http' | 'smpp';
  /** May be submitted to now (SMPP: at least one bind is bound). */
  ready: boolean;
  /** SMPP: one entry per bind. */
  binds: {
    role: 'transceiver' | 'transmitter' | 'receiver';
    state: 'connecting' | 'bound' | 'waiting' | 'closed';
    inflight: number;
    reconnects: number;
    lastError: string | null;
  }[];
  inflight: number;
  windowSize: number;
  /** SMPP: what came over the links besides answers, since the start. */
  counters?: {
    /** Receipts with a final state, handed on. */
    receipts: number;
    /** Answered with a system error because `onReceipt` rejected, or with queue full because too many waited for it. */
    receiptsRefused: number;
    /** Without a change (accepted, en route) or without an id. */
    receiptsIgnored: number;
    /** From handsets: answered and dropped. */
    messagesIgnored: number;
    /** Answers to submits that had timed out, or that nobody asked for. */
    lateAnswers: number;
    /** PDUs that could not be read. */
    malformed: number;
    /** Links lost while bound. */
    linksLost: number;
  };
};

export type Connector = {
  /** All slots, over all binds. */
  readonly windowSize: number;
  /** Free slots now; 0 while not ready. */
  readonly free: number;
  readonly ready: boolean;
  /** Slots that a message takes: as many as it has submits of its own at the operator. */
  slotsOf(message: Pick<Submission, 'text' | 'encoding' | 'pages'>): number;
  /** Never rejects. Call it only while `free` > 0, else the answer is `released`. */
  submit(submission: Submission): Promise<SubmitOutcome>;
  state(): ConnectorState;
  /** Lets what is in flight end (bounded by the response timeout), then closes the links. */
  close(): Promise<void>;
};

/** `bind`: its place in the state's `binds`. `refused`: it could not be made; `reason` is an error's word, null for `made`. */
export type LinkChange = {
  bind: number;
  role: ConnectorState['binds'][number]['role'];
  state: 'made' | 'lost' | 'refused';
  reason: string | null;
};

export type ConnectorEvents = {
  /** SMPP: a bind's link was made, was lost, or could not be made; of the latter, each try. */
  onLink?(change: LinkChange): void;
  /** Readiness or free slots came back: the pump may go on. */
  onReady(): void;
  /**
   * SMPP answers the operator only after this has returned or resolved; a throw or a rejection answers with a system error, so
   * that the operator sends the receipt again.
   */
  onReceipt(receipt: OperatorReceipt): void | Promise<void>;
};
