/** One SMPP connection: who is bound at it, and what each PDU leads to. */
import type { Socket } from 'node:net';
import type { Operator } from './operator.ts';
import type { Receipt, Receipts } from './receipts.ts';
import type { Schedule } from './schedule.ts';
import { type Accounts, type Bind, type BindRequest, judgeBind, readBind, writeBindResp } from './smpp-bind.ts';
import { createEnquiry } from './smpp-enquire.ts';
import type { SmppOperator } from './smpp-operator.ts';
import { COMMAND, STATUS, writeHeader } from './smpp-pdu.ts';
import { type ReceiptPdu, writeReceipt } from './smpp-receipt.ts';
import { receiveSubmit } from './smpp-submit.ts';
import { createFrames, createOutbox } from './smpp-wire.ts';

export type SmppDeps = Accounts & { schedule: Schedule; receipts: Receipts };

export type SmppSession = {
  readonly bind: Bind | null;
  /** Submits without an answer. */
  outstanding: number;
  /** Receipts without an answer. */
  readonly receiptsOut: number;
  receives(): boolean;
  /** Goes out with everything else of this tick, in one write. */
  send(pdu: Buffer): void;
  sendReceipt(receipt: Receipt, pdu: ReceiptPdu): void;
  /** Those that were never answered, when the link is gone. */
  takeReceipts(): Receipt[];
  /** The dials have changed. */
  turned(): void;
  /** Half of this PDU goes out, then the link drops. */
  cut(pdu: Buffer): void;
  destroy(): void;
};

/** An SMSC hangs up on who connects and does not bind. */
const BIND_WAIT_MS = 30_000;
const RESPONSE = 0x80000000;

export function serveSession(deps: SmppDeps, socket: Socket): SmppSession {
  const { schedule } = deps;
  let bind: Bind | null = null;
  let owner: SmppOperator | null = null;
  let closed = false;
  let sequence = 0;
  const receipts = new Map<number, Receipt>();

  const outbox = createOutbox(socket, {
    frozen: () => owner?.operator.dials.freeze === true,
    inFragments: () => owner?.operator.dials.partial_pdus === 'fragments',
  });
  const nextSequence = (): number => {
    sequence = sequence >= 0x7fffffff ? 1 : sequence + 1;
    return sequence;
  };
  const left = (): void => {
    closed = true;
    frames.stop();
    outbox.stop();
    const leaving = owner;
    owner = null;
    leaving?.leave(session);
  };
  const destroy = (): void => {
    socket.destroy();
    left();
  };
  const hangUp = (lastPdu: Buffer): void => {
    outbox.send(lastPdu);
    outbox.flush();
    left();
    socket.end();
  };
  const enquiry = createEnquiry(schedule, {
    isOpen: () => !closed,
    drop: destroy,
    ask: () => {
      const number = nextSequence();
      outbox.send(writeHeader(COMMAND.enquireLink, STATUS.ok, number));
      return number;
    },
  });

  const admit = (request: BindRequest, asked: number): void => {
    const target = deps.operators.get(request.systemId);
    const status = bind === null ? judgeBind(deps, request) : STATUS.alreadyBound;
    if (status === STATUS.ok && target) {
      bind = request.bind;
      owner = target;
      target.operator.counters.binds++;
      target.join(session);
      enquiry.start(target.operator);
    } else if (target && bind === null) target.operator.counters.refused_connections++;
    if (status === 'refuse') destroy();
    else outbox.send(writeBindResp(request.bind, status, asked));
  };

  const answered = (number: number, status: number): void => {
    if (enquiry.answered(number) && owner) owner.operator.counters.enquire_links_answered++;
    const receipt = receipts.get(number);
    if (receipt === undefined) return;
    receipts.delete(number);
    owner?.answered(receipt, status);
  };

  const handle = (pdu: Buffer): void => {
    const command = pdu.readUInt32BE(4);
    const asked = pdu.readUInt32BE(12);
    if (command === COMMAND.submit) {
      if (owner !== null && bind !== 'receiver') receiveSubmit(deps, session, owner, pdu);
      else outbox.send(writeHeader(COMMAND.submitResp, STATUS.bindStatus, asked));
      return;
    }
    const request = readBind(pdu);
    if (command >= RESPONSE) answered(asked, pdu.readUInt32BE(8));
    else if (request !== null) admit(request, asked);
    else if (command === COMMAND.enquireLink) {
      if (owner) owner.operator.counters.enquire_links_received++;
      if (!owner?.operator.dials.enquire_link_silent)
        outbox.send(writeHeader(COMMAND.enquireLinkResp, STATUS.ok, asked));
    } else if (command === COMMAND.unbind) hangUp(writeHeader(COMMAND.unbindResp, STATUS.ok, asked));
    else {
      if (owner) owner.operator.counters.malformed++;
      outbox.send(writeHeader(COMMAND.genericNack, STATUS.commandId, asked));
    }
  };

  /** A frozen operator reads nothing more from its links, nor from who wants to bind at it. */
  const frozenAt = (pdu: Buffer): Operator | null => {
    if (owner !== null) return owner.operator.dials.freeze ? owner.operator : null;
    const request = readBind(pdu);
    const wanted = request && deps.operators.get(request.systemId)?.operator;
    return wanted?.dials.freeze ? wanted : null;
  };
  let held = false;
  const hold = (operator: Operator): void => {
    held = true;
    socket.pause();
    operator.whenThawed(() => {
      held = false;
      if (closed) return;
      outbox.flush();
      frames.resume();
      if (!held) socket.resume();
    });
  };

  const frames = createFrames(
    (pdu) => {
      const frozen = frozenAt(pdu);
      if (frozen === null) handle(pdu);
      else hold(frozen);
      return frozen === null;
    },
    (header) => {
      if (owner) owner.operator.counters.malformed++;
      const asked = header.length >= 16 ? header.readUInt32BE(12) : 0;
      hangUp(writeHeader(COMMAND.genericNack, STATUS.commandLength, asked));
    },
  );

  const session: SmppSession = {
    get bind() {
      return bind;
    },
    outstanding: 0,
    get receiptsOut() {
      return receipts.size;
    },
    receives: () => !closed && bind !== null && bind !== 'transmitter',
    send: outbox.send,
    sendReceipt: (receipt, pdu) => {
      const number = nextSequence();
      receipts.set(number, receipt);
      outbox.send(writeReceipt(number, pdu));
    },
    takeReceipts: () => {
      const taken = [...receipts.values()];
      receipts.clear();
      return taken;
    },
    turned: () => {
      if (owner) enquiry.start(owner.operator);
      outbox.flush();
    },
    cut: (pdu) => {
      outbox.cut(pdu);
      left();
    },
    destroy,
  };

  socket.setNoDelay(true);
  socket.on('data', frames.push);
  socket.on('close', left);
  // The peer is gone; 'close' follows.
  socket.on('error', () => undefined);
  schedule.after(BIND_WAIT_MS, () => {
    if (bind === null && !closed && !held) destroy();
  });
  return session;
}
