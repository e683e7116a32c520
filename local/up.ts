import { runInstalled } from './install.ts';

await runInstalled('commands/up.ts');
