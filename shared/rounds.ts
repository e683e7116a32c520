/** Work that is done again and again, one round at a time. */

/**
 * Does a round at once, and the next one so long after its end, until closed.
 * @param round never rejects; asks `closed` where it may stop in the middle
 * @returns `close` resolves when no round is under way and none will come
 */
export function startRounds(
  round: (closed: () => boolean) => Promise<unknown>,
  everyMs: number,
): { close(): Promise<void> } {
  let closed = false;
  let timer: ReturnType<typeof setTimeout>;
  let running: Promise<void> = Promise.resolve();
  const loop = (): void => {
    if (closed) return;
    running = round(() => closed).then(() => {
      timer = setTimeout(loop, everyMs);
    });
  };
  loop();
  return {
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await running;
      // The round that was under way has set it anew.
      clearTimeout(timer);
    },
  };
}
