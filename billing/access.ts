/** Who may call billing's routes: money goes in and is corrected by `admin` alone. */
import type { Access } from '../shared/auth.ts';

export const ACCESS: Access = {
  'POST /charge/:user_id': { scopes: [] },
  'POST /adjust/:user_id': { scopes: [] },
  'GET /audit/:user_id': { scopes: [] },
  'GET /balance/:user_id': { scopes: ['send', 'report'], account: 'path' },
};
