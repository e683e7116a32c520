import { runInstalled } from './install.ts';

await runInstalled('commands/test.ts');
