/** What PostgreSQL's refusals mean for us. */
import { within } from '../shared/deadline.ts';
import { AppError } from '../shared/error.ts';

/**
 * `away`: it cannot be asked now; ask again. `conflict`: two writers met; ask again at once. `partition`: another replica
 * dropped a day. `data`: this very data cannot be written, ever. `other`: a fault of ours or of the server's state.
 */
export type Fault = 'away' | 'conflict' | 'partition' | 'data' | 'other';

const AWAY = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  // Shutting down, crashed, starting up, too many connections; a statement that took too long.
  '57P01',
  '57P02',
  '57P03',
  '57014',
  '53300',
]);
const CONFLICT = new Set(['40P01', '40001', '55P03']);

export function faultOf(thrown: unknown): Fault {
  const { code, message = '' } = (thrown ?? {}) as { code?: string; message?: string };
  if (typeof code !== 'string') return 'other';
  if (AWAY.has(code) || code.startsWith('08')) return 'away';
  if (CONFLICT.has(code)) return 'conflict';
  // A table that was dropped between the look and the write, or a row that no partition takes.
  if (code === '23514' && message.includes('partition')) return 'partition';
  // Data exceptions, integrity violations, and what exceeds a limit of a page or an index.
  return code.startsWith('22') || code.startsWith('23') || code.startsWith('54') ? 'data' : 'other';
}

/** Rejects as `away` when the work is not done in time: a frozen server or a silent network answers nothing, for minutes. */
export const answersWithin = <T>(ms: number, work: Promise<T>): Promise<T> =>
  within(ms, work, `PostgreSQL did not answer within ${ms / 1_000} s`, 'CONNECT_TIMEOUT');

/** Above the server's own limit of ten seconds for a statement. */
const READ_WITHIN_MS = 12_000;

/** Asks the database for an answer to a request; what it cannot give now is `unavailable`. */
export async function ask<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await answersWithin(READ_WITHIN_MS, read());
  } catch (thrown) {
    // drizzle wraps what the driver threw.
    const cause = thrown instanceof Error && thrown.cause !== undefined ? thrown.cause : thrown;
    if (faultOf(thrown) === 'away' || faultOf(cause) === 'away')
      throw new AppError('unavailable', 'The reports cannot be read at the moment; ask again.', { cause: thrown });
    throw thrown;
  }
}
