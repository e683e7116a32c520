import { defineConfig } from 'drizzle-kit';

/**
 * `bun run migrations`, from the root, writes the next migration out of schema.ts; the report applies them at its start.
 * drizzle-kit bundles this file, so paths are the root's.
 */
export default defineConfig({ dialect: 'postgresql', schema: './report/schema.ts', out: './report/migrations' });
