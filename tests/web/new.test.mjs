/* Is a job that was filled in the job that runs? */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";
import { until } from "./riftd.mjs";

let web;
before(async () => {
  web = await open({ prepare: async (riftd) => ({ rift: await riftd.rift({ dataset: { name: "tiny", format: null, path: null } }) }) });
});
after(() => web?.close());

const json = async (page) => JSON.parse(await page.getByLabel("The same as JSON").inputValue());
const takes = (page) => page.getByText("riftd would take it").waitFor();
const fill = (page, pointer, value) => page.locator(`[id="f${pointer.replaceAll("/", "-")}"]`).fill(value);
const choose = (page, pointer, value) => page.locator(`[id="f${pointer.replaceAll("/", "-")}"]`).selectOption(value);
const openAll = async (page) => {
  await page.locator("#kind").waitFor();
  await page.locator("details.fold").evaluateAll((all) => all.forEach((one) => { one.open = true; }));
};

test("a job that is filled in and submitted runs to its end, and its page follows it", () => web.page("#/new?kind=train", async (page) => {
  await page.getByText("choose a data set").waitFor();
  await openAll(page);
  await choose(page, "/dataset/name", "tiny");
  for (const [pointer, value] of [["/label", "by hand"], ["/model/width", "4"], ["/model/num_classes", "4"], ["/model/input", "1, 32, 32"], ["/train/epochs", "3"],
    ["/batch_size", "16"], ["/threads", "1"], ["/attack/steps", "1"], ["/attack/epsilon", "4/255"]]) await fill(page, pointer, value);
  await choose(page, "/train/method", "standard");
  await takes(page);
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL("**#/jobs/*");
  const id = page.url().match(/jobs\/([^/?]+)$/)[1];
  const job = await web.riftd.reach(id, "succeeded");
  assert.deepEqual([job.spec.label, job.spec.model.width, job.spec.model.input, job.spec.train.epochs, job.spec.train.method, job.spec.attack.epsilon],
    ["by hand", 4, [1, 32, 32], 3, "standard", "4/255"]);
  await page.locator("main .pill[data-state=succeeded]").first().waitFor();
}));

test("what is wrong is said at its field while one types, and no job comes of it", () => web.page("#/new?kind=train&dataset=tiny", async (page) => {
  await takes(page);
  await fill(page, "/model/width", "many");
  await page.locator("#f-model-width-error").getByText("must be a number").waitFor();
  assert.equal(await page.getByRole("button", { name: "Submit" }).isDisabled(), true);
  await fill(page, "/model/width", "4096");
  await page.locator("#f-model-width-error").getByText("must be from 1 to 1024, is 4096").waitFor();
  await fill(page, "/model/width", "");
  await takes(page);
  assert.equal("model" in await json(page), false);
}));

test("what only riftd knows it says at its field, too", () => web.page("#/new?kind=train&dataset=tiny", async (page) => {
  await page.getByLabel("The same as JSON").fill(JSON.stringify({ kind: "train", dataset: { name: "tiny" }, model: { normalize: { mean: [0, 1], std: [1] } }, attack: null }));
  await page.locator("#f-model-normalize-mean-error").getByText("one number for each").waitFor();
  await page.locator("details", { hasText: "Attack" }).getByText("must be an attack object when").waitFor();
}, { allow: [/422/] }));

test("form and JSON follow each other", () => web.page("#/new?kind=mrc&dataset=tiny", async (page) => {
  await openAll(page);
  await fill(page, "/seed", "7");
  assert.equal((await json(page)).seed, 7);
  await page.getByLabel("The same as JSON").fill('{"kind": "corrupt", "dataset": {"name": "tiny"}, "corrupt": {"severities": [2, 5]}}');
  await page.locator("#f-corrupt-severities").waitFor();
  assert.equal(await page.locator("#f-corrupt-severities").inputValue(), "2, 5");
  assert.equal(await page.getByLabel("Kind").inputValue(), "corrupt");
  await takes(page);
  await page.getByLabel("The same as JSON").fill("{");
  await page.getByText("That isn't JSON yet").waitFor();
  await page.getByLabel("Kind").selectOption("train");
  assert.deepEqual((await json(page)).corrupt, { severities: [2, 5] });
}));

