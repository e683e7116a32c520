/** Who may call the report's routes. */
import type { Access } from '../shared/auth.ts';

export const ACCESS: Access = {
  'GET /report/:user_id': { scopes: ['report'], account: 'path' },
  'GET /report/:user_id/summary': { scopes: ['report'], account: 'path' },
  'GET /report/:user_id/statement': { scopes: ['report'], account: 'path' },
  'GET /messages/:id': {
    scopes: ['report'],
    account: 'answer',
    absent: 'There is no such message, or its day was dropped.',
  },
  'GET /accounts/:user_id/totals': { scopes: [] },
  'GET /dead-letters': { scopes: [] },
  'POST /dead-letters/:id/replay': { scopes: [] },
  'DELETE /dead-letters/:id': { scopes: [] },
};
