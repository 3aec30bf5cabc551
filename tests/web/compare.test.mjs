/* Are several jobs told apart, in what they were told and what came out? */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";

let web;
before(async () => {
  web = await open({ prepare: async (riftd) => {
    const one = await riftd.rift({ label: "PGD-AT", train: { epochs: 5 }, finetune: { epochs: 2 } });
    const two = await riftd.rift({ label: "TRADES", train: { epochs: 5, method: "trades" }, seed: 1, finetune: { epochs: 2 } });
    const train = await riftd.submit(riftd.trainSpec({ label: "running" }));
    await riftd.reach(train.id, "running");
    return { one, two, train };
  } });
});
after(() => web?.close());

const hash = (...jobs) => `#/compare?jobs=${jobs.map((job) => job.id).join()}`;
const card = (page, title) => page.locator("section.card", { has: page.getByRole("heading", { name: title, exact: true }) });

test("curves lie over each other, and only settings that differ are listed", () => web.page(hash(web.made.one, web.made.two), async (page) => {
  const chart = page.locator("figure.chart:visible");
  await chart.locator("canvas").waitFor();
  assert.deepEqual((await chart.locator(".legend li").allTextContents()), ["PGD-AT", "TRADES"]);
  const settings = page.getByRole("region", { name: "Settings that differ" });
  assert.deepEqual((await settings.locator("tbody th").allTextContents()).sort(), ["label", "seed", "train/method"]);
  assert.match(await settings.getByRole("row", { name: /train\/method/ }).textContent(), /pgd-at.*trades/);
}));

test("criticality stands side by side, with its rank correlation", () => web.page(hash(web.made.one, web.made.two), async (page) => {
  const table = page.getByRole("region", { name: /^MRC of every module/ });
  await table.waitFor();
  assert.equal(await table.locator("tbody tr").count(), 21);
  assert.ok(await page.getByText("Each job's bars are on its own scale").isVisible());
  const told = await web.riftd.ask(`v1/compare?jobs=${web.made.one.id},${web.made.two.id}`);
  const ranks = (values) => values.map((value) => values.filter((other) => other < value).length);
  const [a, b] = [0, 1].map((index) => ranks(told.modules.map((row) => row.mrc[index]))), n = a.length;
  const expected = 1 - 6 * a.reduce((sum, rank, index) => sum + (rank - b[index]) ** 2, 0) / (n * (n * n - 1)); // no ties
  const shown = Number((await page.getByRole("region", { name: /^Rank correlation/ }).locator("tbody tr").first().locator("td").last().textContent()).replace("−", "-"));
  assert.ok(Math.abs(shown - expected) < 0.02, `${shown}, ${expected}`);
  await table.getByRole("button", { name: "TRADES" }).click();
  const values = (await table.locator("tbody tr td:nth-child(3) .mrc > span:first-of-type").allTextContents()).map(Number);
  assert.deepEqual(values, [...values].sort((x, y) => x - y));
}));

test("another curve is a choice that stays in the address", () => web.page(hash(web.made.one, web.made.two), async (page) => {
  await page.getByLabel("Curve", { exact: true }).selectOption("train_loss");
  await page.waitForFunction(() => location.hash.includes("curve=train_loss"));
  await page.locator("figure.chart:visible canvas").waitFor();
  await page.reload();
  await page.locator("figure.chart:visible canvas").waitFor();
  assert.equal(await page.getByLabel("Curve", { exact: true }).inputValue(), "train_loss");
}));

test("jobs are taken out and put in, and the address follows", () => web.page(hash(web.made.one, web.made.two), async (page) => {
  await page.getByRole("button", { name: "Remove TRADES" }).click();
  await page.getByText("One job alone differs from nothing.").waitFor();
  assert.ok(!page.url().includes(web.made.two.id));
  await page.getByLabel("Add a job").selectOption(web.made.train.id);
  await page.getByRole("button", { name: "Remove running" }).waitFor();
  assert.ok(decodeURIComponent(page.url()).endsWith(`${web.made.one.id},${web.made.train.id}`));
  const accuracies = page.getByRole("region", { name: "Accuracies of the jobs" });
  await accuracies.getByRole("row", { name: /running/ }).waitFor();
  for (const name of ["PGD-AT", "running"]) await page.getByRole("button", { name: `Remove ${name}` }).click();
  await page.getByText("No job is chosen.").waitFor();
}));

test("accuracies after and their change are told for each job", () => web.page(hash(web.made.one, web.made.two), async (page) => {
  const row = page.getByRole("region", { name: "Accuracies of the jobs" }).getByRole("row", { name: /TRADES/ }), { after: now, before: was } = web.made.two.result;
  const text = await row.textContent();
  assert.ok(text.includes(`${(100 * now.clean_accuracy).toFixed(2)} %`), text);
  assert.ok(text.includes(Math.abs(100 * (now.clean_accuracy - was.clean_accuracy)).toFixed(2)), text);
}));

test("a job that isn't there is said so", () => web.page("#/compare?jobs=018bcfe5-6800-7000-8000-000000000000", async (page) => {
  await page.getByRole("alert").waitFor();
}, { allow: [/404/] }));

test("the page is readable in light, in dark and on a phone", () => web.shots("compare", hash(web.made.one, web.made.two, web.made.train),
  (page) => page.getByRole("region", { name: /^Rank correlation/ }).waitFor()));

test("so it is before anything is chosen", () => web.shots("compare-empty", "#/compare", (page) => page.getByText("No job is chosen.").waitFor()));
