/** A delivery receipt as a PDU: deliver_sm with esm_class 0x04 (SMPP 3.4, 4.6 and appendix B). */
import { type Address, COMMAND, HEADER_BYTES, TLV, UDH_INDICATOR } from './smpp-pdu.ts';

export type ReceiptPdu = {
  source: Address;
  destination: Address;
  /** ASCII; cut where it and the UDH exceed what a short_message holds. */
  text: string;
  /** With its length octet; empty for none. */
  udh: Uint8Array;
  receiptedMessageId: string | null;
  messageState: number | null;
  networkErrorCode: number | null;
  userReference: number | null;
};

const RECEIPT = 0x04;
const GSM_NETWORK = 3;
const SHORT_MESSAGE_MAX = 254;
/** Every field of fixed size and all TLV heads; the texts come on top. */
const FIXED_BYTES = 64;

export function writeReceipt(sequence: number, receipt: ReceiptPdu): Buffer {
  const { source, destination, udh, receiptedMessageId, messageState, networkErrorCode, userReference } = receipt;
  const text = receipt.text.slice(0, SHORT_MESSAGE_MAX - udh.length);
  const texts = source.address.length + destination.address.length + text.length + (receiptedMessageId?.length ?? 0);
  const pdu = Buffer.alloc(HEADER_BYTES + FIXED_BYTES + udh.length + texts);
  let at = 4;
  const number = (value: number, bytes: 1 | 2 | 4): void => {
    at = pdu.writeUIntBE(value, at, bytes);
  };
  const cstring = (value: string): void => {
    at += pdu.write(value, at, 'latin1') + 1;
  };
  const address = (value: Address): void => {
    number(value.ton, 1);
    number(value.npi, 1);
    cstring(value.address);
  };
  const tlv = (tag: number, bytes: number): void => {
    number(tag, 2);
    number(bytes, 2);
  };

  number(COMMAND.deliver, 4);
  number(0, 4);
  number(sequence, 4);
  cstring('');
  address(source);
  address(destination);
  number(udh.length > 0 ? RECEIPT | UDH_INDICATOR : RECEIPT, 1);
  // Zeros: protocol_id, priority_flag, two times, registered_delivery, replace_if_present, data_coding, default message.
  at += 8;
  number(udh.length + text.length, 1);
  pdu.set(udh, at);
  at += udh.length;
  at += pdu.write(text, at, 'latin1');
  if (receiptedMessageId !== null) {
    tlv(TLV.receiptedMessageId, receiptedMessageId.length + 1);
    cstring(receiptedMessageId);
  }
  if (messageState !== null) {
    tlv(TLV.messageState, 1);
    number(messageState, 1);
  }
  if (networkErrorCode !== null) {
    tlv(TLV.networkErrorCode, 3);
    number(GSM_NETWORK, 1);
    number(networkErrorCode, 2);
  }
  if (userReference !== null) {
    tlv(TLV.userMessageReference, 2);
    number(userReference, 2);
  }
  pdu.writeUInt32BE(at, 0);
  return pdu.subarray(0, at);
}
