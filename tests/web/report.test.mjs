/* Do the paper's figures appear by themselves, and does the report leave the building whole? */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { open, SHOTS } from "./harness.mjs";
import { until } from "./riftd.mjs";

const CORRUPTED = { evaluate: { corruptions: { severities: [1, 3, 5] }, generate_corruptions: true } };
const ALPHAS = { interpolate: { alphas: [0, 0.2, 0.4, 0.6, 0.8, 1], tolerance: 0.02 } };

let web;
before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  web = await open({ prepare: async (riftd) => {
    const done = await riftd.rift({ label: "finished <b>& \"quoted\"</b>", seed: 3, train: { epochs: 6 }, finetune: { epochs: 3 }, ...CORRUPTED, ...ALPHAS });
    const running = await riftd.submit(riftd.riftSpec({ label: "running", train: { epochs: 500 } }));
    await until("the first epoch", async () => (await riftd.ask(`v1/jobs/${running.id}/metrics`)).series.length);
    return { done, running };
  } });
});
after(() => web?.close());

const hash = (job) => `#/jobs/${job.id}/report`;
const card = (page, title) => page.locator("section.card", { has: page.getByRole("heading", { name: title, exact: true }) });

test("a finished rift job shows its steps, what it gained and how it chose", () => web.page(hash(web.made.done), async (page) => {
  await page.getByRole("heading", { level: 1 }).waitFor();
  assert.match(await page.getByRole("heading", { level: 1 }).textContent(), /finished <b>& "quoted"<\/b>/);
  for (const words of ["protocol validation", "seed 3"]) await page.getByText(words, { exact: true }).waitFor();
  const steps = card(page, "Pipeline").getByRole("listitem");
  assert.equal(await steps.count(), 6);
  assert.equal(await steps.getByText("succeeded").count(), 6);
  assert.equal(await steps.first().getByRole("link").getAttribute("href"), `#/jobs/${web.made.done.steps[0].id}`);
  const table = page.getByRole("region", { name: "Accuracies before and after" });
  const told = web.made.done.result, shown = await table.getByRole("row", { name: /RiFT/ }).textContent();
  for (const key of ["clean_accuracy", "corruption_accuracy", "robust_accuracy"]) assert.ok(shown.includes(`${(100 * told.after[key]).toFixed(2)} %`), `${key} in ${shown}`);
  const criticality = card(page, "Module Robust Criticality");
  assert.equal(await criticality.locator("svg[role=img] text.name").count(), 21);
  assert.equal(await criticality.locator("svg[role=img] text.name.strong").textContent(), told.module);
  assert.equal(await card(page, "Accuracy on corrupted images").locator("svg[role=img]").count(), 3);
  for (const title of ["Clean accuracy", "Robust accuracy", "Training: loss", "Fine-tuning: accuracy"]) await page.locator("figcaption", { hasText: title }).waitFor();
  await page.getByText("tolerance: 2 points below alpha 0").waitFor();
}));

test("modules come in network order, and by criticality when one asks", () => web.page(hash(web.made.done), async (page) => {
  const names = () => card(page, "Module Robust Criticality").locator("svg[role=img] text.name").allTextContents();
  await page.getByRole("button", { name: "Sort by criticality" }).waitFor();
  assert.equal((await names())[0], "conv1");
  await page.getByRole("button", { name: "Sort by criticality" }).click();
  const { modules } = await web.riftd.ask(`v1/jobs/${web.made.done.id}/modules`);
  assert.deepEqual(await names(), modules.sort((a, b) => a.mrc - b.mrc).map((row) => row.module));
}));

test("each drawing is a table, too, and can be taken away as SVG and PNG", () => web.page(hash(web.made.done), async (page) => {
  const figures = page.locator("figure.chart");
  await page.locator("figcaption", { hasText: "Fine-tuning: accuracy" }).waitFor();
  const count = await figures.count();
  assert.equal(count, 11);
  for (let index = 0; index < count; index++) {
    const figure = figures.nth(index), title = await figure.locator("figcaption").textContent();
    await figure.getByRole("button", { name: "Table", exact: true }).click();
    await figure.getByRole("table").waitFor();
    if (!["MRC by module", "Robust accuracy", "Change, points", "Training: loss"].includes(title)) continue; // one of each sort
    for (const [type, begin] of [["SVG", "<?xml"], ["PNG", "\u0089PNG"]]) {
      const [download] = await Promise.all([page.waitForEvent("download"), figure.getByRole("button", { name: `Save ${title} as ${type}`, exact: true }).click()]);
      const bytes = readFileSync(await download.path());
      assert.ok(bytes.toString("latin1").startsWith(begin), `${title} as ${type}`);
      assert.ok(bytes.length > 1000 && download.suggestedFilename().endsWith(type.toLowerCase()), title);
      if (type === "SVG" && title === "MRC by module") writeFileSync(path.join(SHOTS, "mrc.svg"), bytes);
      if (type === "PNG" && title === "MRC by module") writeFileSync(path.join(SHOTS, "mrc.png"), bytes);
    }
  }
  await web.accessible(page);
}));

test("a running job says what it has and what is still to come, and its curves grow by themselves", () => web.page(hash(web.made.running), async (page) => {
  await card(page, "Pipeline").getByRole("progressbar").waitFor();
  for (const words of ["The last step measures this; it hasn't begun.", "No module is measured yet.", "No point is measured yet."]) await page.getByText(words).waitFor();
  await page.getByRole("button", { name: "Table", exact: true }).first().click();
  const rows = page.locator("figure.chart").first().locator("tbody tr"), were = await rows.count();
  await until("another epoch on the page", async () => await rows.count() > were);
}));

