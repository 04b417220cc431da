"""The style sheet of the pages: ink on paper, one seal-red for the winner; dark, narrow and printed as well.

It stands here and not in a file of its own so that an installation can never be without it.
"""

STYLE_SHEET = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf6; --card: #ffffff; --line: #e2ddd2; --soft: #f1eee6;
  --text: #1e1d1a; --quiet: #635f57;
  --winner: #b1381c; --network: #2a5d8f; --linear: #716c62;
  --hit: 42 93 143; --miss: 188 60 28; --ink: 1;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial,
    "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC",
    "WenQuanYi Micro Hei", "PingFang TC", "Microsoft JhengHei", "Noto Sans CJK TC", sans-serif;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Source Serif 4", "Noto Serif", "Liberation Serif",
    "Songti SC", "Noto Serif CJK SC", "Source Han Serif SC", SimSun, serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono",
    "Noto Sans Mono CJK SC", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #16171a; --card: #1d1f23; --line: #34373d; --soft: #25272c;
    --text: #e8e6e1; --quiet: #a8a59d;
    --winner: #f58f73; --network: #82b5e8; --linear: #a09c92;
    --hit: 92 150 214; --miss: 240 112 80; --ink: 1.25;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--text); font: 16px/1.55 var(--sans); -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2.75rem 1.5rem 3rem; max-width: 74rem; }
p, ul, ol, dl, figure, h1, h2, h3 { margin: 0; }
h1, h2, .choice { font-family: var(--serif); font-weight: 600; text-wrap: balance; }
h1 { font-size: clamp(2.1rem, 5.5vw, 3.4rem); line-height: 1.12; letter-spacing: -.01em; margin: .3rem 0 1.1rem; }
h2 { font-size: 1.65rem; line-height: 1.2; margin-bottom: .6rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
bdi { overflow-wrap: anywhere; }
small { font-size: .8em; }
code, pre { font-family: var(--mono); font-size: .875rem; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 8px; padding: .75rem 1rem; margin: 0;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); font-size: .875rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
:focus-visible { outline: 2px solid var(--network); outline-offset: 2px; }

.eyebrow { color: var(--quiet); font-size: .95rem; }
.seal { color: var(--winner); }
.sentences { max-width: 46rem; display: grid; gap: .6rem; }
.reason { font-size: 1.2rem; line-height: 1.5; }

.card { background: var(--card); border: 1px solid var(--line); border-top: 3px solid var(--winner);
  border-radius: 4px 4px 10px 10px;  padding: 1.4rem 1.6rem; margin-top: 1.75rem; display: grid; gap: 1.3rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem 4rem; }
.figure-name { color: var(--quiet); font-size: .875rem; }
.figure { font: 600 2.9rem/1.15 var(--sans); font-variant-numeric: tabular-nums; letter-spacing: -.02em; }
.figure small { font-size: .45em; font-weight: 500; color: var(--quiet); }
.figures > div:first-child .figure { color: var(--winner); }
.range { font-variant-numeric: tabular-nums; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .9rem 1.5rem;
  border-top: 1px solid var(--line); padding-top: 1.1rem; }
.facts dt { color: var(--quiet); font-size: .8125rem; }
.facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
.choices { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1rem; margin-top: 1rem; }
.choices > div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .9rem 1.2rem; }
.choice { font-size: 1.3rem; line-height: 1.35; }

nav { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin-top: 2.2rem; padding: .7rem 0; font-size: .9rem;
  border-block: 1px solid var(--line); }
nav a { color: var(--text); text-decoration: none; padding: .15rem 0; }
nav a:hover { text-decoration: underline; text-underline-offset: .25em; }
main > section { margin-top: 3.2rem; scroll-margin-top: 1rem; }
main > section > .quiet { max-width: 46rem; margin-bottom: 1rem; }

.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th { font-weight: 500; text-align: left; }
thead th { color: var(--quiet); font-size: .8125rem; vertical-align: bottom; }
th, td { padding: .35rem .6rem; white-space: nowrap; }
tbody tr { border-top: 1px solid var(--line); }
.number { text-align: right; }
.centre { text-align: center; }
.main { font-weight: 650; }
.drawing { padding-block: 0; }
td svg, th svg { display: block; }
.tag { display: inline-block; margin-left: .5em; padding: 0 .5em; border: 1px solid currentColor; border-radius: 99px;
  font-size: .72rem; line-height: 1.5; font-weight: 500; color: var(--quiet); }
