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
    script: instead('settle', [/if is_decided\(r\) then return/, 'if false then return']),
  },
  'claim-without-compare-and-set': {
    script: instead('claim', [/if r\[\d+\] ~= 'held' or attempt > r\[\d+\] then return 3 end/, '']),
  },
  'sweeper-ignores-the-claimer': {
    script: instead(
      'sweep',
      [/due_key, '-inf', [^,]+, 'LIMIT'/, "due_key, '-inf', '+inf', 'LIMIT'"],
      [/state == 'claimed' and r\[\d+\] <= now/, "state == 'claimed'"],
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
    script: instead('settle', [/if not r or r\[\d+\] ~= version then return end/, 'if not r then return end']),
  },
};
