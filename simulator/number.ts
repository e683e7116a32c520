/**
 * One form of a number for rules and questions, so that they need not know how a connector writes it: E.164 with the
 * plus. The records keep it as it was sent.
 */
export function e164(raw: string): string {
  if (raw.charCodeAt(0) === 43 && !/[^+0-9]/.test(raw)) return raw;
  const digits = raw.replace(/[^0-9]/g, '').replace(/^00/, '');
  if (/^09[0-9]{9}$/.test(digits)) return `+98${digits.slice(1)}`;
  if (/^9[0-9]{9}$/.test(digits)) return `+98${digits}`;
  return digits === '' ? raw : `+${digits}`;
}
