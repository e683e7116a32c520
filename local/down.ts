import { runInstalled } from './install.ts';

await runInstalled('commands/down.ts');
