/** report's HTTP door. */
import { Type } from '@sinclair/typebox';
import { createDoor, type DoorOptions, documented, UserId } from '../shared/http.ts';
import { ask } from './faults.ts';
import { Cursor, filterFields, Limit, limitOf, readFilter, STATUSES } from './filter.ts';
import { Item } from './item.ts';
import { readPage } from './list.ts';
import type { Store } from './store.ts';

const closed = { additionalProperties: false } as const;
const account = Type.Object({ user_id: UserId });

export type HttpDeps = { store: Store };

export function reportDoor(options: DoorOptions, { store }: HttpDeps) {
  return createDoor(options).get(
    '/report/:user_id',
    ({ params, query }) =>
      ask(async () => {
        const filter = await readFilter(store, query);
        return readPage(store, params.user_id, filter, limitOf(query.limit), query.cursor);
      }),
    {
      params: account,
      query: Type.Object({ ...filterFields, limit: Limit, cursor: Cursor }, closed),
      detail: documented(
        'reports',
        "An account's messages, newest first",
        {
          200: {
            about: 'a page',
            schema: Type.Object({
              user_id: Type.String(),
              items: Type.Array(Item),
              counts: Type.Record(Type.Union(STATUSES.map((s) => Type.Literal(s))), Type.Integer()),
              next_cursor: Type.Union([Type.String(), Type.Null()]),
            }),
          },
        },
        ['invalid_request', 'unavailable'],
      ),
    },
  );
}
