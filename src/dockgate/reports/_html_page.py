"""The HTML report's frame. Its content security policy allows only this style and script, by hash."""

import base64
import hashlib

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2024; --quiet: #60646c; --line: #dfe3e8; --tint: #f6f8fa;
  --good: #18794e; --bad: #c62a2f; --doubt: #8f5f00; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --back: #111315; --text: #edeef0; --quiet: #a0a4ab; --line: #30343a;
  --tint: #191c1f; --good: #4cc38a; --bad: #ff8589; --doubt: #f1c069; --link: #79b8ff; } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; background: var(--back); color: var(--text); max-width: 1200px;
  margin: 0 auto; padding: 24px 20px 48px }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 19px; margin: 36px 0 0; padding-top: 16px; border-top: 1px solid var(--line) }
h3 { font-size: 16px; margin: 24px 0 8px }
h2 span { font-size: 15px; margin-left: 8px }
small, .quiet { color: var(--quiet) } .quiet { margin: 4px 0 }
code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
a { color: var(--link) }
.approved { color: var(--good) } .rejected { color: var(--bad) } .undetermined { color: var(--doubt) }
.verdict { color: var(--text); background: var(--tint); border-left: 4px solid currentColor; padding: 10px 14px }
.verdict.approved { border-color: var(--good) } .verdict.approved b { color: var(--good) }
.verdict.rejected { border-color: var(--bad) } .verdict.rejected b { color: var(--bad) }
.verdict.undetermined { border-color: var(--doubt) } .verdict.undetermined b { color: var(--doubt) }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere }
th { font-size: 13px; color: var(--quiet); font-weight: 600; white-space: nowrap }
.findings td:nth-child(2) { min-width: 190px } .findings td:nth-child(n+3) { min-width: 96px; max-width: 240px }
.chip { display: inline-block; font-size: 12px; font-weight: 600; padding: 1px 8px; border-radius: 9px;
  background: #e6e8eb; color: #1c2024; white-space: nowrap }
.chip.critical { background: #8e1f24; color: #fff } .chip.high { background: #d64045; color: #fff }
.chip.medium { background: #f5c26b; color: #2b1d00 } .chip.low { background: #bfe0f5; color: #06263d }
.chip.untriaged { background: #d8c8ee; color: #2b1648 }
label { display: block; margin: 20px 0 0 } input { font: inherit; width: 100%; max-width: 420px; padding: 6px 10px;
  color: inherit; background: var(--tint); border: 1px solid var(--line); border-radius: 6px }
summary { cursor: pointer; margin: 16px 0 8px } footer { margin-top: 36px }
@media print { label { display: none } }
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
}); }
"""

FILTER = '<label hidden>Filter findings<br><input id="filter" type="search" placeholder="critical openssl"></label>'


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; base-uri 'none'; form-action 'none'"
)


def head(title: str) -> str:
    """Everything up to the body. `title` must be escaped HTML."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )


FOOT = f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
