/** `bun run up`: everything on this machine, until Ctrl-C. */
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bringUp } from '../bring-up.ts';
import { type CommandScope, runCommand, say } from '../command.ts';
import { sharesVolumes } from '../compose.ts';
import { createQuota, followLog, isNoteworthy } from '../follow-log.ts';
import { endAll, endLeftovers, occupy, removeData } from '../occupancy.ts';
import { ownIdentity } from '../pid-file.ts';
import type { LocalServer } from '../servers/server-process.ts';
import { portsMustBeFree, serviceUrls, startServices } from '../services.ts';
import { type LocalSettings, readLocalSettings } from '../settings.ts';
import { supervise } from '../supervise.ts';

/** The three calls of the README. */
function curlLines(settings: LocalSettings): string[] {
  const { BILLING_HTTP_PORT, GATEWAY_HTTP_PORT, REPORT_HTTP_PORT } = settings;
  const sms = '{"phone":"09121234567","text":"کد تایید: 1234","type":"express","user_id":"123"}';
  return [
    `curl --request POST --url 'http://localhost:${BILLING_HTTP_PORT}/charge/123?amount=123456'`,
    `curl --request POST --url http://localhost:${GATEWAY_HTTP_PORT}/send --header 'Content-Type: application/json' --data '${sms}'`,
    `curl --request GET --url http://localhost:${REPORT_HTTP_PORT}/report/123`,
  ];
}

function welcome(settings: LocalSettings, seconds: string): void {
  say(`\nAll is ready after ${seconds} s.\n`);
  for (const [name, url] of Object.entries(serviceUrls(settings))) {
    say(`  ${name.padEnd(11)} ${url}${name === 'simulator' ? '' : `   ${url}/swagger`}`);
  }
  say('\nTop up, send, look:\n');
  for (const line of curlLines(settings)) say(`  ${line}`);
  say(`\nLogs are in ${settings.DATA_DIR}/logs. Ctrl-C ends everything; the data stay.\n`);
}

async function reset(settings: LocalSettings): Promise<void> {
  const ended = await endAll(settings);
  if (ended.length > 0) say(`Ended: ${ended.join(', ')}.`);
  const shared = sharesVolumes(settings.DATA_DIR);
  await removeData(settings);
  if (shared) {
    say(
      'Docker volumes of an older version stay, as others may use them; `docker compose down -v` removes them for all.',
    );
  }
  say(`The data in ${settings.DATA_DIR} are removed; what was not started by us keeps its own.`);
}

async function up({ signal, defer }: CommandScope): Promise<number> {
  const began = performance.now();
  const { values } = parseArgs({ options: { reset: { type: 'boolean', default: false } } });
  const settings = readLocalSettings(process.env);
  const dir = settings.DATA_DIR;
  mkdirSync(dir, { recursive: true });
  if (values.reset) await reset(settings);
  defer(occupy(dir, 'up'));
  const left = await endLeftovers(dir);
  if (left.length > 0) say(`Ended what a killed start had left: ${left.join(', ')}.`);
  await portsMustBeFree(settings);

  const context = { owner: ownIdentity(), say, signal };
  const infra = await bringUp(settings, context);
  defer(infra.stop);
  for (const { title, where, how } of infra.found) {
    if (how === 'running') say(`  ${title} runs already at ${where}; it is used and left as it is.`);
  }
  say('Starting the simulator and the services …');
  const running: LocalServer[] = [];
  const started = (service: LocalServer) => {
    running.push(service);
    defer(() => service.stop());
    const show = createQuota(
      (line) => say(`${service.name}: ${line}`),
      () => performance.now(),
    );
    const follower = followLog(service.logFile, (line) => {
      if (isNoteworthy(line)) show(line);
    });
    defer(follower.stop);
  };
  await startServices(settings, context, started);
  welcome(settings, ((performance.now() - began) / 1_000).toFixed(1));
  defer(() => say('\nEnding everything …'));
  await supervise([...infra.servers, ...running], { say, signal });
  return 0;
}

await runCommand(up);
