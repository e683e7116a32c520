/** How far a partition is done: what its consumer may commit. */

/** A partition's records in flight: what may be committed is everything before the first that is not done. */
export type Watermark = { open: number[]; head: number; done: Set<number>; next: number; committed: number };

export function createWatermark(): Watermark {
  return { open: [], head: 0, done: new Set(), next: -1, committed: -1 };
}

export function openOffset(mark: Watermark, offset: number): void {
  mark.open.push(offset);
  // Where a partition begins is where its group stands already: nothing to commit until a record is done.
  if (mark.next < 0) mark.next = mark.committed = offset;
}

/** Marks an offset as done; moves the watermark past every done record at its front. */
export function doneOffset(mark: Watermark, offset: number): void {
  mark.done.add(offset);
  while (mark.head < mark.open.length && mark.done.has(mark.open[mark.head] as number)) {
    const passed = mark.open[mark.head] as number;
    mark.done.delete(passed);
    mark.next = passed + 1;
    mark.head += 1;
  }
  if (mark.head > 1024 && mark.head * 2 > mark.open.length) {
    mark.open.splice(0, mark.head);
    mark.head = 0;
  }
}
