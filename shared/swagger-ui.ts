/** Swagger UI from the swagger-ui-dist package: no third party's script, and it works without any internet. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { AppError } from './error.ts';

const FILES: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** The page at /swagger. It refers to its files by the path it was asked at, so that it also works behind a prefix. */
export function swaggerPage(title: string, path: string): Response {
  const base = escapeHtml(path.replace(/\/$/, ''));
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="${base}/favicon-32x32.png">
<link rel="stylesheet" href="${base}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="${base}/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({ url: "${base}/json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });</script>
</body>
</html>
`;
  return new Response(html, {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    },
  });
}

/** One of the page's own files; any other name is not found. */
export async function swaggerFile(name: string): Promise<Response> {
  const type = Object.hasOwn(FILES, name) ? FILES[name] : undefined;
  if (type === undefined) throw new AppError('not_found', 'No such path, or not with this method.');
  return new Response(await readFile(join(folder, name)), {
    headers: { 'content-type': type, 'cache-control': 'public, max-age=86400' },
  });
}
