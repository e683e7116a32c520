/** Days as texts, such as 2026-11-23. */

const DAY = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/;

/** Whether PostgreSQL's calendar has this day: it has no 30th of February, and no year 0. */
export function isDay(text: string): boolean {
  if (!DAY.test(text) || text.startsWith('0000')) return false;
  const utc = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(utc.getTime()) && utc.toISOString().slice(0, 10) === text;
}
