/** A request's body (or URL) with placeholders such as `{text}`, compiled once and filled per message. */

import { PLACEHOLDERS } from '../../shared/sms/operator-http.ts';

export type Placeholder = (typeof PLACEHOLDERS)[number];
export type PlaceholderValues = Readonly<Record<Placeholder, string>>;
export type Escape = (value: string) => string;

const PLACEHOLDER = new RegExp(`\\{(${PLACEHOLDERS.join('|')})\\}`);

/** The inside of a JSON string: the template holds the quotes. */
export const escapeJson: Escape = (value) => JSON.stringify(value).slice(1, -1);
/** One value of a query or of a form. */
export const escapeUrl: Escape = (value) => encodeURIComponent(value.toWellFormed());

const XML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };
export const escapeXml: Escape = (value) => value.replace(/[&<>"']/g, (character) => XML[character] as string);

/** How values are written into a body of this content type; JSON where nothing else is said. */
export function escapeFor(contentType: string): Escape {
  if (/^application\/x-www-form-urlencoded\b/i.test(contentType)) return escapeUrl;
  if (/^(?:application|text)\/(?:[a-z0-9.+-]*\+)?xml\b/i.test(contentType)) return escapeXml;
  return escapeJson;
}

/** Names in braces that are not placeholders stay as they are: JSON is full of braces. */
export function compileTemplate(template: string, escaped: Escape): (values: PlaceholderValues) => string {
  // A split by one capturing group alternates: fixed text, name, fixed text, …
  const pieces = template.split(PLACEHOLDER);
  const first = pieces[0] as string;
  const rest: { name: Placeholder; after: string }[] = [];
  for (let i = 1; i < pieces.length; i += 2) {
    rest.push({ name: pieces[i] as Placeholder, after: pieces[i + 1] as string });
  }
  return (values) => {
    let filled = first;
    for (const { name, after } of rest) filled += escaped(values[name]) + after;
    return filled;
  };
}
