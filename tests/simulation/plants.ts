/** Bugs to put in on purpose: a simulation that does not find them guards nothing. */
import type { Plant } from './history.ts';

/** Replaces a text of a script, which must be there: a plant that changes nothing would prove nothing. */
function instead(script: string, from: string, to: string): Plant['script'] {
  return (name, lua) => {
    if (name !== `jsms_${script}`) return lua;
    if (!lua.includes(from)) throw new Error(`${script}.lua has no more: ${from}`);
    return lua.replace(from, to);
  };
}

export const PLANTS: Readonly<Record<string, Plant>> = {
  'settle-forgets-its-record': {
    script: instead('settle', "elseif r.state == 'sent' or r.state == 'failed' then", 'elseif false then'),
  },
  'claim-without-compare-and-set': {
    script: instead('claim', "if r.state ~= 'held' or attempt > r.attempt then return { 3 } end", ''),
  },
  'sweeper-ignores-the-claimer': {
    script: instead(
      'sweep',
      "redis.call('ZRANGEBYSCORE', DUE, '-inf', num(now), 'LIMIT', 0, most)",
      "redis.call('ZRANGEBYSCORE', DUE, '-inf', num(now + 8000), 'LIMIT', 0, most)",
    ),
  },
  'status-goes-backwards': { fold: { takesOver: () => true } },
  'confirm-ignores-the-version': {
    script: instead('settle', 'if not f[1] or f[2] ~= version then return end', 'if not f[1] then return end'),
  },
};
