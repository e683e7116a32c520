/** An operator as GET /operators shows it. */
import { type Static, Type } from '@sinclair/typebox';
import { oneOf } from '../shared/openapi.ts';
import type { ConnectorState } from './connector.ts';
import { isReceiving, type Line, rateNow } from './line.ts';

const count = (description: string) => Type.Integer({ description });

const Links = Type.Object(
  {
    lost: count('links that were bound and went'),
    receipts: count('with a final state, handed on'),
    receipts_refused: count('could not be kept: the operator is to send them again'),
    receipts_ignored: count('of no final state, or without an id'),
    messages_ignored: count('from handsets: answered and dropped'),
    late_answers: count('of submits that had timed out, or that nobody asked for'),
    malformed: count('PDUs that could not be read'),
  },
  { description: 'SMPP: what came over the links besides answers, since this process or these settings began' },
);

export const Operator = Type.Object({
  name: Type.String(),
  connector: oneOf(['smpp', 'http']),
  ready: Type.Boolean({ description: 'it can be submitted to' }),
  receiving: Type.Boolean({ description: 'its receipts can come: SMPP, over a bind that receives and is bound' }),
  breaker: oneOf(['closed', 'open', 'half_open']),
  tps: Type.Integer({ description: 'pages a second over all dispatchers, by operator.json; 0 is unlimited' }),
  rate: Type.Number({
    description: 'pages a second that may go now: `tps`, or less after this process was throttled; 0 is unlimited',
  }),
  window: Type.Object({ size: Type.Integer(), inflight: Type.Integer() }),
  binds: Type.Array(
    Type.Object({
      role: oneOf(['transceiver', 'transmitter', 'receiver']),
      state: oneOf(['connecting', 'bound', 'waiting', 'closed']),
      inflight: Type.Integer(),
      reconnects: Type.Integer(),
      last_error: Type.Union([Type.String(), Type.Null()], { description: 'why it is not bound' }),
    }),
    { description: 'SMPP: each bind of operator.json, whether it stands or not' },
  ),
  links: Type.Union([Links, Type.Null()]),
  queued: Type.Object({ express: Type.Integer(), normal: Type.Integer(), bulk: Type.Integer() }),
  claimed: Type.Integer(),
  outcomes: Type.Record(Type.String(), Type.Integer()),
});

/** @param nowMs monotonic */
export function operatorAnswer({ settings, pump, rate, breaker }: Line, nowMs: number): Static<typeof Operator> {
  const link = pump.connector.state();
  const { queued, claimed } = pump.state();
  return {
    name: settings.name,
    connector: settings.connector,
    ready: link.ready,
    receiving: isReceiving(link),
    breaker: breaker.state(nowMs),
    tps: settings.tps,
    rate: rateNow({ settings, rate }, nowMs),
    window: { size: link.windowSize, inflight: link.inflight },
    binds: link.binds.map(({ lastError, ...bind }) => ({ ...bind, last_error: lastError })),
    links: link.counters ? linksAnswer(link.counters) : null,
    queued,
    claimed,
    outcomes: { ...pump.counters },
  };
}

/** By the names of the answer and of the metrics. */
export const linksAnswer = (counters: NonNullable<ConnectorState['counters']>): Static<typeof Links> => ({
  lost: counters.linksLost,
  receipts: counters.receipts,
  receipts_refused: counters.receiptsRefused,
  receipts_ignored: counters.receiptsIgnored,
  messages_ignored: counters.messagesIgnored,
  late_answers: counters.lateAnswers,
  malformed: counters.malformed,
});

export const operatorExample: Static<typeof Operator> = {
  name: 'MTN',
  connector: 'smpp',
  ready: true,
  receiving: false,
  breaker: 'closed',
  tps: 200,
  rate: 100,
  window: { size: 50, inflight: 12 },
  binds: [
    { role: 'transmitter', state: 'bound', inflight: 12, reconnects: 1, last_error: null },
    { role: 'receiver', state: 'waiting', inflight: 0, reconnects: 7, last_error: 'bind_smpp_0x0000000d' },
  ],
  links: {
    lost: 2,
    receipts: 48_211,
    receipts_refused: 0,
    receipts_ignored: 0,
    messages_ignored: 3,
    late_answers: 1,
    malformed: 0,
  },
  queued: { express: 0, normal: 431, bulk: 0 },
  claimed: 20,
  outcomes: { accepted: 50_120, rejected: 17, transient: 4, throttled: 60, released: 0, unknown: 1 },
};
