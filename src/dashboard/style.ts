export const dashboardIcon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#6d5ae6" stroke-width="2.4" stroke-linecap="round">
<path d="M14 3v11a5 5 0 0 1-10 0v-2"/><path d="M4 12l3 2.4"/><circle cx="14" cy="3.4" r="1.2" fill="#6d5ae6"/>
<path d="M17.5 8.5a5 5 0 0 1 0 7"/><path d="M20 6a9 9 0 0 1 0 12"/>
</svg>
`;

export const dashboardStyle = `:root {
  color-scheme: light dark;
  --ground: #f6f6f9; --surface: #fff; --line: #dddde6; --ink: #1c1b29; --quiet: #5d5b70;
  --accent: #5a46d6; --on-accent: #fff; --good: #12703a; --bad: #b3261e; --wait: #8a5300; --off: #5d5b70; --fresh: #ece9ff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14131c; --surface: #1e1d29; --line: #35334a; --ink: #ecebf5; --quiet: #a5a2bd;
    --accent: #a99bff; --on-accent: #17122e; --good: #6fd896; --bad: #ff9a91; --wait: #f2b95c; --off: #a5a2bd; --fresh: #2b2748;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1, h2, h3 { margin: 0; line-height: 1.2; }
h1 { display: flex; align-items: center; gap: .5rem; font-size: 1.2rem; }
h2 { font-size: 1.05rem; }
h3 { margin-top: 1rem; font-size: 1rem; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: .5rem; background: var(--surface); padding: .4rem .8rem; z-index: 1; }
body > header { display: flex; flex-wrap: wrap; align-items: center; gap: .75rem 1.25rem; padding: .75rem 1.25rem;
  background: var(--surface); border-bottom: 1px solid var(--line); }
body > header nav { margin-left: auto; }
form, #application-field { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem; }
main { max-width: 90rem; margin: 0 auto; padding: 1.25rem; }
section { margin-bottom: 1.75rem; }
section > h2 { margin-bottom: .6rem; }
input, select, button { font: inherit; color: inherit; background: var(--surface); border: 1px solid var(--line); border-radius: 6px;
  padding: .3rem .65rem; max-width: 100%; }
input[type=password] { width: 18rem; }
button { cursor: pointer; }
button:hover { border-color: var(--accent); }
button:disabled { opacity: .55; cursor: default; border-color: var(--line); }
button.primary, button[aria-pressed=true] { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button.link { background: none; border: 0; padding: 0; color: var(--accent); text-align: left; text-decoration: underline; border-radius: 2px; }
#state { margin: 0; color: var(--quiet); }
#state::before { content: ''; display: inline-block; width: .6rem; height: .6rem; margin-right: .45rem; border-radius: 50%; background: var(--off); }
#state[data-state=live]::before { background: var(--good); }
#state[data-state=waiting]::before { background: var(--wait); }
#state[data-state=failed]::before { background: var(--bad); }
[role=alert] { margin: 0 0 1rem; padding: .6rem .9rem; border: 1px solid var(--bad); border-left-width: 4px; border-radius: 6px;
  background: var(--surface); white-space: pre-line; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 0; }
.tile { padding: .7rem .9rem; background: var(--surface); border: 1px solid var(--line); border-radius: 8px; }
.tile dt { color: var(--quiet); font-size: .85rem; }
.tile dd { margin: 0; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.scroll { overflow: auto; background: var(--surface); border: 1px solid var(--line); border-radius: 8px; max-height: 20rem; }
.scroll.tall { max-height: max(24rem, 70vh); }
/* Collapsed borders do not travel with sticky headings. */
table { width: 100%; border-collapse: separate; border-spacing: 0; }
th, td { padding: .4rem .75rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { position: sticky; top: 0; background: var(--surface); color: var(--quiet); font-size: .85rem; font-weight: 600; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
td { font-variant-numeric: tabular-nums; }
.number { text-align: right; }
#rows tr { cursor: pointer; }
#rows tr:hover { background: var(--fresh); }
#rows td { white-space: nowrap; }
#rows td.foreign { max-width: 19rem; overflow: hidden; text-overflow: ellipsis; }
#rows td.foreign button { max-width: 100%; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
/* Third parties' text: it may not push its neighbours aside, nor turn their direction. */
.foreign { overflow-wrap: anywhere; unicode-bidi: isolate; }
.status { font-size: .85rem; font-weight: 600; white-space: nowrap; color: var(--off); }
.status[data-status=SUCCEEDED], .status[data-status=ACTIVE], .status[data-status=SUCCESS] { color: var(--good); }
.status[data-status=FAILED], .status[data-status=DISABLED], .status[data-status=FAILING], .status[data-status=CIRCUIT_OPEN],
.status[data-status=PAYLOAD_QUERY_INVALID], .status[data-status=ORDER_BLOCKED], .status[data-status=failure] { color: var(--bad); }
.status[data-status=PENDING], .status[data-status=RETRYING], .status[data-status=PAUSED], .status[data-status=THROTTLED] { color: var(--wait); }
.quiet, .empty { color: var(--quiet); }
.toolbar, .actions { display: flex; flex-wrap: wrap; align-items: center; gap: .6rem 1rem; margin: 0 0 .6rem; }
#webhooks td { vertical-align: middle; }
#webhooks td:first-child { min-width: 14rem; }
#webhooks .actions { flex-wrap: nowrap; margin: 0; white-space: nowrap; }
dialog { width: min(52rem, 100vw); max-width: none; height: 100dvh; max-height: none; margin: 0 0 0 auto; padding: 0 1.25rem 1.5rem;
  background: var(--ground); color: var(--ink); border: 0; border-left: 1px solid var(--line); overflow: auto; }
dialog::backdrop { background: rgb(10 8 25 / .45); }
dialog > header { position: sticky; top: 0; display: flex; justify-content: space-between; align-items: start; gap: 1rem;
  padding: 1rem 0 .75rem; background: var(--ground); }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0 0 1rem; }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
article { margin-top: .75rem; padding: .75rem .9rem; background: var(--surface); border: 1px solid var(--line); border-radius: 8px; }
article h4 { display: flex; flex-wrap: wrap; gap: .25rem .9rem; margin: 0 0 .4rem; font-size: .95rem; font-variant-numeric: tabular-nums; }
article p { margin: .25rem 0; }
summary { cursor: pointer; padding: .15rem 0; }
pre { margin: .4rem 0; padding: .6rem .75rem; max-height: 20rem; overflow: auto; white-space: pre-wrap; background: var(--ground);
  border: 1px solid var(--line); border-radius: 6px; font: 13px/1.45 ui-monospace, monospace; }
#details-body pre { background: var(--surface); }
.fresh { animation: fresh 1.6s ease-out; }
@keyframes fresh { from { background: var(--fresh); } }
@media (prefers-reduced-motion: reduce) { .fresh { animation: none; } }
`;
