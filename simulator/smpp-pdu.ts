/**
 * The PDUs of the hot path, read and written by hand: submit_sm and its answer here, receipts beside it. The package's codec costs
 * several times as much a message, and a decoder of our own also proves what the client's encoder (the package) wrote.
 */

export const HEADER_BYTES = 16;
/** More than the largest message_payload with everything around it. */
export const PDU_MAX_BYTES = 70_000;

export const COMMAND = {
  genericNack: 0x80000000,
  bindReceiver: 0x01,
  bindTransmitter: 0x02,
  submit: 0x04,
  submitResp: 0x80000004,
  deliver: 0x05,
  deliverResp: 0x80000005,
  unbind: 0x06,
  unbindResp: 0x80000006,
  bindTransceiver: 0x09,
  enquireLink: 0x15,
  enquireLinkResp: 0x80000015,
} as const;

export const STATUS = {
  ok: 0x00,
  messageLength: 0x01,
  commandLength: 0x02,
  commandId: 0x03,
  bindStatus: 0x04,
  alreadyBound: 0x05,
  systemError: 0x08,
  password: 0x0e,
  systemId: 0x0f,
  queueFull: 0x14,
  throttled: 0x58,
  tlvStream: 0xc0,
  temporary: 0x64,
} as const;

export const TLV = {
  receiptedMessageId: 0x001e,
  userMessageReference: 0x0204,
  sarReference: 0x020c,
  sarTotal: 0x020e,
  sarNumber: 0x020f,
  networkErrorCode: 0x0423,
  messagePayload: 0x0424,
  messageState: 0x0427,
} as const;

export type Address = { ton: number; npi: number; address: string };

export type Concatenation = 'none' | 'udh8' | 'udh16' | 'sar';

export type SubmitPdu = {
  serviceType: string;
  source: Address;
  destination: Address;
  esmClass: number;
  protocolId: number;
  priority: number;
  scheduleDelivery: string;
  validity: string;
  registeredDelivery: number;
  dataCoding: number;
  /** Without its UDH. A view of the PDU: copy what outlives it. */
  message: Buffer;
  /** With its length octet; empty for none. A view as well. */
  udh: Buffer;
  inPayload: boolean;
  concatenation: Concatenation;
  /** Of a long message's part; 1 of 1 for a whole one. */
  reference: number;
  total: number;
  number: number;
  userReference: number | null;
};

const NOTHING = Buffer.alloc(0);
export const UDH_INDICATOR = 0x40;

/** A PDU that cannot be read, and the status that says so. */
export type Unreadable = number;

/** Reads a whole submit_sm. Answers a command status where it breaks the protocol. */
export function readSubmit(pdu: Buffer): SubmitPdu | Unreadable {
  const end = pdu.length;
  let at = HEADER_BYTES;
  let broken = false;

  const byte = (): number => {
    if (at >= end) broken = true;
    return pdu[at++] ?? 0;
  };
  const text = (): string => {
    const from = at;
    while (at < end && pdu[at] !== 0) at++;
    if (at >= end) broken = true;
    return from === at++ ? '' : pdu.toString('latin1', from, at - 1);
  };

  const serviceType = text();
  const source = { ton: byte(), npi: byte(), address: text() };
  const destination = { ton: byte(), npi: byte(), address: text() };
  const esmClass = byte();
  const protocolId = byte();
  const priority = byte();
  const scheduleDelivery = text();
  const validity = text();
  const registeredDelivery = byte();
  byte();
  const dataCoding = byte();
  byte();
  const length = byte();
  if (broken) return STATUS.commandLength;
  if (at + length > end) return STATUS.messageLength;

  const submit: SubmitPdu = {
    serviceType,
    source,
    destination,
    esmClass,
    protocolId,
    priority,
    scheduleDelivery,
    validity,
    registeredDelivery,
    dataCoding,
    message: pdu.subarray(at, at + length),
    udh: NOTHING,
    inPayload: false,
    concatenation: 'none',
    reference: 0,
    total: 1,
    number: 1,
    userReference: null,
  };
  if (!readTlvs(submit, pdu, at + length)) return STATUS.tlvStream;
  if ((esmClass & UDH_INDICATOR) !== 0 && !takeUdh(submit)) return STATUS.messageLength;
  if (submit.number < 1 || submit.number > submit.total) return STATUS.messageLength;
  return submit;
}

/** Whether the TLVs from `at` on are whole; those known are put into the submit. */
function readTlvs(submit: SubmitPdu, pdu: Buffer, from: number): boolean {
  let at = from;
  while (at < pdu.length) {
    if (at + 4 > pdu.length) return false;
    const tag = pdu.readUInt16BE(at);
    const length = pdu.readUInt16BE(at + 2);
    at += 4;
    if (at + length > pdu.length) return false;
    if (tag === TLV.messagePayload) {
      submit.message = pdu.subarray(at, at + length);
      submit.inPayload = true;
    } else if (tag === TLV.userMessageReference && length === 2) submit.userReference = pdu.readUInt16BE(at);
    else if (tag === TLV.sarReference && length === 2) {
      submit.reference = pdu.readUInt16BE(at);
      submit.concatenation = 'sar';
    } else if (tag === TLV.sarTotal && length === 1) submit.total = pdu[at] as number;
    else if (tag === TLV.sarNumber && length === 1) submit.number = pdu[at] as number;
    at += length;
  }
  return true;
}

/** Parts the message from its UDH and reads the concatenation in it. False when the UDH lies beyond the message. */
function takeUdh(submit: SubmitPdu): boolean {
  const { message } = submit;
  const end = 1 + (message[0] ?? 0);
  if (message.length === 0 || end > message.length) return false;
  submit.udh = message.subarray(0, end);
  submit.message = message.subarray(end);
  for (let at = 1; at + 2 <= end; at += 2 + (message[at + 1] as number)) {
    const length = message[at + 1] as number;
    if (at + 2 + length > end) return false;
    const wide = message[at] === 8 && length === 4;
    if (!wide && !(message[at] === 0 && length === 3)) continue;
    submit.concatenation = wide ? 'udh16' : 'udh8';
    submit.reference = wide ? message.readUInt16BE(at + 2) : (message[at + 2] as number);
    submit.total = message[at + length] as number;
    submit.number = message[at + length + 1] as number;
  }
  return true;
}

/** A PDU that is nothing but its header. */
export function writeHeader(command: number, status: number, sequence: number): Buffer {
  const pdu = Buffer.allocUnsafe(HEADER_BYTES);
  pdu.writeUInt32BE(HEADER_BYTES, 0);
  pdu.writeUInt32BE(command, 4);
  pdu.writeUInt32BE(status, 8);
  pdu.writeUInt32BE(sequence, 12);
  return pdu;
}

/** An answer to submit_sm with the operator's id. */
export function writeSubmitResp(sequence: number, id: string): Buffer {
  const length = HEADER_BYTES + id.length + 1;
  const pdu = Buffer.allocUnsafe(length);
  pdu.writeUInt32BE(length, 0);
  pdu.writeUInt32BE(COMMAND.submitResp, 4);
  pdu.writeUInt32BE(0, 8);
  pdu.writeUInt32BE(sequence, 12);
  pdu.write(id, HEADER_BYTES, 'latin1');
  pdu[length - 1] = 0;
  return pdu;
}
