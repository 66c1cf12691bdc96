// The page's three files, which are part of this module's text: nothing is read from a disk.
import css from "./page/page.css?page";
// oxlint-disable-next-line import/default -- what is imported is the text of its bundle
import script from "./page/page.ts?page";

interface PageFile {
  readonly type: string;
  readonly text: string;
}

/** Scripts and styles are files of our own and nothing is written into the page as HTML: browsers hold us to it. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** Addresses relative to the page's own, so that a proxy may put it anywhere. */
const HTML = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta name="robots" content="noindex" />
    <title>Queues</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="page.css" />
    <script type="module" src="page.js"></script>
  </head>
  <body>
    <noscript>This page needs JavaScript.</noscript>
  </body>
</html>
`;

const FILES: ReadonlyMap<string, PageFile> = new Map([
  ["", { type: "text/html; charset=utf-8", text: HTML }],
  ["page.css", { type: "text/css; charset=utf-8", text: css }],
  ["page.js", { type: "text/javascript; charset=utf-8", text: script }],
]);

/** The file of that name, `""` for the page itself. */
export function pageFile(name: string): Response | undefined {
  const file = FILES.get(name);
  if (file === undefined) return undefined;
  return new Response(file.text, { headers: { ...PAGE_HEADERS, "content-type": file.type } });
}
