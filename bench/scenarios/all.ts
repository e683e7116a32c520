/** Every scenario by its name on the command line. */
import type { Bench, Run } from '../bench.ts';
import type { ScenarioName } from '../options.ts';
import { batch } from './batch.ts';
import { expressUnderBacklog } from './express-under-backlog.ts';
import { growth } from './growth.ts';
import { hotTenant } from './hot-tenant.ts';
import { idle } from './idle.ts';
import { operatorDown } from './operator-down.ts';
import { overload } from './overload.ts';
import { rate } from './rate.ts';
import { reports } from './reports.ts';
import { restart } from './restart.ts';
import { send } from './send.ts';

export const SCENARIO: Readonly<Record<ScenarioName, (bench: Bench) => Promise<Run[]>>> = {
  send,
  batch,
  rate,
  'express-under-backlog': expressUnderBacklog,
  'hot-tenant': hotTenant,
  'operator-down': operatorDown,
  overload,
  growth,
  reports,
  restart,
  idle,
};
