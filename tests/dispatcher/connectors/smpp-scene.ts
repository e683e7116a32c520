/** What an SMPP test opens is closed after it, the last first; and the outcomes that most of them expect. */
import { afterEach } from 'bun:test';
import type { Pdu } from 'smpp';
import type { LinkChange, OperatorReceipt } from '../../../dispatcher/connector.ts';
import type { SmppSettings } from '../../../shared/sms/operators.ts';
import { type SimulatorConfig, start } from '../../../simulator/index.ts';
import { type FakeLink, type FakeSmsc, fakeSmsc } from './fake-smsc.ts';
import { createRig, type Rig } from './smpp-rig.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

export const closeAfter = (close: () => unknown): void => void closers.push(close);

export async function simulator(config: SimulatorConfig = {}) {
  const running = await start({ host: '127.0.0.1', httpPort: 0, smppPort: 0, ...config });
  closeAfter(() => running.close());
  return running;
}

export async function smsc(...script: Parameters<typeof fakeSmsc>): Promise<FakeSmsc> {
  const running = await fakeSmsc(...script);
  closeAfter(() => running.close());
  return running;
}

export function rigAt(
  port: number,
  over: Partial<SmppSettings> = {},
  onReceipt?: (receipt: OperatorReceipt) => void | Promise<void>,
  onLink?: (change: LinkChange) => void,
): Rig {
  const rig = createRig(port, over, onReceipt, onLink);
  closeAfter(() => rig.connector.close());
  return rig;
}

export const accept = (pdu: Pdu, link: FakeLink, nth: number): void => link.answer(pdu, { message_id: `id-${nth}` });

export const accepted = (operatorIds: string[]) => ({
  kind: 'accepted' as const,
  operatorIds,
  acceptedParts: operatorIds.length,
  parts: operatorIds.length,
  linkFault: false as const,
});

export const unknown = (error: string) => ({ kind: 'unknown' as const, error, operatorIds: [], linkFault: true });