.tag.winner { background: var(--winner); border-color: var(--winner); color: var(--card); }
.tag.tie { margin: 0 .5em 0 0; }
.cut { display: inline-block; max-width: 13em; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
.cut bdi { overflow-wrap: normal; }

.models { width: 100%; font-size: .84rem; }
.models th, .models td { padding-inline: .42rem; }
.models thead tr:first-child th { padding-bottom: 0; }
.models .group { border-bottom: 1px solid var(--line); padding: 0 0 .2rem .6rem; color: var(--text); }
.models thead tr:first-child :is(.model, .tall) { vertical-align: bottom; padding-bottom: .35rem; }
.models .tall { white-space: normal; min-width: 4.5em; }
.models th.model { position: sticky; left: 0; z-index: 1; background: var(--paper); padding-left: .75rem;
  border-left: 3px solid transparent; }
.models th.model bdi { overflow-wrap: normal; }
.models .name { display: inline-block; max-width: 12.5em; overflow: hidden; text-overflow: ellipsis;
  vertical-align: bottom; }
.models tbody .name { font-weight: 600; }
.models tr.winner th.model { border-left-color: var(--winner); }
.models tr.winner > * { background: var(--card); }
.models .quiet { font-size: inherit; }
.models .failed { color: var(--quiet); }
.models .why { white-space: normal; max-width: 46rem; }
.models .front { color: var(--network); }
.notes { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin-top: 1rem; max-width: 56rem;
  color: var(--quiet); font-size: .8125rem; }
.notes dt { font-weight: 600; color: var(--text); }
.notes dd { margin: 0; }

svg { overflow: visible; }
svg text { fill: var(--quiet); font: 12px var(--sans); font-variant-numeric: tabular-nums; }
svg .axis-title { font-size: 12.5px; }
svg .name { font-size: 12.5px; font-weight: 550; paint-order: stroke; stroke: var(--paper); stroke-width: 4px;
  stroke-linejoin: round; }
svg .name.network { fill: var(--network); } svg .name.winner { fill: var(--winner); font-weight: 700; }
svg .name.linear { fill: var(--linear); }
.grid { stroke: var(--line); }
.tick { stroke: var(--quiet); }
.front { fill: none; stroke: var(--quiet); stroke-width: 1.25; stroke-dasharray: 1 4; stroke-linecap: round; }
.whisker { fill: none; stroke-width: 2; stroke-opacity: .75; stroke-linecap: round; }
.winner > .bubble, .winner > .centre, circle.winner { fill: var(--winner); stroke: var(--winner); }
.network > .bubble, .network > .centre, circle.network { fill: var(--network); stroke: var(--network); }
.linear > .bubble, .linear > .centre, circle.linear { fill: var(--linear); stroke: var(--linear); }
svg .bubble { fill-opacity: .16; stroke-width: 1.5; }
svg .linear > .bubble { fill-opacity: 0; }
.point:hover .bubble { fill-opacity: .42; }
.whisker.winner, .seed.winner { stroke: var(--winner); }
.whisker.network, .seed.network { stroke: var(--network); }
.whisker.linear, .seed.linear { stroke: var(--linear); }
.seed { stroke-width: 1; stroke-opacity: .8; }
.best { stroke: var(--quiet); stroke-dasharray: 2 3; stroke-opacity: .8; }
.trough { fill: var(--soft); } .bar { fill: var(--network); fill-opacity: .75; }
.miss-bar { stroke: var(--winner); stroke-width: 3; stroke-opacity: .55; stroke-linecap: round; }
.remarks { margin-top: 1rem; padding-left: 1.2rem; max-width: 46rem; }
.chart svg { display: block; max-width: 100%; height: auto; }
.narrow { display: none; }
.legend { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1.6rem; margin-top: .6rem;
  font-size: .8125rem; color: var(--quiet); }
.legend span { display: inline-flex; align-items: center; gap: .5rem; }

.store { position: absolute; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: 1.3rem 1.2rem; }
.panel { min-width: 0; display: flex; flex-direction: column; justify-content: flex-end; }
.panel svg { display: block; width: 100%; height: auto; }
.panel figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .6rem; margin-bottom: .3rem; }
.curve { fill: none; stroke-linejoin: round; }
.curve.other { stroke: var(--quiet); stroke-opacity: .3; }
.curve.own { stroke-width: 2; }
.curve.winner { stroke: var(--winner); } .curve.network { stroke: var(--network); }
.curve.linear { stroke: var(--linear); }
.level { stroke: var(--quiet); stroke-dasharray: 1 3.5; stroke-width: 1.5; stroke-linecap: round; }

