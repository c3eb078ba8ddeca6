"""Styles and scripts of the report page: light and dark, scrollable tables."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --page: #f6f7f9; --card:
  #ffffff; --accent: #0b63a5; --best: #0b6b3a; --fail: #b3261e; --stripe: #f4f6f8; }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { --ink: #e6eaf0; --soft: #9aa7b6; --line:
  #2c3541; --page: #11161c; --card: #1a212a; --accent: #6cb6ff; --best: #5fd39a; --fail: #ff8a80; --stripe: #1f2731;
  } }
:root[data-theme=dark] { color-scheme: dark; --ink: #e6eaf0; --soft: #9aa7b6; --line: #2c3541; --page: #11161c;
  --card: #1a212a; --accent: #6cb6ff; --best: #5fd39a; --fail: #ff8a80; --stripe: #1f2731; }
:root[data-theme=light] { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
.layout { display: grid; grid-template-columns: 230px minmax(0, 1fr); max-width: 1380px; margin: 0 auto; gap: 36px;
  padding: 0 28px 60px; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; padding: 34px 0; font-size:
  13.5px; }
nav a { display: block; padding: 4px 10px; border-radius: 6px; color: var(--soft); text-decoration: none;
  overflow-wrap: anywhere; }
nav a:hover { background: var(--stripe); color: var(--accent); }
header { padding: 38px 0 12px; display: flex; gap: 20px; align-items: flex-start; justify-content: space-between; }
h1 { font-size: 29px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 21px; margin: 0 0 14px; overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 22px 0 8px; }
p, li, figcaption { max-width: 92ch; }
.soft, figcaption, small { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 24px 28px; margin:
  18px 0; }
button { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius:
  8px; padding: 6px 12px; cursor: pointer; white-space: nowrap; }
.wide { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13.5px; min-width: 40%; }
th, td { padding: 6px 9px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
thead th, tbody th { white-space: normal; }
th.group { text-align: center; color: var(--ink); }
tbody th, thead th:first-child { text-align: left; font-weight: 600; }
tbody tr:nth-child(even) { background: var(--stripe); }
td small, th small { display: block; font-weight: 400; font-size: 11.5px; line-height: 1.35; }
td b { color: var(--best); }
.same { color: var(--soft); }
.failure { color: var(--fail); white-space: normal; text-align: left; }
td.failure { text-align: left; font-size: 12.5px; }
ul.failure { color: var(--soft); font-size: 12.5px; margin: 6px 0; padding-left: 18px; }
figure { margin: 0 0 20px; }
figcaption { font-size: 13px; margin-top: 6px; }
.pictures { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
.pictures figure { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 10px; max-width:
  100%; }
.pictures img { display: block; max-width: 100%; height: auto; }
.pictures figcaption { color: #4a5563; max-width: 48ch; }
.thumbnails figure { overflow-wrap: anywhere; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 6px 0 18px; }
.tile { border: 1px solid var(--line); border-radius: 10px; padding: 10px 18px; }
.tile b { display: block; font-size: 23px; font-variant-numeric: tabular-nums; }
details { margin: 10px 0; }
summary { cursor: pointer; color: var(--accent); }
pre { background: var(--stripe); border-radius: 8px; padding: 14px; overflow: auto; max-height: 460px; font-size:
  12.5px; }
@media (max-width: 860px) { .layout { display: block; padding: 0 14px 40px; } nav { position: static; padding: 10px
  0 0; } section { padding: 18px 16px; } }
@media print { nav, button { display: none; } .layout { display: block; } section { break-inside: avoid-page; } }
"""

SCRIPT = """
const root = document.documentElement;
document.getElementById('theme').addEventListener('click', () => {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
});
"""
