/** Who may bind, and as what. */
import smpp from 'smpp';
import type { SmppOperator } from './smpp-operator.ts';
import { COMMAND, STATUS } from './smpp-pdu.ts';

export type Bind = 'transceiver' | 'transmitter' | 'receiver';

export type Accounts = {
  /** By system_id in lower case. */
  operators: ReadonlyMap<string, SmppOperator>;
  passwords: ReadonlyMap<string, string>;
};

export type BindRequest = { bind: Bind; systemId: string; password: string };

const BINDS: Readonly<Record<number, Bind>> = {
  [COMMAND.bindReceiver]: 'receiver',
  [COMMAND.bindTransmitter]: 'transmitter',
  [COMMAND.bindTransceiver]: 'transceiver',
};

/** The bind that a PDU asks for, or null when it is something else. What cannot be read is empty. */
export function readBind(bytes: Buffer): BindRequest | null {
  const bind = BINDS[bytes.readUInt32BE(4)];
  if (bind === undefined) return null;
  try {
    const { system_id = '', password = '' } = new smpp.PDU(bytes);
    return { bind, systemId: system_id.toLowerCase(), password };
  } catch {
    return { bind, systemId: '', password: '' };
  }
}

/** A command status to answer with, or `refuse` to hang up without a word. */
export function judgeBind({ operators, passwords }: Accounts, request: BindRequest): number | 'refuse' {
  const target = operators.get(request.systemId);
  if (target === undefined) return STATUS.systemId;
  const { dials } = target.operator;
  if (!dials.accept_connections) return 'refuse';
  if (passwords.get(request.systemId) !== request.password) return STATUS.password;
  return dials.bind_status;
}

/** The answer to a bind: who answers and the version it speaks (3.4), or a status alone. */
export function writeBindResp(bind: Bind, status: number, sequence: number): Buffer {
  const fields = status === STATUS.ok ? { system_id: 'simulator', sc_interface_version: 0x34 } : {};
  const head = { command_status: status, sequence_number: sequence };
  return new smpp.PDU(`bind_${bind}_resp`, { ...fields, ...head }).toBuffer();
}
