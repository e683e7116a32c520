import { expect, test } from 'bun:test';
import { clientAddress, parseAddresses } from '../../shared/addresses.ts';

const list = parseAddresses(['127.0.0.1', '10.0.0.0/8', ' fd00::/8 ', '2001:db8::7']);

test.each([
  ['127.0.0.1', true],
  ['127.0.0.2', false],
  ['10.255.3.4', true],
  ['11.0.0.1', false],
  ['::ffff:10.1.2.3', true],
  ['::ffff:11.1.2.3', false],
  ['fd12::1', true],
  ['fe80::1', false],
  ['2001:db8::7', true],
  ['2001:db8:0:0:0:0:0:7', true],
  ['2001:db8::8', false],
  ['', false],
  ['localhost', false],
  ['10.0.0.1.evil', false],
])('%p is in the list: %p', (address, held) => {
  expect(list?.(address)).toBe(held);
});

test.each(['', 'localhost', '10.0.0', '10.0.0.0/33', '10.0.0.0/', 'fd00::/129', '10.0.0.1/8/8', '1.2.3.4,5.6.7.8'])(
  '%p is no address and no network',
  (entry) => {
    expect(parseAddresses([entry])).toBeNull();
  },
);

test('one bad entry spoils the list, so that no typing error opens a door', () => {
  expect(parseAddresses(['127.0.0.1', '10.0.0.0/99'])).toBeNull();
});

test('an empty list holds nobody', () => {
  expect(parseAddresses([])?.('127.0.0.1')).toBe(false);
});

const proxies = parseAddresses(['10.0.0.0/8']);

test.each([
  ['nobody is trusted: the header is anybody’s word', '1.1.1.1', '9.9.9.9', null, '1.1.1.1'],
  ['a stranger’s header is not believed', '1.1.1.1', '9.9.9.9', proxies, '1.1.1.1'],
  ['a proxy’s word is taken', '10.0.0.1', '9.9.9.9', proxies, '9.9.9.9'],
  ['what a client invented stands further left', '10.0.0.1', '127.0.0.1, 9.9.9.9', proxies, '9.9.9.9'],
  ['a chain of proxies is passed', '10.0.0.1', '9.9.9.9, 10.0.0.3, 10.0.0.2', proxies, '9.9.9.9'],
  ['a proxy without the header speaks for itself', '10.0.0.1', null, proxies, '10.0.0.1'],
  ['proxies all the way', '10.0.0.1', '10.0.0.2', proxies, '10.0.0.2'],
  ['words instead of an address are nobody', '10.0.0.1', 'unknown', proxies, ''],
  ['IPv4 in IPv6’s clothes is the same proxy', '::ffff:10.0.0.1', '9.9.9.9', proxies, '9.9.9.9'],
])('%s', (_, peer, header, trusted, client) => {
  expect(clientAddress(peer, header, trusted)).toBe(client);
});
