/**
 * What an SMSC's command_status means for a message: a pure table (SMPP 3.4, 5.1.3, read as docs/OPERATORS.md says), with each
 * operator's own overrides before it, since operators differ.
 */
import type { OutcomeClass, StatusOverrides } from '../../shared/sms/operators.ts';

export const ESME_ROK = 0x00;
export const ESME_RINVCMDLEN = 0x02;
export const ESME_RINVCMDID = 0x03;
export const ESME_RSYSERR = 0x08;
export const ESME_RMSGQFUL = 0x14;

/** The session is not what we think it is: only a new bind helps. */
const NOT_BOUND: ReadonlySet<number> = new Set([0x04, 0x0d]);

/** What is not named here is `rejected`: a status nobody knows will not become another one by trying again. */
const CLASSES: ReadonlyMap<number, OutcomeClass> = new Map([
  [ESME_ROK, 'accepted'],
  [0x04, 'transient'], // ESME_RINVBNDSTS, not bound as a transmitter
  [ESME_RSYSERR, 'transient'],
  [0x0d, 'transient'], // ESME_RBINDFAIL
  [ESME_RMSGQFUL, 'transient'],
  [0x45, 'transient'], // ESME_RSUBMITFAIL
  [0x58, 'throttled'], // ESME_RTHROTTLED
  [0x64, 'transient'], // ESME_RX_T_APPN, temporary application error
]);

/** @param overrides by the status in decimal, from operator.json */
export function statusClass(status: number, overrides: StatusOverrides): OutcomeClass {
  return overrides[String(status)] ?? CLASSES.get(status) ?? 'rejected';
}

/** True where the status says that the session, not the message, is at fault. */
export const isLinkStatus = (status: number): boolean => NOT_BOUND.has(status);

/** The word for the report, e.g. `smpp_0x0000000b`. */
export const statusWord = (status: number): string => `smpp_0x${(status >>> 0).toString(16).padStart(8, '0')}`;
