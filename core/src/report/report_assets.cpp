#include "report/report_assets.h"

namespace ivory::experiment {

const std::string_view report_style = R"css(
:root {
  color-scheme: light dark;
  --paper: #fffefb; --ink: #1f2328; --muted: #5b626a; --rule: #cfd3d6; --faint: #e9ebec; --tint: #f5f5f1;
  --accent: #0b5c8f; --warn: #9a4a00; --fail: #b3261e; --warn-tint: #fdf3e4;
  --s0: #0072b2; --s1: #d55e00; --s2: #00845f; --s3: #a9558a; --s4: #a87000; --s5: #3a8fc4;
  --text: "Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", P052, Georgia, "DejaVu Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --ink: #e3e3de; --muted: #a2a8ad; --rule: #41474c; --faint: #2a2f33; --tint: #1d2125;
    --accent: #7cc0ee; --warn: #f0b56a; --fail: #f2726a; --warn-tint: #2b2318;
    --s0: #58acea; --s1: #ee8a4b; --s2: #3cc09a; --s3: #d68fbc; --s4: #dcab45; --s5: #9bd3f5;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.55 var(--text);
       text-rendering: optimizeLegibility; }
main, header, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 3.2rem; }
p, ul.remarks, aside { max-width: 42rem; }
p { margin: 0 0 .8em; }
h1 { font-size: 2.1rem; line-height: 1.2; font-weight: 600; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.4rem; line-height: 1.3; font-weight: 600; margin: 3rem 0 .8rem; padding-top: .9rem;
     border-top: 1px solid var(--rule); scroll-margin-top: 1rem; }
h2::first-letter { text-transform: uppercase; }
h3 { font-size: 1.08rem; font-weight: 600; margin: 2rem 0 .4rem; }
a { color: var(--accent); text-underline-offset: .15em; text-decoration-thickness: 1px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--paper); padding: .4rem .8rem; z-index: 1; }
main:focus { outline: none; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 2px; }
.subtitle { color: var(--muted); font: .92rem/1.5 var(--sans); margin-bottom: 1.2rem; }
.progress { font: .92rem/1.5 var(--sans); font-variant-numeric: tabular-nums; margin: -.9rem 0 1.2rem; }
.live { position: sticky; top: 0; z-index: 1; max-width: 62rem; margin: 1rem auto 0; padding: .4rem 1.5rem;
        background: var(--paper); border-bottom: 1px solid var(--rule); font: .88rem/1.5 var(--sans); }
.live button { font: inherit; margin-right: .8rem; cursor: pointer; }
nav { font: .88rem/1.7 var(--sans); margin: 1.4rem 0 0; }
nav ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0 1.2rem; }
nav a { display: inline-block; }
nav a::first-letter { text-transform: uppercase; }
.caveat { background: var(--warn-tint); border-left: 3px solid var(--warn); padding: .75rem 1.1rem; margin: 1.2rem 0; }
.caveat p:last-child { margin: 0; }
.scroll { position: relative; overflow-x: auto; margin: .6rem 0; } /* also of what is unseen in it */
table { border-collapse: collapse; font: .93rem/1.4 var(--sans); font-variant-numeric: tabular-nums lining-nums;
        border-top: 2px solid var(--ink); border-bottom: 2px solid var(--ink); min-width: min(100%, 34rem); }
caption { text-align: left; caption-side: top; font: 1rem/1.45 var(--text); padding-bottom: .6rem; max-width: 42rem; }
th { text-align: left; font-weight: 600; }
thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom; }
th, td { padding: .42rem 1.5rem .42rem 0; }
th:last-child, td:last-child { padding-right: .3rem; }
tbody th { font-weight: 400; }
tbody tr + tr > * { border-top: 1px solid var(--faint); }
.results thead th + th, .results td { text-align: right; white-space: nowrap; }
.dense { font-size: .86rem; }
.dense th, .dense td { padding-right: .9rem; }
.dense tbody th { white-space: nowrap; }
.spread, .count { display: inline-block; text-align: left; color: var(--muted); }
.spread { min-width: 3.4em; }
.count { min-width: 1.9em; font-size: .82em; }
.against { color: var(--muted); font-size: .82em; }
thead button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; text-align: inherit;
               white-space: nowrap; }
