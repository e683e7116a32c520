import { expect, test } from 'bun:test';
import { isLinkStatus, statusClass, statusWord } from '../../../dispatcher/connectors/statuses.ts';

const CLASSES: [string, number[]][] = [
  ['accepted', [0x00]],
  ['throttled', [0x58]],
  ['transient', [0x04, 0x08, 0x0d, 0x14, 0x45, 0x64]],
  [
    'rejected',
    [0x01, 0x02, 0x03, 0x06, 0x07, 0x0a, 0x0b, 0x65, 0x66, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0x400, 0xffff_ffff],
  ],
];

test.each(CLASSES)('%s is what the table says', (outcome, statuses) => {
  for (const status of statuses) expect([status, statusClass(status, {})]).toEqual([status, outcome as never]);
});

test("an operator's own meaning goes before the table, for that status alone", () => {
  const overrides = { '11': 'transient', '88': 'rejected', '1024': 'accepted' } as const;
  expect([0x0b, 0x58, 0x400, 0x0a, 0x08].map((status) => statusClass(status, overrides))).toEqual([
    'transient',
    'rejected',
    'accepted',
    'rejected',
    'transient',
  ]);
});

test('only "not bound" is a fault of the link', () => {
  expect([0x04, 0x0d, 0x08, 0x14, 0x58, 0x0b, 0x00].map(isLinkStatus)).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
});

test('the word of the report is one closed form', () => {
  expect([0x0b, 0x58, 0xffff_ffff].map(statusWord)).toEqual(['smpp_0x0000000b', 'smpp_0x00000058', 'smpp_0xffffffff']);
});
