/* bench/web's part in the browser: node web.mjs URL CHROMIUM ROUNDS.
 *
 * Every span is taken inside the page, from what the reader does to the frame in which
 * its result is on the screen (two animation frames after it is in the document). */
import { createRequire } from "node:module";
import path from "node:path";

const [address, executablePath, rounds] = process.argv.slice(2);
const url = (address.includes("://") ? address : `http://${address}`).replace(/\/$/, "");
const { chromium } = createRequire(path.join(process.env.RIFT_BUILD, "tests/web/package.json"))("playwright-core");
const FIRST_CHART_MS = 1000, INTERACTION_MS = 100;

const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const page = await context.newPage();
page.on("pageerror", (error) => { throw error; });
await page.addInitScript(() => {
  performance.setResourceTimingBufferSize(1e5); // beyond its 250 requests aren't counted, and "zoom" would wait for ever
  /* Milliseconds from `act` until `done()` is true and drawn. */
  window.span = async (act, done) => {
    const start = performance.now();
    act();
    while (!done()) await new Promise((next) => requestAnimationFrame(next));
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    return performance.now() - start;
  };
  /* Milliseconds that the page itself was busy, the longest task: what a reader feels as a stutter. */
  window.stutter = 0;
  new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.stutter = Math.max(window.stutter, entry.duration); }).observe({ type: "longtask", buffered: true });
});

const rows = "[...document.querySelectorAll('main tbody tr')]";
const drawn = `(() => { const canvas = document.querySelector('main canvas'); return canvas && canvas.width > 0 && document.querySelector('.readout')?.textContent.startsWith('step'); })()`;
const results = [];

/** Rounds of one thing; each gives milliseconds. */
async function measure(what, limit, once) {
  const list = [];
  for (let round = 0; round < Number(rounds); round++) list.push(await once(round));
  list.sort((a, b) => a - b);
  const row = { what, median: list[list.length >> 1], worst: list.at(-1), limit };
  results.push(row);
  console.log(`${what.padEnd(64)} ${row.median.toFixed(0).padStart(6)} ${row.worst.toFixed(0).padStart(6)} ms${limit ? `   limit ${limit}${row.median > limit ? "  OVER" : ""}` : ""}`);
}

/* The page's policy lets no script be made of text, so we ask from outside until it is so. */
async function waitFor(where, condition) {
  while (!await where.evaluate(condition)) await new Promise((next) => setTimeout(next, 10));
}
const span = (act, done) => page.evaluate(`span(() => { ${act} }, () => ${done})`);
const big = (await (await fetch(`${url}/v1/jobs?label=load-big&limit=1`)).json()).jobs[0].id;

console.log(`${"".padEnd(64)} median  worst`);
await measure("page opened, nothing cached, until the jobs are there", null, async () => {
  const fresh = await browser.newContext({ viewport: { width: 1280, height: 900 } }), one = await fresh.newPage();
  const start = performance.now();
  await one.goto(`${url}/#/jobs`);
  await waitFor(one, `${rows}.length >= 50`);
  await fresh.close();
  return performance.now() - start;
});
await page.goto(`${url}/#/jobs`);
await waitFor(page, `${rows}.length >= 50`);
await measure("from another page to the table of jobs", FIRST_CHART_MS, async () => {
  await page.evaluate("location.hash = '#/settings'");
  await waitFor(page, "document.querySelector('h1')?.textContent === 'Settings'");
  return span("location.hash = '#/jobs'", `document.querySelector('h1').textContent === 'Jobs' && ${rows}.length >= 50`);
});
/* Rows that fill a large screen come first, those below it a moment later: both are measured. */
const filtered = (done) => async () => {
  await page.waitForTimeout(200);
  const state = await page.evaluate("document.querySelector('#filter-state').value") ? "" : "succeeded";
  return span(`const box = document.querySelector('#filter-state'); box.value = '${state}'; box.onchange({ target: box }); window.marked = document.querySelector('main tbody'); window.before = marked.textContent`,
    `document.querySelector('main tbody')?.textContent !== window.before${done}`);
};
await measure("filter: choose a state until what can be seen is there", INTERACTION_MS, filtered(""));
await measure("filter: until all of its 50 rows are there", null, filtered(` && ${rows}.length === 50`));
await page.evaluate("location.hash = '#/jobs'");
await measure("page: older jobs until they are there", INTERACTION_MS, async () => {
  await waitFor(page, `[...document.querySelectorAll('main a')].some((one) => one.textContent === 'Older jobs')`);
  return span("window.before = document.querySelector('main tbody').textContent; [...document.querySelectorAll('main a')].find((one) => one.textContent === 'Older jobs').click()",
    "document.querySelector('main tbody')?.textContent !== window.before");
});
await measure("tick all of a page", INTERACTION_MS, () => span("window.was = document.querySelectorAll('tr.chosen').length; document.querySelector('thead input').click()", "document.querySelectorAll('tr.chosen').length !== window.was"));
await measure("first chart of the curve of a million points, from the list", FIRST_CHART_MS, async () => {
  await page.evaluate("location.hash = '#/jobs'");
  await waitFor(page, "document.querySelector('h1')?.textContent === 'Jobs'");
  return span(`location.hash = '#/jobs/${big}'`, drawn);
});
/* A gesture takes a moment of its own; what counts is the frame after it, and then the finer curve. */
const zoomed = (kind) => async (round) => {
  await page.evaluate("document.querySelector('.plot').focus(); document.querySelector('.plot').onkeydown({ key: '0', preventDefault() {} })");
  await page.waitForTimeout(300);
  const requests = "performance.getEntriesByType('resource').filter((one) => one.name.includes('until=')).length";
  return span(`window.asked = ${requests}; const plot = document.querySelector('.plot'); plot.onkeydown({ key: '+', preventDefault() {} })`,
    kind === "frame" ? "!document.querySelector('figure.chart .chart-head button').hidden" : `${requests} > window.asked`);
};
await measure("zoom: the next frame", INTERACTION_MS, zoomed("frame"));
await measure("zoom: until riftd's finer curve is drawn (120 ms of it waiting)", null, zoomed("finer"));
await measure("cursor: one step", INTERACTION_MS, () => span("window.before = document.querySelector('.readout').textContent; document.querySelector('.plot').onkeydown({ key: 'ArrowLeft', preventDefault() {} })", "document.querySelector('.readout').textContent !== window.before"));
await measure("log scale", INTERACTION_MS, () => span("window.was = document.querySelector('main canvas'); [...document.querySelectorAll('.chart-head button')].find((one) => one.textContent === 'Log').click()", "document.querySelector('main canvas') !== window.was"));
console.log(`longest task of the page in all of this: ${(await page.evaluate("window.stutter")).toFixed(0)} ms`);
await browser.close();
process.exit(results.some((row) => row.limit && row.median > row.limit) ? 1 : 0);
