/** Bugs to put in on purpose: a simulation that does not find them guards nothing. */
import type { Plant } from './world.ts';

type Change = readonly [from: RegExp, to: string];

/** Replaces texts of a script, which must be there: a plant that changes nothing would prove nothing. */
function instead(script: string, ...changes: readonly Change[]): Plant['script'] {
  return (name, lua) => {
    if (name !== `jsms_${script}`) return lua;
    return changes.reduce((text, [from, to]) => {
      if (!from.test(text)) throw new Error(`${script}.lua has no more: ${from}`);
      return text.replace(from, to);
    }, lua);
  };
}

export const PLANTS: Readonly<Record<string, Plant>> = {
  'settle-forgets-its-record': {
    script: instead('settle', [/elseif r\.state == 'sent' or r\.state == 'failed' then/, 'elseif false then']),
  },
  'claim-without-compare-and-set': {
    script: instead('claim', [/if r\.state ~= 'held' or attempt > r\.attempt then return { 3 } end/, '']),
  },
  'sweeper-ignores-the-claimer': {
    script: instead(
      'sweep',
      [/DUE, '-inf', [^,]+, 'LIMIT'/, "DUE, '-inf', '+inf', 'LIMIT'"],
      [/r\.state == 'claimed' and tonumber\(r\.claim_until\) <= now/, "r.state == 'claimed'"],
    ),
  },
  'status-goes-backwards': {
    fold: {
      addStatus: (patch, event) => {
        patch.decision = event;
      },
    },
  },
  'confirm-ignores-the-version': {
    script: instead('settle', [/if not f\[1\] or f\[2\] ~= version then return end/, 'if not f[1] then return end']),
  },
};
