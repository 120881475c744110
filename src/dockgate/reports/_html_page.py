"""The HTML report's frame. Its content security policy allows only this style and script, by hash."""

import base64
import hashlib

# The colours and components are the console's (`web/console/static/console.css`); a test compares them.
STYLE = """
:root { color-scheme: light dark; --bg: light-dark(#ffffff, #13161c); --raised: light-dark(#f5f6f8, #1b1f27);
  --sunken: light-dark(#eceef2, #0d0f14); --text: light-dark(#1a202c, #e6e9ef); --muted: light-dark(#525b69, #a6afbd);
  --link: light-dark(#0b57b0, #82b8ff); --control: light-dark(#737d8c, #7c8798); --line: light-dark(#d4d8df, #333a47);
  --good: light-dark(#116329, #6fd08c); --bad: light-dark(#a40e26, #ff9aa5);
  --unknown: light-dark(#6b2fb3, #cfa8ff); --unknown-fill: light-dark(#f3ebfd, #2e2045);
  --off: light-dark(#525b69, #a6afbd); --off-fill: light-dark(#eceef2, #262c36);
  --critical: light-dark(#8a0f24, #ffa3ae); --critical-fill: light-dark(#fde3e6, #4d1620);
  --high: light-dark(#a63a00, #ffab7a); --high-fill: light-dark(#fdebdf, #43230f);
  --medium: light-dark(#7a5200, #ecc35a); --medium-fill: light-dark(#fbf1d6, #37290a);
  --low: light-dark(#22598c, #8fc4f0); --low-fill: light-dark(#e7f1f9, #152c40);
  --mono: ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
* { box-sizing: border-box }
body { font: 0.9375rem/1.5 var(--sans); background: var(--bg); color: var(--text); max-width: 1200px; margin: 0 auto;
  padding: 24px 20px 48px }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere }
h1 { font-size: 1.375rem; margin: 0 }
h2 { font-size: 1.125rem; margin: 32px 0 0; padding-top: 16px; border-top: 1px solid var(--line) }
h3 { font-size: 0.9375rem; margin: 24px 0 8px }
h2 > span { margin-left: 8px }
p { margin: 8px 0; max-width: 72ch } ul { margin: 8px 0; padding-left: 1.25em }
small, .quiet, .hint { color: var(--muted); font-size: 0.8125rem } .quiet { margin: 4px 0 }
code, pre { font: 0.8125rem/1.5 var(--mono) } code { overflow-wrap: anywhere }
.short { white-space: nowrap } code.digest { display: inline-block; min-width: 24ch; overflow-wrap: anywhere }
pre { margin: 8px 0; padding: 12px 16px; background: var(--sunken); border-radius: 4px; white-space: pre-wrap }
a { color: var(--link); text-underline-offset: 2px }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 4px }
.icon { width: 1.1em; height: 1.1em; vertical-align: -0.18em; fill: none; stroke: currentColor; stroke-width: 2;
  stroke-linecap: round; stroke-linejoin: round }
.approved { color: var(--good) } .rejected { color: var(--bad) } .undetermined { color: var(--unknown) }
.verdict { color: var(--text); border: 1px solid var(--line); border-left: 4px solid var(--off); border-radius: 4px;
  padding: 16px 24px; background: var(--raised); max-width: none }
.verdict b { font-size: 1.125rem }
.verdict.approved { border-left-color: var(--good) } .verdict.approved b { color: var(--good) }
.verdict.rejected { border-left-color: var(--bad) } .verdict.rejected b { color: var(--bad) }
.verdict.undetermined { border-left-color: var(--unknown) } .verdict.undetermined b { color: var(--unknown) }
.findings td:nth-child(2) > a { white-space: nowrap }
.exposure td { overflow-wrap: anywhere }
.panel { border: 1px solid var(--line); border-radius: 4px; margin: 16px 0; padding: 0 16px 16px }
.panel > h3 { margin: 0 -16px 12px; padding: 12px 16px; border-bottom: 1px solid var(--line);
  background: var(--raised) }
.totals { display: flex; flex-wrap: wrap; gap: 8px; list-style: none; padding: 0 }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 7px 16px 7px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word }
th { font-size: 0.8125rem; color: var(--muted); font-weight: 600; white-space: nowrap }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 4px 0; cursor: pointer }
th[aria-sort] button::after { content: " \\2195" } th[aria-sort="ascending"] button::after { content: " \\2191" }
th[aria-sort="descending"] button::after { content: " \\2193" }
.chip { display: inline-flex; align-items: center; gap: 6px; font-size: 0.8125rem; font-weight: 600; padding: 1px 8px;
  border-radius: 4px; white-space: nowrap; color: var(--off); background: var(--off-fill) }
.chip svg { width: 22px; height: 12px } .chip rect { fill: none; stroke: currentColor }
.chip .full { fill: currentColor }
.chip.critical { color: var(--critical); background: var(--critical-fill) }
.chip.high { color: var(--high); background: var(--high-fill) }
.chip.medium { color: var(--medium); background: var(--medium-fill) }
.chip.low { color: var(--low); background: var(--low-fill) }
.chip.untriaged { color: var(--unknown); background: var(--unknown-fill) }
.chip.untriaged rect { stroke-dasharray: 2 1.5 }
label { display: block; margin: 24px 0 0; font-weight: 600 }
input { font: inherit; font-weight: 400; width: 100%; max-width: 420px; min-height: 36px; padding: 6px 10px;
  color: inherit; background: var(--bg); border: 1px solid var(--control); border-radius: 4px }
summary { cursor: pointer; margin: 16px 0 8px; color: var(--link) } footer { margin-top: 36px }
@page { size: A4 landscape; margin: 12mm }
@media print {
  :root { color-scheme: light }
  body { max-width: none; padding: 0; font-size: 9pt } label { display: none } .wide { overflow: visible }
  h2, h3, th, td, code { overflow-wrap: normal; hyphens: none } small, .chip, th, code { font-size: 8pt }
  th, td { padding-right: 8px } th[aria-sort] button::after { content: "" }
  tr, .verdict, .panel { break-inside: avoid } h2, h3 { break-after: avoid } thead { display: table-header-group }
  .chip, .verdict, .panel > h3 { print-color-adjust: exact }
}
"""

SCRIPT = """
{ const box = document.getElementById("filter");
box?.closest("label").removeAttribute("hidden");
box?.addEventListener("input", () => {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const row of document.querySelectorAll(".findings tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
});
const order = new Intl.Collator("en", { numeric: true });
for (const table of document.querySelectorAll("table.findings")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const each of heads) each.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const place = head.cellIndex;
      const key = (row) => row.cells[place].dataset.sort ?? row.cells[place].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => order.compare(key(a), key(b)) * (down ? -1 : 1));
      table.tBodies[0].append(...rows);
    });
  }
} }
"""

FILTER = '<label hidden>Filter findings<br><input id="filter" type="search" placeholder="critical openssl"></label>'


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; base-uri 'none'; form-action 'none'"
)


def render_head(title: str) -> str:
    """Everything up to the body. `title` must be escaped HTML."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )


FOOT = f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
