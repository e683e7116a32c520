/**
 * What happened in a run, from every side that can be asked, and the rules that hold of any such history whatever was
 * killed meanwhile. Pure.
 */

/** What a client was told of one send in the end. */
export type Told =
  /** 202. */
  | { kind: 'accepted'; id: string; price: number; userId: string }
  /** No answer, or one that says that nobody knows; the id where it was told. Nobody asked again. */
  | { kind: 'unknown'; id: string | null; userId: string }
  /** Any other answer. */
  | { kind: 'refused'; userId: string };

/** What the operators got of a message. */
export type Seen = { received: number; accepted: number };
/** What the report shows of a message. */
export type Shown = {
  userId: string;
  status: string;
  price: number;
  posted: number;
  attempts: number;
  flags: readonly string[];
  /** What follows a lost answer at its operator, where that is not the history's own policy. */
  policy?: 'wait' | 'resend';
  /** Its operator, or the way there, refused submits while it was on its way: it may have been tried again, or have failed. */
  refusable?: boolean;
};
export type Books = { topped_up: number; available: number; held: number; posted: number };

export type History = {
  /** What follows a lost answer: `resend` where the operators remove duplicates. */
  policy: 'wait' | 'resend';
  told: readonly Told[];
  /** By message id. */
  seen: ReadonlyMap<string, Seen>;
  shown: ReadonlyMap<string, Shown>;
  /** By account: what it was topped up with, and its books in Redis and in PostgreSQL. */
  accounts: ReadonlyMap<
    string,
    { charged: number; redis: Books & { open_holds: number }; postgres: { topped_up: number; posted: number } | null }
  >;
  /** How many messages may be flagged: what was claimed when a dispatcher was killed. */
  flaggedMax: number;
};

const DECIDED: ReadonlySet<string> = new Set(['sent', 'failed', 'delivered', 'undelivered']);
const PAID: ReadonlySet<string> = new Set(['sent', 'delivered', 'undelivered']);
const ATTEMPTS_MAX = 4;

function faultsOfMessage(id: string, shown: Shown, seen: Seen, ownPolicy: History['policy']): string[] {
  const faults: string[] = [];
  const { status, price, posted, attempts, flags, policy = ownPolicy, refusable = false } = shown;
  const fault = (what: string): void => void faults.push(`${id} (${status}, ${flags.join('+') || 'no flag'}): ${what}`);
  if (!DECIDED.has(status)) fault('has no terminal status');
  if (posted !== (PAID.has(status) ? price : 0)) fault(`posted ${posted} of ${price}`);
  if (attempts > ATTEMPTS_MAX) fault(`${attempts} attempts`);
  if (seen.accepted > 1) fault(`was accepted ${seen.accepted} times`);
  if (seen.received > 1 && policy === 'wait' && !refusable)
    fault(`was submitted ${seen.received} times though lost answers are waited for`);
  if (seen.received > 1 && policy === 'resend' && !refusable && !flags.includes('perhaps_double'))
    fault(`was submitted ${seen.received} times without a flag`);
  if (PAID.has(status) && seen.accepted === 0) fault('is paid, and no operator took it');
  if (status === 'failed' && seen.accepted > 0 && !flags.includes('perhaps_sent'))
    fault('was refunded without a flag, and an operator took it');
  if (policy === 'resend' && status === 'failed' && !refusable) fault('failed, though it could be asked for again');
  if (status === 'failed' && flags.length === 0 && !refusable) fault('failed, and nobody refused it');
  return faults;
}

function faultsOfAccount(userId: string, { told, shown, accounts }: History): string[] {
  const faults: string[] = [];
  const fault = (what: string): void => void faults.push(`account ${userId}: ${what}`);
  const { charged, redis, postgres } = accounts.get(userId) as NonNullable<ReturnType<History['accounts']['get']>>;
  const { topped_up, available, held, posted, open_holds } = redis;
  const own = [...shown.values()].filter((message) => message.userId === userId);
  const spent = own.reduce((sum, message) => sum + message.posted, 0);
  if (topped_up !== charged) fault(`topped up with ${charged}, its books say ${topped_up}`);
  if (topped_up !== available + held + posted)
    fault(`${topped_up} in, ${available} + ${held} + ${posted} accounted for`);
  if (held !== 0 || open_holds !== 0) fault(`${held} held by ${open_holds} messages after all was drained`);
  if (posted !== spent) fault(`posted ${posted}, its messages say ${spent}`);
  if (postgres === null || postgres.topped_up !== topped_up || postgres.posted !== posted)
    fault(`PostgreSQL says ${JSON.stringify(postgres)}, Redis ${topped_up} and ${posted}`);
  const accepted = told.filter((one) => one.userId === userId && one.kind === 'accepted').length;
  const unknown = told.filter((one) => one.userId === userId && one.kind === 'unknown').length;
  if (own.length < accepted || own.length > accepted + unknown)
    fault(`${own.length} messages of ${accepted} accepted and ${unknown} that nobody knows of`);
  return faults;
}

/** Every rule that is broken, a sentence each; none for a history as promised. */
export function faultsOf(history: History): string[] {
  const { told, seen, shown, accounts, policy, flaggedMax } = history;
  const faults: string[] = [];
  const ids = told.flatMap((one) => (one.kind === 'accepted' ? [one.id] : []));
  if (new Set(ids).size !== ids.length) faults.push('two sends were told the same message id');
  for (const one of told) {
    if (one.kind !== 'accepted') continue;
    const message = shown.get(one.id);
    if (!message) faults.push(`${one.id}: was accepted, and the report does not know it`);
    else if (message.price !== one.price || message.userId !== one.userId)
      faults.push(`${one.id}: is another's in the report`);
  }
  for (const id of seen.keys()) if (!shown.has(id)) faults.push(`${id}: was submitted without a hold`);
  for (const [id, message] of shown) {
    faults.push(...faultsOfMessage(id, message, seen.get(id) ?? { received: 0, accepted: 0 }, policy));
  }
  for (const userId of accounts.keys()) faults.push(...faultsOfAccount(userId, history));
  const flagged = [...shown.values()].filter(({ flags }) => flags.length > 0).length;
  if (flagged > flaggedMax)
    faults.push(`${flagged} messages are flagged, at most ${flaggedMax} were claimed at the kills`);
  return faults;
}
