/** One timer for whoever has several reasons to look again: the earliest counts. */
export type Alarm = {
  /** @param now by the monotonic clock, milliseconds */
  set(now: number, afterMs: number): void;
  stop(): void;
};

export function createAlarm(ring: () => void): Alarm {
  let timer: ReturnType<typeof setTimeout> | null = null;
  let ringsAt = Number.POSITIVE_INFINITY;
  const stop = (): void => {
    if (timer) clearTimeout(timer);
    timer = null;
    ringsAt = Number.POSITIVE_INFINITY;
  };
  return {
    set: (now, afterMs) => {
      const at = now + Math.max(1, afterMs);
      if (at >= ringsAt) return;
      stop();
      ringsAt = at;
      timer = setTimeout(() => {
        stop();
        ring();
      }, at - now);
    },
    stop,
  };
}
