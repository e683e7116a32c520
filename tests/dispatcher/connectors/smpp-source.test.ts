import { describe, expect, test } from 'bun:test';
import type { SmppSettings } from '../../../shared/sms/operators.ts';
import { submission } from './smpp-rig.ts';
import { accept, rigAt, smsc } from './smpp-scene.ts';

/** What the operator reads: type, plan, address. */
async function sourceSent(over: Partial<SmppSettings>, from: string) {
  const server = await smsc({ onSubmit: accept });
  const rig = rigAt(server.port, over);
  await rig.ready();
  expect((await rig.connector.submit(submission({ from }))).kind).toBe('accepted');
  const [pdu] = server.submits();
  return [pdu?.source_addr_ton, pdu?.source_addr_npi, pdu?.source_addr];
}

describe('the source address of a submit', () => {
  const lines = { Acme: '+982000550', '982000': 'AcmeBank' };
  test.each([
    ['nothing', {}, 'Acme', [5, 0, 'Acme']],
    ['nothing', {}, '982000', [0, 1, '982000']],
    ['one line for all', '983000', 'Acme', [0, 1, '983000']],
    ['one name for all', 'AcmeBank', '982000', [5, 0, 'AcmeBank']],
    ['a line for this name', lines, 'Acme', [1, 1, '982000550']],
    ['a name for this line', lines, '982000', [5, 0, 'AcmeBank']],
    ['lines for others', lines, '983000', [0, 1, '983000']],
    ['lines for others, and a name that every object knows', lines, 'constructor', [5, 0, 'constructor']],
  ] as const)('operator.json names %s (%j); the message is from %s', async (_, sourceAddress, from, sent) => {
    expect(await sourceSent({ sourceAddress }, from)).toEqual([...sent]);
  });

  test('type and plan that are fixed stay so', async () => {
    const fixed = { sourceAddress: 'AcmeBank', sourceTon: 3, sourceNpi: 9 };
    expect(await sourceSent(fixed, '982000')).toEqual([3, 9, 'AcmeBank']);
  });
});