.halves { display: flex; flex-wrap: wrap; gap: 1.6rem 3.5rem; align-items: flex-start; }
.halves > div > h3:first-child { margin-top: 0; }
.halves > div { min-width: 0; max-width: 100%; flex: 0 1 auto; }
.confusion { border-collapse: separate; border-spacing: 2px; }
.confusion tbody tr { border: 0; }
.confusion td { min-width: 5rem; padding: 1rem .8rem; text-align: center; border-radius: 5px; background: var(--soft); }
.confusion thead td { background: none; }
.confusion thead th { text-align: center; padding: .35rem .6rem; }
.confusion .corner { vertical-align: bottom; text-align: right; color: var(--quiet); font-size: .8125rem; }
.confusion tbody th { text-align: right; }
.confusion.dense td { min-width: 2.5rem; padding: .42rem .3rem; font-size: .8125rem; border-radius: 3px; }
.confusion .corner span { display: inline-block; }
.vertical { height: 1px; padding: .2rem 0; }
.vertical .cut { writing-mode: vertical-rl; max-width: none; max-height: 9em; vertical-align: bottom; }
.vertical .turned { transform: rotate(180deg); }
.confusion thead .vertical { vertical-align: bottom; padding: .3rem 0; }
.hit.s1 { background: rgb(var(--hit) / calc(.10 * var(--ink))); }
.hit.s2 { background: rgb(var(--hit) / calc(.14 * var(--ink))); }
.hit.s3 { background: rgb(var(--hit) / calc(.18 * var(--ink))); }
.hit.s4 { background: rgb(var(--hit) / calc(.22 * var(--ink))); }
.hit.s5 { background: rgb(var(--hit) / calc(.26 * var(--ink))); }
.hit.s6 { background: rgb(var(--hit) / calc(.30 * var(--ink))); }
.hit.s7 { background: rgb(var(--hit) / calc(.34 * var(--ink))); }
.hit.s8 { background: rgb(var(--hit) / calc(.38 * var(--ink))); }
.hit.s9 { background: rgb(var(--hit) / calc(.43 * var(--ink))); }
.hit.s10 { background: rgb(var(--hit) / calc(.48 * var(--ink))); }
.miss.s1 { background: rgb(var(--miss) / calc(.10 * var(--ink))); }
.miss.s2 { background: rgb(var(--miss) / calc(.14 * var(--ink))); }
.miss.s3 { background: rgb(var(--miss) / calc(.19 * var(--ink))); }
.miss.s4 { background: rgb(var(--miss) / calc(.24 * var(--ink))); }
.miss.s5 { background: rgb(var(--miss) / calc(.28 * var(--ink))); }
.miss.s6 { background: rgb(var(--miss) / calc(.32 * var(--ink))); }
.miss.s7 { background: rgb(var(--miss) / calc(.36 * var(--ink))); }
.miss.s8 { background: rgb(var(--miss) / calc(.40 * var(--ink))); }
.miss.s9 { background: rgb(var(--miss) / calc(.44 * var(--ink))); }
.miss.s10 { background: rgb(var(--miss) / calc(.48 * var(--ink))); }
.confusion .s0 { color: var(--quiet); }
.hit { font-weight: 650; }
.mistakes { padding-left: 1.3rem; font-size: .875rem; }
.mistakes span { color: var(--quiet); }
.scores { margin-bottom: 1.6rem; }

.examples { list-style: none; padding: 0; display: grid; gap: .7rem; }
.examples li { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1.1rem; }
.examples .text { margin-bottom: .3rem; max-width: 60rem; white-space: pre-line; }
.gold { color: var(--network); font-weight: 600; }
.wrong { color: var(--winner); font-weight: 600; }
.source { float: right; margin-left: 1rem; }

.listed { display: grid; gap: .7rem; max-width: 26rem; }
.listed > div { display: grid; grid-template-columns: 7rem 1fr; gap: .2rem 1rem; }
.listed dt { color: var(--quiet); font-size: .875rem; }
.listed dd { margin: 0; overflow-wrap: anywhere; }
.hash { font-size: .75rem; }
#data ul { padding-left: 1.2rem; max-width: 34rem; font-size: .9rem; }
#reproduce h3:first-of-type { margin-top: .5rem; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--quiet);
  font-size: .8125rem; }

@media screen and (max-width: 700px) {
  body { padding: 1.4rem 1rem 2rem; }
  .wide { display: none; } .narrow { display: block; }
  .card { padding: 1.1rem 1.1rem; }
  .figures { gap: 1.1rem 2.5rem; }
  .facts { grid-template-columns: repeat(2, 1fr); }
  .models .name { max-width: 8.5em; }
  .models th.model .tag { display: block; width: max-content; margin: .1rem 0 0; }
  .notes { grid-template-columns: 1fr; gap: 0; }
  .notes dd { margin-bottom: .5rem; }
  .cut { max-width: 8em; }
  .source { float: none; display: block; margin: .1rem 0 0; }
  main > section { margin-top: 2.4rem; }
  .halves > div { flex-basis: 100%; }
  .listed > div { grid-template-columns: 5.5rem 1fr; }
}
@media print {
  @page { margin: 14mm 12mm; }
  :root { --paper: #ffffff; }
  html { font-size: 10.5pt; }
  body { max-width: none; padding: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  nav { display: none; }
  .scroll { overflow: visible; }
  .models { font-size: 6.6pt; }
  .models thead th, .models .tag { font-size: 6pt; }
  .models th, .models td { padding: .1rem .22rem; }
  .models td svg { width: 84px; height: 18px; }
  .models th svg { width: 84px; height: 8px; }
  .facts { grid-template-columns: repeat(6, auto); }
  main > section { margin-top: 1.6rem; }
  h2, h3 { break-after: avoid; }
  .card, .choices, .panel, .examples li, #trade-off, table, tr, pre { break-inside: avoid; }
}
"""
