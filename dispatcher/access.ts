/** Who may call the dispatcher's routes: all but an operator's receipts is for `admin` alone. */
import type { Access } from '../shared/auth.ts';

export const ACCESS: Access = {
  'GET /operators': { scopes: [] },
  'GET /ported-numbers/:phone': { scopes: [] },
  'PUT /ported-numbers/:phone': { scopes: [] },
  'DELETE /ported-numbers/:phone': { scopes: [] },
  'POST /receipts/:operator': { scopes: ['receipts'], operator: 'path' },
};
