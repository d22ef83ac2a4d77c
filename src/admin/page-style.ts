/**
 * Style of the status page: light and dark, from 320 px wide, contrast of text at least 4.5:1. On narrow screens,
 * tables become cards.
 */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --back: #f4f5f7; --card: #fff; --text: #1a1c1f; --soft: #565b63; --line: #d5d8dd; --link: #0b57a4;
  --good: #0b5f2a; --good-back: #e3f5e9; --bad: #98101c; --bad-back: #fde9e9; --wait: #6d4200; --wait-back: #fff1d6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #111316; --card: #1a1d21; --text: #e8eaed; --soft: #a9b0ba; --line: #3a3f47; --link: #8ec2ff;
    --good: #86e5a6; --good-back: #12311d; --bad: #ffa7a2; --bad-back: #3d1618; --wait: #f6cb74; --wait-back: #35290d;
  }
}
.stale { --text: var(--soft); --link: var(--soft); --good: var(--soft); --bad: var(--soft); --wait: var(--soft);
  --good-back: var(--back); --bad-back: var(--back); --wait-back: var(--back); }
.stale .verdict { border-left-style: dashed; }
.stale .verdict p:not(#heard) { display: none; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } * { transition: none; animation: none; } }
body { margin: 0 auto; max-width: 76rem; padding: 0 1rem 2rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: center; padding: 1rem 0 .5rem; }
h1 { font-size: 1.25rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 0 .5rem 0 0; display: inline-block; }
p { margin: .25rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: 0 0 1rem; padding: 0; }
a { color: var(--link); padding: .25rem 0; display: inline-block; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 0 0 1rem; }
article + article { border-top: 1px solid var(--line); padding-top: 1rem; margin-top: 1rem; }
code { font: .9em ui-monospace, monospace; unicode-bidi: isolate; }
.long { overflow-wrap: anywhere; }
.soft, dt, caption, footer { color: var(--soft); }
.good { color: var(--good); background: var(--good-back); }
.bad { color: var(--bad); background: var(--bad-back); }
.wait { color: var(--wait); background: var(--wait-back); }
.badge { display: inline-block; border-radius: .25rem; padding: 0 .5rem; font-size: .875rem; font-weight: 600; }
.verdict { border-left: .4rem solid currentcolor; border-radius: .25rem; padding: .5rem 1rem; margin: 0 0 .75rem; }
#word { display: block; font-size: 1.75rem; line-height: 1.2; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem 1rem; margin: 0 0 .75rem; }
dd { margin: 0; }
dd p { margin: 0; }
ul { margin: 0; padding-left: 1.2rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 .75rem; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-top: 1px solid var(--line); }
th { font-weight: 600; }
th span { font-weight: 400; }
thead th { border-top: 0; color: var(--soft); font-size: .875rem; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.local { font-variant-numeric: tabular-nums; white-space: nowrap; color: var(--soft); }
.verdict .local { color: inherit; }
.utc .local { display: none; }
@media (scripting: enabled) { .local { display: inline-block; min-width: 18ch; padding-left: .5em; } }
figure { margin: .5rem 0 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 26rem)); gap: .25rem 2rem; }
figcaption { font-size: .875rem; overflow-wrap: anywhere; }
svg { display: block; overflow: visible; width: 100%; max-width: 26rem; height: auto; margin-top: .25rem; font-size: 11px; fill: var(--text); }
svg .soft { fill: var(--soft); } svg .name { font-weight: 600; } text { stroke: none; } text.good, text.bad, text.wait { fill: currentcolor; }
.flow svg { font-size: 12px; max-width: 28rem; }
.bar { fill: var(--link); } .bar-bad { fill: var(--bad); }
.box { fill: var(--back); stroke: currentcolor; stroke-width: 1.5; } .box.bad { stroke-width: 3; } .box.wait, .shaft.wait, .shaft.bad { stroke-dasharray: 4 3; }
.shaft, .axis, .cross { fill: none; stroke: currentcolor; stroke-width: 1.5; } .axis { stroke: var(--soft); } .cross { stroke-width: 3; }
.head { fill: currentcolor; } .pointer { fill: var(--text); }
.life { fill: var(--good-back); stroke: currentcolor; } .life.bad { fill: var(--bad-back); } .spent { fill: var(--line); }
.phase { fill: currentcolor; stroke: var(--soft); } .phase.open { fill: var(--card); }
button, .button { font: inherit; font-weight: 600; padding: .4rem 1rem; min-height: 2.75rem; border: 1px solid var(--link);
  border-radius: .35rem; background: var(--card); color: var(--link); cursor: pointer; }
.button { text-decoration: none; }
button:hover, .button:hover { background: var(--back); }
footer { font-size: .875rem; }
@media (max-width: 52rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td, tbody th, caption { display: block; }
  tr { border-top: 1px solid var(--line); padding: .5rem 0; }
  td, tbody th { border: 0; padding: .1rem 0; }
  td[data-label]::before { content: attr(data-label) ': '; color: var(--soft); }
}
@media (max-width: 30rem) {
  body { padding: 0 .5rem 1rem; }
  section { padding: .75rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
@media (forced-colors: active) { .verdict, .badge { border: 1px solid; } .bar, .bar-bad, .spent { fill: CanvasText; } }
`;
