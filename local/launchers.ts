/**
 * `npx bun run up` is a chain: npx, a shell, `bun run`, us. A TERM or HUP to npx ends npx and the shell alone, and
 * nothing tells us. So the chain is watched: when a part of it is gone, it was ended, and so are we.
 */
import { readFileSync } from 'node:fs';
import { identityOf, isSame, statFields } from './identity.ts';

export type Link = { pid: number; identity: string };
type Look = (pid: number) => { parent: number; command: string[] } | null;

const lookAt: Look = (pid) => {
  try {
    const parent = Number(statFields(readFileSync(`/proc/${pid}/stat`, 'utf8'))[1]);
    return { parent, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean) };
  } catch {
    return null;
  }
};

/** npx and npm change their title into one text ("npm exec bun run up"). */
function isPackageRunner(command: readonly string[]): boolean {
  const name = (command[0] ?? '').split(' ')[0]?.split('/').pop() ?? '';
  return /^(npm|npx)$/.test(name) || (name === 'node' && /\/(npm|npx)(-cli\.js)?$/.test(command[1] ?? ''));
}

const isBun = (command: readonly string[]): boolean => /(^|\/)bunx?(\.exe)?$/.test(command[0] ?? '');

/** A shell belongs to the chain only between npx and bun: a person's own shell may end while its jobs go on. */
const isShellCommand = (command: readonly string[]): boolean =>
  /(^|\/)(ba|da|z|a)?sh$/.test(command[0] ?? '') && command[1] === '-c';

/** The processes from our parent upwards that only started us. Outside Linux: none, the signals must suffice. */
export function launchersOf(parent: number, look: Look = lookAt): Link[] {
  const chain: Link[] = [];
  for (let pid = parent; pid > 1 && chain.length < 8; ) {
    const found = look(pid);
    const identity = identityOf(pid);
    if (!found || !identity) break;
    const ofNpx = isShellCommand(found.command) && isPackageRunner(look(found.parent)?.command ?? []);
    if (!isBun(found.command) && !isPackageRunner(found.command) && !ofNpx) break;
    chain.push({ pid, identity });
    pid = found.parent;
  }
  return chain;
}

/** Calls `gone` once when a process of the chain has ended. Keeps nobody alive. */
export function watchLaunchers(chain: readonly Link[], gone: () => void, everyMs = 500): () => void {
  const timer = setInterval(() => {
    if (chain.every((link) => isSame(link.pid, link.identity))) return;
    clearInterval(timer);
    gone();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
