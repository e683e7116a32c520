import { expect, test } from 'bun:test';
import { ACCESS as BILLING } from '../../billing/access.ts';
import { ACCESS as DISPATCHER } from '../../dispatcher/access.ts';
import { ACCESS as GATEWAY } from '../../gateway/access.ts';
import { ACCESS as REPORT } from '../../report/access.ts';
import type { Access } from '../../shared/auth.ts';
import { readDocument } from './markdown.ts';

/** A service's rules as the document's table says them. */
const rowsOf = (service: string, access: Access): string[] =>
  Object.entries(access).map(([route, rule]) => {
    if (rule === 'open') return `${service} | ${route} | open |`;
    const bound = rule.account ? 'own' : rule.operator ? 'operator' : '';
    return `${service} | ${route} | ${rule.scopes.length === 0 ? 'admin' : rule.scopes.join(', ')} | ${bound}`.trim();
  });
const services = { billing: BILLING, gateway: GATEWAY, dispatcher: DISPATCHER, report: REPORT };
const written = (document: string): string[] =>
  [...document.matchAll(/^\| *(billing|gateway|dispatcher|report) *\|(.*)\|$/gm)].map(([, service, rest]) =>
    `${service} | ${(rest as string)
      .split('|')
      .map((cell) => cell.replaceAll('`', '').trim())
      .join(' | ')}`.trim(),
  );

test('SECURITY.md names the scopes of every route as the doors ask for them', () => {
  const rules = Object.entries(services).flatMap(([service, access]) => rowsOf(service, access));
  expect(written(readDocument('docs/SECURITY.md')).sort()).toEqual(rules.sort());
});

test('a scope that the document gets wrong would be found', () => {
  expect(written('| gateway | `POST /send` | `report` | own |')).not.toEqual(
    rowsOf('gateway', { 'POST /send': { scopes: ['send'], account: 'body' } }),
  );
  expect(written('| gateway | `POST /send` | `send` | own |')).toEqual(
    rowsOf('gateway', { 'POST /send': { scopes: ['send'], account: 'body' } }),
  );
});
