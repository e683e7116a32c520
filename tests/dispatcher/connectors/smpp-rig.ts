/** A connector, its events and its end, for the SMPP tests. */
import type { Connector, LinkChange, OperatorReceipt, Submission } from '../../../dispatcher/connector.ts';
import { createSmppConnector } from '../../../dispatcher/connectors/smpp.ts';
import type { SmppSettings } from '../../../shared/sms/operators.ts';
import { until } from './fake-http-operator.ts';
import { smppSettings } from './smpp-settings.ts';

export type Rig = {
  connector: Connector;
  receipts: OperatorReceipt[];
  readyCalls: () => number;
  ready(): Promise<void>;
};

/** Quick to come back, so that no test waits for a second. */
export const QUICK: Partial<SmppSettings> = { reconnect: { minMs: 20, maxMs: 200 }, responseTimeoutMs: 5_000 };

export function createRig(
  port: number,
  over: Partial<SmppSettings> = {},
  onReceipt?: (receipt: OperatorReceipt) => void | Promise<void>,
  onLink: (change: LinkChange) => void = () => undefined,
): Rig {
  const receipts: OperatorReceipt[] = [];
  let readyCalls = 0;
  const connector = createSmppConnector('MCI', smppSettings({ port, ...QUICK, ...over }), {
    onLink,
    onReady: () => void readyCalls++,
    onReceipt: (receipt) => {
      receipts.push(receipt);
      return onReceipt?.(receipt);
    },
  });
  return {
    connector,
    receipts,
    readyCalls: () => readyCalls,
    ready: async () => void (await until(() => connector.ready, 'the connector is bound')),
  };
}

let count = 0;

export function submission(over: Partial<Submission> = {}): Submission {
  count += 1;
  return {
    messageId: `0199f3c2-0000-7000-8000-${String(count).padStart(12, '0')}`,
    attempt: 1,
    to: '+989121234567',
    from: '982000',
    text: `سلام ${count}`,
    encoding: 'ucs2',
    pages: 1,
    lane: 'normal',
    validUntil: Number.MAX_SAFE_INTEGER,
    ...over,
  };
}

/** UCS-2 of so many pages, each message its own. */
export function longSubmission(pages: number, over: Partial<Submission> = {}): Submission {
  count += 1;
  const text = `${count} ${'پیام'.repeat(pages * 17)}`.slice(0, pages * 67 - 1);
  return submission({ text, pages, ...over });
}
