/** What the load generator is told, and what it answers. Both cross a pipe as JSON. */

/** Stands in a request for a number of eight digits that no other message has: operators over SMPP know messages by their text. */
export const SERIAL = 'SSSSSSSS';

/** One request, built once and sent as often as the plan says. */
export type Shot = {
  /** The whole HTTP/1.1 request; each SERIAL in it becomes the request's own. */
  request: string;
  /** Messages in it. */
  messages: number;
  /** What its messages cost together, Rials; 0 where nobody is charged. */
  rials: number;
};

export type LoadPlan = {
  host: string;
  port: number;
  /** Sent in turn. */
  shots: readonly Shot[];
  /** Keep-alive connections with one request on its way in each; with a rate, the most there may be. */
  connections: number;
  /** Ends after so many seconds or so many requests, whatever comes first; what is on its way is waited for. */
  seconds: number;
  requestsMax: number;
  /** Requests a second at even distances, whether answers come or not; 0: as fast as answers come. */
  ratePerS: number;
  /** How long answers are waited for after the end; what is not answered by then counts as lost. */
  graceMs: number;
  /** The first request's serial; each next one has the next. */
  serialFrom: number;
  /** Keeps the serial of each acceptance and its instant. */
  keepSerials: boolean;
};

export type LoadResult = {
  /** Epoch milliseconds. */
  startedAt: number;
  /** When the last answer came. */
  endedAt: number;
  requests: number;
  /** Answers by status. */
  statuses: Record<string, number>;
  /** Requests whose connection was lost, or that nobody answered: what became of them is not known. */
  lost: number;
  /** Messages accepted (a batch's own count is read) and their price. */
  accepted: number;
  acceptedRials: number;
  /** Of every answer, from the write of the request; with a rate, from the instant the request was due. */
  latencyMs: { mean: number; p50: number; p90: number; p99: number; p999: number; max: number };
  /** With a rate: requests that found every connection taken. */
  waited: number;
  /** Serial and epoch milliseconds of each 202, where they were to be kept. */
  serials: [number, number][];
};
