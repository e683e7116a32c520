/** What the documentation's page fills in: each example is a request that its door takes, or an answer that it gives. */
import { expect, test } from 'bun:test';
import { ask } from '../support/http.ts';
import { useStack } from '../support/use-stack.ts';

const stack = useStack();

const DOORS = ['billing', 'gateway', 'report'] as const;
type Content = Record<string, { schema?: Schema; example?: unknown }>;
type Schema = { type?: string; properties?: Record<string, Schema>; required?: string[]; example?: unknown };
type Route = {
  requestBody?: { content: Content };
  responses: Record<string, { content?: Content }>;
  parameters?: { name: string; in: string; required?: boolean; schema: Schema }[];
};
type Spec = { paths: Record<string, Record<string, Route>> };

async function routesOf(door: (typeof DOORS)[number]) {
  const { json } = await stack.call<Spec>(door, 'GET', '/swagger/json');
  return Object.entries(json.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => ({ name: `${method} ${path}`, method, path, route })),
  );
}

/** As the page makes a body: the schema's own example, else one with every field, made up where the field has no example. */
function bodyOf({ requestBody }: Route): unknown {
  const schema = requestBody?.content['application/json']?.schema;
  if (schema === undefined || schema.example !== undefined) return schema?.example;
  return Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([name, field]) => [name, field.example ?? 'string']),
  );
}

/** What must be given in the path and behind the ?. */
function urlOf(path: string, { parameters = [] }: Route): string {
  const given = parameters.filter(({ required, schema }) => required && schema.example !== undefined);
  const query = given.filter((one) => one.in === 'query').map(({ name, schema }) => `${name}=${schema.example}`);
  const place = given.reduce((at, { name, schema }) => at.replace(`{${name}}`, String(schema.example)), path);
  return query.length > 0 ? `${place}?${query.join('&')}` : place;
}

test('each example of a request is taken by its door as it stands', async () => {
  await stack.charge('123', 100_000);
  const taken: [string, number][] = [];
  for (const door of DOORS) {
    for (const { name, method, path, route } of await routesOf(door)) {
      if (method !== 'post' || path.includes('{id}')) continue;
      const json = bodyOf(route);
      const { status, json: answer } = await ask<{ refused?: number }>('POST', stack.urls[door] + urlOf(path, route), {
        ...(json === undefined ? {} : { json }),
      });
      expect([name, answer.refused ?? 0]).toEqual([name, 0]);
      taken.push([name, status]);
    }
  }
  expect(Object.fromEntries(taken)).toEqual({
    'post /charge/{user_id}': 200,
    'post /adjust/{user_id}': 200,
    'post /send': 202,
    'post /send/batch': 202,
    'post /preview': 200,
  });
});

test('each answer of a route has an example with the fields that its schema asks for, and no others', async () => {
  const wrong: string[] = [];
  for (const door of DOORS) {
    for (const { name, route } of await routesOf(door)) {
      for (const [status, { content }] of Object.entries(route.responses)) {
        const json = content?.['application/json'];
        if (json === undefined) continue;
        const { properties = {}, required = [] } = json.schema ?? {};
        const fields = Object.keys((json.example ?? {}) as object);
        const missing = required.filter((field) => !fields.includes(field));
        const unknown = fields.filter((field) => !(field in properties));
        if (json.example === undefined || missing.length + unknown.length > 0)
          wrong.push(`${door} ${name} ${status}: without ${missing}; not known: ${unknown}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});
