/* Does a job's page say all there is to know about it, and can everything be done there that can be done? */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";
import { until } from "./riftd.mjs";

let web;
before(async () => {
  web = await open({ options: ["--retry-delay", "1s"], prepare: async (riftd) => {
    const rift = await riftd.rift();
    const train = await riftd.reach((await riftd.submit(riftd.trainSpec({ label: "short", train: { epochs: 12 } }))).id, "succeeded");
    const judge = await riftd.submit({ kind: "evaluate", label: "judge", threads: 1, batch_size: 16, model: { ...train.spec.model, weights: { job: train.id } },
      dataset: { name: "tiny" }, attack: { steps: 2 } });
    await riftd.reach(judge.id, "succeeded");
    const sweep = await riftd.submit({ ...riftd.riftSpec({ label: "two seeds", train: { epochs: 1 } }), kind: "sweep", sweep: { seeds: [0, 1] } });
    await riftd.reach(sweep.id, "succeeded");
    const running = await riftd.submit(riftd.trainSpec());
    await riftd.reach(running.id, "running");
    return { rift, train, judge, sweep, running };
  } });
});
after(() => web?.close());

const jobPage = (name, use, options) => web.page(`#/jobs/${web.made[name].id}`, use, options);
const chart = (page, title) => page.locator("figure.chart", { has: page.getByText(title, { exact: true }) });
const held = async (label) => {
  const job = await web.riftd.submit(web.riftd.trainSpec({ label }));
  return web.riftd.ask(`v1/jobs/${job.id}`, { method: "PATCH", body: { held: true } });
};

test("curves are drawn, and their table has the API's numbers", () => jobPage("train", async (page) => {
  await chart(page, "Accuracy").locator("canvas").waitFor();
  await chart(page, "Loss").locator("canvas").waitFor();
  const { points } = await web.riftd.ask(`v1/jobs/${web.made.train.id}/metrics?name=clean_accuracy`);
  await chart(page, "Accuracy").getByRole("button", { name: "Table" }).click();
  const rows = chart(page, "Accuracy").getByRole("row");
  assert.equal(await rows.count(), points.length + 1);
  const last = await rows.last().textContent();
  assert.ok(last.startsWith(`${points.at(-1).step}${(100 * points.at(-1).value).toFixed(2)} %`), last);
}));

test("the files are counted, and however many they are, they take no more than their place", () => jobPage("rift", async (page) => {
  const { artifacts } = await web.riftd.ask(`v1/jobs/${web.made.rift.id}/artifacts`);
  const files = page.getByRole("region", { name: "Files of this job" });
  await files.getByRole("row").nth(artifacts.length).waitFor();
  const size = (total) => page.evaluate(async (n) => (await import("./web/dom.js")).bytes(n), total);
  assert.equal(await files.locator("xpath=../preceding-sibling::div/span").textContent(),
    `${artifacts.length} files, ${await size(artifacts.reduce((sum, file) => sum + file.size, 0))}`);
  await page.evaluate(() => {
    const body = document.querySelector(".files tbody");
    for (let copies = 0; copies < 5; copies++) for (const row of [...body.rows].slice(0, 20)) body.append(row.cloneNode(true));
  });
  const box = await files.boundingBox();
  assert.ok(box.height <= 384 && (await files.evaluate((element) => element.scrollHeight)) > box.height, JSON.stringify(box));
}));

test("the report of a sweep has what each run chose, on how many images and under which attack", async () => {
  const { rows: [row], images } = await web.riftd.ask(`v1/jobs/${web.made.sweep.id}/table`);
  await web.page(`#/jobs/${web.made.sweep.id}/report`, async (page) => {
    await page.getByText(`over n seeds, on ${images} test images; Adv: ${row.attack}; protocol`).waitFor();
    const runs = page.getByRole("region", { name: "Rift jobs of this sweep" }).locator("tbody tr");
    assert.deepEqual(await runs.evaluateAll((lines) => lines.map((line) => [...line.cells].slice(2).map((cell) => cell.textContent))),
      row.chosen.map((one) => [one.modules.join(", "), String(one.alpha)]));
    await web.accessible(page);
  });
});

