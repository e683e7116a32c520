/** Numbers for tests: each its own, so that one test's rules at the simulator are never another's. */

let used = 0;

/** A number nobody else in this process has, `09…`. @param prefix the digits after the leading 0 */
export function newPhone(prefix: string): string {
  used += 1;
  return `0${prefix}${String(used).padStart(10 - prefix.length, '0')}`;
}

/** As the services keep it. */
export const e164 = (phone: string): string => `+98${phone.slice(1)}`;

/** A rule's pattern for exactly these numbers. */
export const only = (...phones: string[]): string => `^(${phones.map((phone) => `\\${e164(phone)}`).join('|')})$`;
