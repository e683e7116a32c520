/** A bound on waiting for what cannot be called off. */

/**
 * What `work` resolves to, or a rejection once `ms` have passed; the work itself goes on and nobody hears of it.
 * @param code of that rejection, for who tells faults by their codes
 */
export function within<T>(ms: number, work: Promise<T>, late: string, code?: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const bound = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(late), code === undefined ? {} : { code })), ms);
  });
  return Promise.race([work, bound]).finally(() => clearTimeout(timer));
}