thead button::after { content: "↕"; color: var(--muted); opacity: .55; font-size: .8em; margin-left: .35em;
                      display: inline-block; width: .8em; }
.results thead th + th button { display: inline-flex; flex-direction: row-reverse; align-items: baseline; gap: .35em; }
.results thead th + th button::after { margin: 0; }
thead button:hover { color: var(--accent); }
[aria-sort="ascending"] button::after { content: "↑"; opacity: 1; color: var(--accent); }
[aria-sort="descending"] button::after { content: "↓"; opacity: 1; color: var(--accent); }
.notes { font: .86rem/1.5 var(--sans); color: var(--muted); margin: .3rem 0 0; padding: 0; list-style: none; max-width: 44rem; }
.notes sup, td sup { margin-right: .25em; line-height: 0; }
.facts { font: .9rem/1.5 var(--sans); font-variant-numeric: tabular-nums; display: flex; flex-wrap: wrap;
         gap: .5rem 2rem; margin: 0 0 1rem; }
.facts dt { color: var(--muted); font-size: .8rem; }
.facts dd { margin: 0; }
.remarks { padding-left: 1.1rem; margin: 0 0 1rem; }
.remarks li { margin-bottom: .25rem; }
.remarks .warning::marker { color: var(--warn); content: "▲ "; }
.remarks .warning strong { color: var(--warn); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1.6rem 2rem;
          margin: 1.2rem 0; }
.charts.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.charts .chart { max-width: 32rem; }
.charts .wide { grid-column: 1 / -1; max-width: none; }
.wide image { image-rendering: auto; }
figure { margin: 0; break-inside: avoid; }
.chart figcaption { font: 600 .92rem/1.4 var(--sans); margin-bottom: .3rem; }
.chart > svg { display: block; width: 100%; height: auto; }
svg text { font: 12px var(--sans); fill: var(--muted); font-variant-numeric: tabular-nums; }
svg text.x { text-anchor: middle; }
svg text.y { text-anchor: end; }
svg text.note { fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
svg text.label { fill: var(--ink); }
.axis { stroke: var(--muted); stroke-width: 1; }
.grid { stroke: var(--faint); stroke-width: 1; }
.reference { stroke: var(--muted); stroke-width: 1.2; stroke-dasharray: 5 4; }
.mean { stroke: var(--ink); stroke-width: 2; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.band { stroke: none; opacity: .16; }
.dot { stroke: none; }
.faint { opacity: .7; }
.line.repetition { stroke-width: 1; opacity: .45; }
svg.key .line, circle.line, path.line { stroke-width: 2; }
.line.s0 { stroke: var(--s0); } .band.s0, .dot.s0 { fill: var(--s0); }
.line.s1 { stroke: var(--s1); stroke-dasharray: 9 4; } .band.s1, .dot.s1 { fill: var(--s1); }
.line.s2 { stroke: var(--s2); stroke-dasharray: 2 4; } .band.s2, .dot.s2 { fill: var(--s2); }
.line.s3 { stroke: var(--s3); stroke-dasharray: 9 4 2 4; } .band.s3, .dot.s3 { fill: var(--s3); }
.line.s4 { stroke: var(--s4); stroke-dasharray: 14 4; } .band.s4, .dot.s4 { fill: var(--s4); }
.line.s5 { stroke: var(--s5); stroke-dasharray: 5 3 1 3 1 3; } .band.s5, .dot.s5 { fill: var(--s5); }
.legend { list-style: none; margin: .2rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1.3rem;
          font: .84rem/1.5 var(--sans); font-variant-numeric: tabular-nums; }
.key { width: 26px; height: 10px; margin-right: .45em; vertical-align: baseline; }
.course { color: var(--muted); margin-left: .25em; }
path.line, circle.line { fill: none; stroke-dasharray: none !important; }
.path { fill: none; stroke: var(--s0); stroke-width: 1.6; stroke-linejoin: round; }
.path.best { stroke: var(--s1); stroke-width: 3.2; }
.path:hover { stroke: var(--ink); stroke-opacity: 1; }
.cell { fill: var(--s0); stroke: var(--faint); }
.cell.none { stroke-dasharray: 3 3; stroke: var(--rule); }
.cell.best { stroke: var(--s1); stroke-width: 2.5; }
svg text.value { fill: var(--ink); }
.box { fill: var(--tint); stroke: var(--rule); }
.box.done { stroke: var(--s2); }
.box.running { stroke: var(--s0); stroke-width: 2; }
.box.failed { stroke: var(--fail); stroke-width: 2; }
.box.todo, .box.nodata { stroke-dasharray: 4 3; stroke: var(--muted); }
.edge { fill: none; stroke: var(--rule); stroke-width: 1.5; }
svg text.name { fill: var(--ink); font-weight: 600; font-size: 13px; }
.mark .back { fill: none; stroke: var(--muted); stroke-width: 1.2; }
.mark .sign { fill: none; stroke: var(--paper); stroke-width: 1.7; }
.mark.done .back { fill: var(--s2); stroke: var(--s2); }
.mark.running .back { stroke: var(--s0); stroke-width: 1.6; }
.mark.running .sign { fill: var(--s0); stroke: none; }
.mark.failed .back { fill: var(--fail); stroke: var(--fail); }
.mark.stopped .back { fill: var(--muted); }
.mark.interrupted .sign { stroke: var(--ink); }
.mark.nodata .back { stroke-dasharray: 1.5 2; }
.links { font: .93rem/1.6 var(--sans); padding-left: 1.1rem; columns: 24rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--tile)), 1fr)); gap: 1.2rem;
            margin: .8rem 0 0; }
