import { runInstalled } from './install.ts';

await runInstalled('commands/infra.ts');
