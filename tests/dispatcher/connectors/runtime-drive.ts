/**
 * Run under the runtime in question (deno.test.ts): one connector of each kind against operators in the parent's process; says
 * what became of each submit as one line of JSON. Arguments: HTTP port, SMPP port, a port where nobody listens.
 */
import process from 'node:process';
import type { SubmitOutcome } from '../../../dispatcher/connector.ts';
import { createHttpConnector } from '../../../dispatcher/connectors/http.ts';
import { createSmppConnector } from '../../../dispatcher/connectors/smpp.ts';
import { until } from './fake-http-operator.ts';
import { longSubmission, submission } from './smpp-rig.ts';
import { smppSettings } from './smpp-settings.ts';

const [httpPort, smppPort, deadPort] = process.argv.slice(2).map(Number);
const httpAt = (port: number | undefined, path: string, timeoutMs = 2_000) =>
  createHttpConnector(
    'MTN',
    {
      url: `http://127.0.0.1:${port}${path}`,
      method: 'POST',
      headers: {},
      body: '{"message_id":"{message_id}","to":"{to}","from":"{from}","text":"{text}","encoding":"{encoding}"}',
      idPath: 'id',
      timeoutMs,
      windowSize: 4,
      statuses: {},
      wrongNetwork: [],
    },
    { onReady: () => undefined, onReceipt: () => undefined },
  );

const receipts: string[] = [];
const events = {
  onReady: () => undefined,
  onReceipt: ({ operatorId }: { operatorId: string }) => void receipts.push(operatorId),
};
const smpp = createSmppConnector('MCI', smppSettings({ port: smppPort as number }), events);
const dead = createSmppConnector('MCI', smppSettings({ port: deadPort as number }), events);
const http = httpAt(httpPort, '/mtn');
const silent = httpAt(httpPort, '/rightel', 300);
const refused = httpAt(deadPort, '/');

const say = (outcome: SubmitOutcome): string =>
  outcome.kind === 'accepted'
    ? `accepted ${outcome.acceptedParts}/${outcome.parts}`
    : `${outcome.kind} ${outcome.error}`;

await until(() => smpp.ready, 'SMPP is bound');
const many = await Promise.all(Array.from({ length: 4 }, () => http.submit(submission())));
const parts = await smpp.submit(longSubmission(3));
await until(() => receipts.length === 3, 'the receipts have come');
const said = {
  http: [...many, await http.submit(submission())].map(say),
  silent: say(await silent.submit(submission())),
  refused: say(await refused.submit(submission())),
  smpp: say(parts),
  receipts: parts.kind === 'accepted' && parts.operatorIds.every((id) => receipts.includes(id)),
  dead: say(await dead.submit(submission())),
};
await Promise.all([smpp, dead, http, silent, refused].map((connector) => connector.close()));
process.stdout.write(`${JSON.stringify(said)}\n`);
