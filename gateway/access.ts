/** Who may call the gateway's routes. */
import type { Access } from '../shared/auth.ts';

export const ACCESS: Access = {
  'POST /send': { scopes: ['send'], account: 'body' },
  'POST /send/batch': { scopes: ['send'], account: 'body' },
  'POST /preview': { scopes: ['send'] },
  'GET /balance/:user_id': { scopes: ['send', 'report'], account: 'path' },
};