test("a job that ends under an open page leaves all its figures there", async () => {
  await web.riftd.ask(`v1/jobs/${web.made.running.id}/cancel`, { method: "POST" });
  const job = await web.riftd.submit(web.riftd.riftSpec({ label: "watched" }));
  await web.page(hash(job), async (page) => {
    await page.getByRole("region", { name: "Accuracies before and after" }).getByRole("row", { name: /change/ }).waitFor({ timeout: 60_000 });
    await page.locator(".head .pill", { hasText: "succeeded" }).waitFor();
    assert.equal(await page.locator("figure.chart").count(), 8);
    assert.equal(await page.getByText("yet").count(), 0);
  });
});

test("jobs of other kinds have a report of what they know", async () => {
  for (const [step, title] of [[0, "Training"], [1, "Module Robust Criticality"], [3, "Interpolation"], [4, "Before and after"]])
    await web.page(hash(web.made.done.steps[step]), async (page) => {
      await page.locator("figure.chart").first().waitFor();
      await card(page, title === "Before and after" ? "Accuracy" : title).waitFor();
    });
});

test("a sweep's report lists its runs and says what is missing of the average", async () => {
  const { kind, ...rift } = web.riftd.riftSpec({ label: "two seeds" });
  const sweep = await web.riftd.submit({ ...rift, kind: "sweep", sweep: { seeds: [1, 2] } });
  await web.page(hash(sweep), async (page) => {
    await page.getByText("2 of 2 runs are missing.").waitFor();
    assert.equal(await page.getByRole("region", { name: "Rift jobs of this sweep" }).getByRole("link").count(), 2);
    assert.match(await page.getByRole("link", { name: "Compare the runs" }).getAttribute("href"), /#\/compare\?jobs=/);
    await web.accessible(page);
  });
  await web.riftd.ask(`v1/jobs/${sweep.id}/cancel`, { method: "POST" });
});

test("a step that ended and was retried is asked for again", () => web.page("#/settings", async (page) => {
  const asked = await page.evaluate(async () => {
    const { reportOf } = await import("./web/report_data.js");
    const paths = [], answers = { job: { id: "x", kind: "mrc", state: "failed", spec: {}, steps: [] }, told: { modules: [] } };
    window.fetch = async (path) => {
      paths.push(path);
      return new Response(JSON.stringify(path.endsWith("/modules") ? answers.told : answers.job));
    };
    const failed = await reportOf("x", {}), still = await reportOf("x", { before: failed });
    answers.job = { ...answers.job, state: "running" };
    await reportOf("x", { before: still });
    return paths.filter((path) => path.endsWith("/modules")).length;
  });
  assert.equal(asked, 2);
}));

test("every format is a click away", () => web.page(hash(web.made.done), async (page) => {
  for (const [words, type] of [["HTML", "text/html"], ["Markdown", "text/markdown"], ["LaTeX", "application/x-latex"], ["CSV", "text/csv"]]) {
    const href = await page.getByRole("link", { name: words, exact: true }).getAttribute("href");
    const answer = await page.request.get(`${web.riftd.url}/${href}`);
    assert.ok(answer.ok() && answer.headers()["content-type"].startsWith(type), words);
  }
}));

test("the HTML report is whole from a disk, without JavaScript and without a network", async () => {
  const file = path.join(SHOTS, "report.html");
  writeFileSync(file, await web.riftd.ask(`v1/jobs/${web.made.done.id}/report`));
  for (const [scheme, viewport] of [["light", { width: 1000, height: 900 }], ["dark", { width: 1000, height: 900 }], ["light", { width: 390, height: 800 }]]) {
    const context = await web.browser.newContext({ javaScriptEnabled: false, offline: true, colorScheme: scheme, viewport });
    const page = await context.newPage(), wrong = [], asked = [];
    page.on("console", (message) => wrong.push(message.text()));
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(`file://${file}`);
    await page.screenshot({ path: path.join(SHOTS, `html-report-${viewport.width < 500 ? "phone" : scheme}.png`), fullPage: true });
    assert.equal(await page.locator("h1").textContent(), "finished <b>& \"quoted\"</b>");
    for (const drawing of await page.locator("svg").all()) assert.ok((await drawing.boundingBox()).height > 100);
    const heading = await page.locator("h1").boundingBox();
    assert.ok(heading.x >= 20 && heading.height > 30, "its style is let in"); // padding and size of the page's own style
    assert.deepEqual(wrong, []);
    assert.deepEqual(asked, [`file://${file}`]);
    await context.close();
  }
});

test("riftd's own answer is let in by its policy, on paper too", async () => {
  const context = await web.browser.newContext(), page = await context.newPage(), wrong = [];
  page.on("console", (message) => wrong.push(message.text()));
  await page.goto(`${web.riftd.url}/v1/jobs/${web.made.done.id}/report`);
  await page.locator("svg").first().waitFor();
  assert.ok((await page.locator("h1").boundingBox()).x >= 20);
  assert.ok((await page.pdf()).length > 20_000);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("the page is readable in light, in dark and on a phone", () => web.shots("report", hash(web.made.done),
  (page) => page.locator("figcaption", { hasText: "Fine-tuning: accuracy" }).waitFor()));

test("so is what a job that has only begun shows", () => web.shots("report-begun", hash(web.made.running), (page) => card(page, "Pipeline").waitFor()));
