/** Integer Rials. Every amount and every total stays below 2^53, where doubles (and Lua's numbers) are still exact. */

/** The most that an account may ever have been topped up with, in Rials: 2^53 − 1 less room for one more amount. */
export const TOTAL_MAX_RIALS = 8_000_000_000_000_000;
/** The most of one top-up or correction, in Rials (15 digits). */
export const AMOUNT_MAX_RIALS = 999_999_999_999_999;

const AMOUNT = /^[0-9]{1,15}$/;

/** Whether this is a price or a part of one: whole Rials, from `least`, of 15 digits at most. */
export const isAmount = (rials: number, least = 1): boolean =>
  Number.isInteger(rials) && rials >= least && rials <= AMOUNT_MAX_RIALS;

/** A top-up's amount: plain digits, above zero; null otherwise. Nothing is coerced (no sign, exponent, blank or fraction). */
export function parseAmount(text: string): number | null {
  if (!AMOUNT.test(text)) return null;
  const rials = Number(text);
  return rials > 0 ? rials : null;
}

/** The share of so many parts in a message's price, Rials, rounded up to the Rial. */
export function shareOf(priceRials: number, parts: number, of: number): number {
  return parts >= of ? priceRials : Math.max(1, Math.ceil((priceRials * parts) / of));
}