test("charts of pages that were left are gone", () => jobPage("train", async (page) => {
  const counts = [];
  for (let visit = 0; visit < 4; visit++) {
    await chart(page, "Loss").locator("canvas").waitFor();
    counts.push(await page.evaluate(async () => (await import("./web/chart.js")).chartsAlive()));
    await page.goto(page.url().replace(/#.*/, "#/datasets"));
    await page.getByRole("heading", { name: "Data sets" }).waitFor();
    await page.goto(page.url().replace(/#.*/, `#/jobs/${web.made.train.id}`));
  }
  assert.deepEqual(counts, counts.map(() => counts[0]));
}));

test("a chart is zoomed and read with keys alone, and by dragging", () => jobPage("train", async (page) => {
  const loss = chart(page, "Loss"), plot = loss.locator(".plot");
  await loss.locator("canvas").waitFor();
  await plot.focus();
  await page.keyboard.press("Home");
  const first = await loss.locator(".readout").textContent();
  assert.match(first, /^step 1: batch loss \d/);
  await page.keyboard.press("ArrowRight");
  assert.match(await loss.locator(".readout").textContent(), /^step 2: /);
  await page.keyboard.press("+");
  await loss.getByRole("button", { name: "Reset zoom" }).waitFor();
  await page.keyboard.press("0");
  await loss.getByRole("button", { name: "Reset zoom" }).waitFor({ state: "hidden" });
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.7, box.y + 60, { steps: 4 });
  await page.mouse.up();
  await loss.getByRole("button", { name: "Reset zoom" }).click();
  await loss.getByRole("button", { name: "Reset zoom" }).waitFor({ state: "hidden" });
  await loss.getByRole("button", { name: "Log" }).click();
  assert.equal(await loss.getByRole("button", { name: "Log" }).getAttribute("aria-pressed"), "true");
  await loss.locator("canvas").waitFor();
}));

test("a chart leaves the page as SVG and as PNG", () => jobPage("train", async (page) => {
  const loss = chart(page, "Loss");
  await loss.locator("canvas").waitFor();
  for (const [type, begins] of [["SVG", "<?xml"], ["PNG", "\x89PNG"]]) {
    const [file] = await Promise.all([page.waitForEvent("download"), loss.getByRole("button", { name: `Save Loss as ${type}` }).click()]);
    assert.equal(file.suggestedFilename(), `loss.${type.toLowerCase()}`);
    const bytes = readFileSync(await file.path());
    assert.ok(bytes.toString("latin1").startsWith(begins));
    if (type === "SVG") assert.match(bytes.toString(), /<path [^>]*stroke="rgb\(.*batch loss/s);
  }
}));

test("defaults are dimmed, and what was chosen stands alone", () => jobPage("train", async (page) => {
  const settings = page.locator("section.card", { has: page.getByRole("heading", { name: "Settings" }) });
  await settings.getByText("epochs").waitFor();
  assert.equal(await settings.getByText("momentum", { exact: true }).count(), 0);
  await settings.getByRole("button", { name: "Defaults, too" }).click();
  await settings.locator("dt.default", { hasText: "weight_decay" }).first().waitFor();
}));

test("what is copied as curl submits the same job", () => jobPage("train", async (page) => {
  await page.getByText("Copy as").click();
  await page.getByRole("button", { name: "curl" }).click();
  await page.getByText("Copied.").waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const job = JSON.parse(execFileSync("bash", ["-c", command], { encoding: "utf8" }));
  assert.deepEqual(job.spec, web.made.train.spec);
  await web.riftd.ask(`v1/jobs/${job.id}/cancel`, { method: "POST" });
  await page.getByRole("button", { name: "JSON" }).click();
  await until("the spec in the clipboard", async () => (await page.evaluate(() => navigator.clipboard.readText())).startsWith("{"));
  assert.deepEqual(JSON.parse(await page.evaluate(() => navigator.clipboard.readText())), web.made.train.spec);
}));

test("a job says where its weights come from, and who uses its own", async () => {
  await jobPage("judge", async (page) => {
    await page.getByRole("region", { name: "Lineage" }).getByRole("link", { name: /train.*short/ }).click();
    await page.getByRole("heading", { name: "short" }).waitFor();
    await page.getByRole("region", { name: "Lineage" }).getByRole("link", { name: /evaluate.*judge/ }).waitFor();
  });
  await jobPage("rift", (page) => page.getByRole("region", { name: "Lineage" }).getByRole("link", { name: /interpolate.*tiny/ }).waitFor());
});

test("no line of the lineage runs behind a job that it has nothing to do with", () => jobPage("rift", async (page) => {
  await page.getByRole("region", { name: "Lineage" }).getByRole("link", { name: /interpolate/ }).waitFor();
  const hidden = await page.evaluate(() => {
    const boxes = [...document.querySelectorAll("svg .node rect")].map((box) => box.getBBox());
    const inside = ({ x, y }) => boxes.some((box) => x > box.x + 2 && x < box.x + box.width - 2 && y > box.y + 2 && y < box.y + box.height - 2);
    const points = [...document.querySelectorAll("svg path.edge")].flatMap((path) => Array.from({ length: 200 }, (_, at) => path.getPointAtLength(path.getTotalLength() * at / 199)));
    const { height } = document.querySelector("svg:has(.node)").viewBox.baseVal;
    return { edges: document.querySelectorAll("svg path.edge").length, behind: points.filter(inside).length, below: points.filter(({ y }) => y > height).length };
  });
  assert.ok(hidden.edges >= 5, JSON.stringify(hidden));
  assert.deepEqual([hidden.behind, hidden.below], [0, 0]);
}));

test("a rift job shows its steps and what it gained, a sweep its averages", async () => {
  await jobPage("rift", async (page) => {
    await until("five steps", async () => await page.locator(".stepper li").count() === 5);
    assert.match(await page.getByRole("row", { name: /Gain in points/ }).textContent(), /[+−]\d/);
    await page.getByRole("link", { name: "mrc", exact: true }).click();
    await page.getByRole("region", { name: "Criticality by module" }).getByRole("row", { name: /conv1/ }).first().waitFor();
    await page.getByRole("link", { name: "RiFT job" }).click();
    await page.locator(".stepper").waitFor();
  });
  await jobPage("sweep", async (page) => {
    assert.equal(await page.getByRole("link", { name: "Report", exact: true }).getAttribute("href"), `#/jobs/${web.made.sweep.id}/report`);
    assert.match(await page.getByRole("row", { name: /PGD-AT \+ RiFT/ }).textContent(), /\d\.\d\d ± \d/);
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "LaTeX" }).click()]);
    assert.match(readFileSync(await file.path(), "utf8"), /tabular/);
  });
});

