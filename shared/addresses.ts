/** IP addresses and networks: which a list holds, and who a request really came from. */
import { BlockList, isIP } from 'node:net';

/** True when an address is in the list. IPv4 in IPv6's clothes counts as IPv4. */
export type Addresses = (address: string) => boolean;

const plain = (address: string): string => /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;

/** Reads addresses and networks such as `127.0.0.1`, `10.0.0.0/8`, `fd00::/8`; null when one is neither. */
export function parseAddresses(list: readonly string[]): Addresses | null {
  const block = new BlockList();
  for (const entry of list) {
    const [, address = '', prefix] = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(entry.trim()) ?? [];
    const version = isIP(address);
    if (version === 0) return null;
    const family = version === 4 ? 'ipv4' : 'ipv6';
    const bits = version === 4 ? 32 : 128;
    if (prefix === undefined) block.addAddress(address, family);
    else if (Number(prefix) <= bits) block.addSubnet(address, Number(prefix), family);
    else return null;
  }
  return (given) => {
    const address = plain(given);
    const version = isIP(address);
    return version !== 0 && block.check(address, version === 4 ? 'ipv4' : 'ipv6');
  };
}

/**
 * Who a request came from: the peer of its connection, or, where that is a trusted proxy, the last in X-Forwarded-For that is
 * none. What stands before that may be anybody's invention.
 */
export function clientAddress(peer: string, forwardedFor: string | null, trusted: Addresses | null): string {
  let address = plain(peer);
  if (trusted === null || forwardedFor === null) return address;
  const hops = forwardedFor.split(',');
  while (trusted(address)) {
    const hop = hops.pop()?.trim();
    if (hop === undefined) return address;
    if (isIP(hop) === 0) return '';
    address = plain(hop);
  }
  return address;
}