.pictures img { display: block; width: 100%; height: auto; image-rendering: pixelated; border: 1px solid var(--rule);
                background: #000; }
.pictures figcaption { font: .82rem/1.4 var(--sans); color: var(--muted); margin-top: .35rem; }
.strips { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; margin: .8rem 0 0; }
.strips figure { max-width: 100%; }
.strips img { display: block; height: 3.5rem; width: auto; max-width: 100%; object-fit: contain; object-position: left; }
.strips figcaption { font: .82rem/1.4 var(--sans); color: var(--muted); margin-top: .2rem; }
.strips figcaption::first-letter { text-transform: uppercase; }
.shared { font: .88rem/1.5 var(--sans); color: var(--muted); }
.absent { color: var(--warn); font: .86rem/1.4 var(--sans); }
.provenance td, .provenance th { padding-top: .28rem; padding-bottom: .28rem; vertical-align: top; }
.provenance th { color: var(--muted); white-space: nowrap; }
.provenance td { overflow-wrap: anywhere; }
details { margin: 1.2rem 0; }
summary { cursor: pointer; font: .95rem/1.5 var(--sans); color: var(--accent); }
pre { font: .82rem/1.5 var(--mono); background: var(--tint); border: 1px solid var(--faint); padding: .9rem 1.1rem;
      overflow-x: auto; tab-size: 2; }
footer { margin-top: 3rem; padding-top: .8rem; padding-bottom: 3rem; font: .84rem/1.5 var(--sans); color: var(--muted); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media print {
  :root { --paper: #fff; --ink: #000; --muted: #444; --rule: #999; --faint: #ddd; --tint: #fff; --warn-tint: #fff; }
  body { font-size: 10pt; }
  header, main, footer { max-width: none; padding-left: 0; padding-right: 0; }
  nav, .skip, .live, thead button::after { display: none; }
  h2, h3 { break-after: avoid; }
  tr, .pictures figure { break-inside: avoid; }
  pre { white-space: pre-wrap; }
}
)css";

}  // namespace ivory::experiment