test("files are listed and fetched, and the log can be read", () => jobPage("train", async (page) => {
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "best.safetensors" }).click()]);
  assert.ok(readFileSync(await file.path()).length > 1000);
  await until("the log's end", async () => /finished/.test(await page.getByRole("region", { name: "The end of the log" }).textContent()));
}));

test("a running job's bar, curves and log move", () => jobPage("running", async (page) => {
  await page.getByRole("progressbar").waitFor();
  const readout = chart(page, "Loss").locator(".readout"), log = page.getByRole("region", { name: "The end of the log" });
  await readout.waitFor();
  const [curve, text] = [await readout.textContent(), await log.textContent()];
  await until("the curve to go on", async () => await readout.textContent() !== curve);
  await until("the log to go on", async () => await log.textContent() !== text);
}));

test("a job is held, released, pinned, put first, cancelled, retried and deleted", async () => {
  const job = await held("toy");
  const now = () => web.riftd.ask(`v1/jobs/${job.id}`);
  await web.page(`#/jobs/${job.id}`, async (page) => {
    await page.getByRole("button", { name: "Release" }).click();
    await page.getByRole("button", { name: "Hold" }).waitFor();
    assert.equal((await now()).held, false);
    await page.getByRole("button", { name: "Hold" }).click();
    await page.getByRole("button", { name: "Release" }).waitFor();
    await page.getByRole("button", { name: "Pin", exact: true }).click();
    await page.getByRole("button", { name: "Unpin" }).click();
    await page.getByRole("button", { name: "Pin", exact: true }).waitFor();
    await page.getByLabel("Priority").fill("7");
    await page.keyboard.press("Tab");
    await until("the priority", async () => (await now()).priority === 7);
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel the job" }).click();
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel the job" }).click();
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByRole("heading", { name: "Jobs" }).waitFor();
    await assert.rejects(now(), /404/);
    await page.goto(`${web.riftd.url}/#/jobs/${job.id}`);
    await page.getByRole("heading", { name: "No such job" }).waitFor();
  }, { allow: [/404/] });
});

test("who was slower than somebody else is told so, and nothing is done", async () => {
  const job = await held("contested");
  await web.page(`#/jobs/${job.id}`, async (page) => {
    await page.route("**/v1/jobs/*", (route) => route.continue({ headers: { ...route.request().headers(), ...(route.request().method() === "PATCH" ? { "if-match": "\"1-0000000000000000\"" } : {}) } }));
    await page.getByRole("button", { name: "Release" }).click();
    await page.getByText("Somebody has changed this job meanwhile").waitFor();
    assert.equal((await web.riftd.ask(`v1/jobs/${job.id}`)).held, true);
  }, { allow: [/412/] });
});

test("each attempt says when it ran, where, and how it ended", async () => {
  const attempts = (page) => page.getByRole("region", { name: "Attempts" });
  await jobPage("train", async (page) => { // one that went through is no news
    await page.getByText("Succeeded", { exact: true }).waitFor();
    assert.equal(await attempts(page).count(), 0);
  });
  await jobPage("running", async (page) => {
    await page.getByRole("progressbar").waitFor();
    const { history: [{ pid }] } = await web.riftd.ask(`v1/jobs/${web.made.running.id}`);
    process.kill(pid, "SIGKILL");
    const first = attempts(page).getByRole("row", { name: /crashed/ });
    await first.waitFor();
    assert.match(await first.textContent(), new RegExp(`cpu${pid}crashed .*signal 9; queued again`));
    await attempts(page).getByRole("row", { name: /running/ }).waitFor();
    await page.getByRole("progressbar").waitFor();
  });
});

test("finished, running and averaged jobs are readable in light, in dark and on a phone", async () => {
  await web.shots("job-rift", `#/jobs/${web.made.rift.id}`, (page) => page.getByRole("region", { name: "Lineage" }).waitFor());
  await web.shots("job-train", `#/jobs/${web.made.train.id}`, (page) => page.locator("canvas").nth(1).waitFor());
  await web.shots("job-running", `#/jobs/${web.made.running.id}`, (page) => page.locator("canvas").nth(1).waitFor());
  await web.shots("job-sweep", `#/jobs/${web.made.sweep.id}`, (page) => page.getByRole("row", { name: /Gain/ }).first().waitFor());
});