test("fields that mean nothing for this attack are out of the way", () => web.page("#/new?kind=evaluate&dataset=tiny", async (page) => {
  await openAll(page);
  assert.equal(await page.locator("#f-attack-queries").isVisible(), false);
  await choose(page, "/attack/type", "square");
  assert.equal(await page.locator("#f-attack-queries").isVisible(), true);
  await page.getByLabel("No attack").check();
  assert.equal((await json(page)).attack, null);
  assert.equal(await page.locator("#f-attack-queries").isVisible(), false);
}));

test("a copy of a job says what that one said, and runs", () => web.page(`#/new?from=${web.made.rift.id}`, async (page) => {
  await takes(page);
  const spec = await json(page);
  assert.deepEqual([spec.kind, spec.label, spec.model.width, spec.mrc.steps, spec.interpolate.alphas], ["rift", "tiny", 4, 1, [0, 0.5, 1]]);
  assert.equal("memory" in spec, false);
  assert.equal("milestones" in (spec.optimizer.schedule || {}), false);
  await fill(page, "/label", "again");
  await takes(page);
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL("**#/jobs/*");
  const job = await web.riftd.ask(`v1/jobs/${page.url().match(/jobs\/([^/?]+)$/)[1]}`);
  assert.deepEqual({ ...job.spec, label: null }, { ...web.made.rift.spec, label: null });
  await web.riftd.ask(`v1/jobs/${job.id}/cancel`, { method: "POST" });
}));

test("weights of a job bring their model along", () => web.page("#/new?kind=mrc&dataset=tiny", async (page) => {
  await page.getByLabel("Weights: where from").selectOption("a model or job");
  await choose(page, "/model/weights", `job:${web.made.rift.id}`);
  await until("the model", async () => (await json(page)).model.width === 4);
  assert.deepEqual((await json(page)).model.weights, { job: web.made.rift.id });
  await takes(page);
}));

test("each template is a spec that riftd takes once it has the data", () => web.page("#/new", async (page) => {
  const select = page.getByLabel("Begin with");
  await select.waitFor();
  const names = await select.locator("option").evaluateAll((all) => all.map((one) => one.value).filter(Boolean));
  assert.deepEqual(names, ["quick", "sweep", "cifar10", "cifar100", "tiny-imagenet"]);
  for (const name of names) {
    await page.getByLabel("Begin with").selectOption(name);
    await page.waitForURL(`**template=${name}`);
    await until("its kind", async () => (await json(page)).kind === (name === "quick" ? "rift" : "sweep"));
    await takes(page);
  }
}));

test("a press of the button that is repeated makes one job", () => web.page("#/new?kind=corrupt&dataset=tiny", async (page) => {
  await takes(page);
  const before = (await web.riftd.ask("v1/jobs?kind=corrupt")).jobs.length;
  const keys = new Set();
  page.on("request", (request) => request.method() === "POST" && request.url().endsWith("/v1/jobs") && keys.add(request.headers()["idempotency-key"]));
  let lost = false;
  await page.route("**/v1/jobs", async (route) => { // the first answer is lost on its way
    if (lost) return route.continue();
    lost = true;
    await route.fetch();
    return route.abort();
  });
  await page.getByRole("button", { name: "Submit" }).click();
  await page.getByText("riftd doesn't answer").waitFor();
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL("**#/jobs/*");
  assert.equal(keys.size, 1);
  assert.equal((await web.riftd.ask("v1/jobs?kind=corrupt")).jobs.length, before + 1);
}, { allow: [/ERR_FAILED/] }));

test("the page is readable in light, in dark and on a phone", async () => {
  await web.shots("new", "#/new?template=quick", takes);
  await web.shots("new-blank", "#/new?kind=evaluate", (page) => page.getByText("choose a data set").or(page.getByText("to mend")).first().waitFor());
});
