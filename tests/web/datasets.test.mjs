/* Does the dashboard show what a data set holds, and does looking at one show itself? */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";

const CLASSES = 10;
let web, set;
before(async () => {
  web = await open({ prepare: async (riftd) => {
    const { datasets } = await riftd.ask("v1/datasets");
    set = datasets.find((one) => one.name === "fashion-mnist") || datasets[0]; // Debian's images are nicer to look at
    const train = await riftd.submit(riftd.trainSpec({ label: "a net", dataset: { name: set.name, train_limit: 600, test_limit: 100, format: null, path: null },
      model: { num_classes: set.name === "tiny" ? 4 : CLASSES }, train: { method: "standard", epochs: 2, evaluate_every: 0 }, optimizer: { lr: 0.05 } }));
    await riftd.reach(train.id, "succeeded");
    return { train };
  } });
});
after(() => web?.close());

/* Pictures are drawn from files that came: a cell without one is empty. */
const picturesCame = (page) => page.waitForFunction(() => {
  const images = [...document.querySelectorAll(".cell-picture image")];
  return images.length > 0 && performance.getEntriesByType("resource").filter((one) => one.name.endsWith(".png") && one.responseStatus === 200).length >= new Set(images.map((one) => one.href.baseVal)).size;
});

test("a data set that nobody looked at says what to do, and looking at it shows its pictures as they come", () => web.page("#/datasets/tiny", async (page) => {
  await page.getByText("Nobody has looked at this data set yet.").waitFor();
  await page.getByRole("button", { name: "Look at it" }).click();
  await page.getByRole("heading", { name: "Samples" }).waitFor(); // without a reload
  await picturesCame(page);
  assert.equal(await page.locator(".samples .cell-picture").count(), 4 * 8);
  assert.match(await page.getByRole("region", { name: /deviation of each split/ }).textContent(), /train86.*validation10.*test96/s);
  const corruptions = page.getByRole("region", { name: /in each corruption and severity/ });
  assert.equal(await corruptions.getByRole("row").count(), 2 + 15);
  await corruptions.getByRole("img", { name: "gaussian noise, severity 5" }).waitFor();
  await page.getByRole("button", { name: "Look again" }).waitFor();
}));

test("with a model the look shows what an attack does to it", () => web.page(`#/datasets/${set.name}`, async (page) => {
  await page.getByText("What to show").click();
  await page.getByLabel("Attack this model").selectOption({ label: "a net · train" });
  await page.getByLabel("Images attacked").fill("6");
  await page.getByRole("button", { name: /^Look/ }).click();
  const part = page.locator("section", { has: page.getByRole("heading", { name: "Adversarial examples" }) });
  await part.getByRole("article").nth(5).waitFor();
  await picturesCame(page);
  assert.match(await part.textContent(), /pgd-10 within 8\/255.*Right before: \d of 6, after: \d of 6.*magnified 15 times/s);
  assert.equal(await part.getByRole("img").count(), 18);
  const jobs = (await web.riftd.ask(`v1/jobs?kind=inspect&dataset=${set.name}`)).jobs;
  assert.equal(jobs.length, 1);
}));

test("another image's variants are shown when it is chosen, and an older look by its address", () => web.page(`#/datasets/${set.name}`, async (page) => {
  const choice = page.getByRole("group", { name: "Which image" }).getByRole("button");
  await choice.nth(1).click();
  assert.equal(await choice.nth(1).getAttribute("aria-pressed"), "true");
  const first = (await web.riftd.ask(`v1/jobs?kind=inspect&dataset=${set.name}`)).jobs[0];
  await page.getByRole("button", { name: "Look again" }).click();
  await page.getByLabel("Which look").waitFor();
  await page.getByLabel("Which look").selectOption(first.id);
  await page.waitForURL(`**job=${first.id}`);
  await page.getByText("Right before").waitFor(); // only the older one had a model
  await page.goBack();
  await page.getByText("This look had no model to attack.").waitFor();
}));

test("a look that fails says why", () => web.page(`#/datasets/${set.name}`, async (page) => {
  const job = await web.riftd.submit({ kind: "inspect", dataset: { name: set.name }, inspect: { corruptions: { path: "/nowhere/at/all" } } });
  await web.riftd.reach(job.id, "failed");
  await page.getByRole("alert").getByText(/nowhere/).waitFor();
}));

test("all data sets are listed with a sample of each class", () => web.page("#/datasets", async (page) => {
  const card = page.getByRole("article").filter({ hasText: set.name });
  await picturesCame(page);
  assert.ok(await card.getByRole("img").count() >= 4);
  await card.getByRole("link", { name: set.name }).click();
  await page.getByRole("heading", { name: set.name }).waitFor();
}));

test("a data set that isn't there is said to be missing", () => web.page("#/datasets/none", (page) => page.getByText("No data set is registered under this name.").waitFor()));

test("the pages are readable in light, in dark and on a phone", async () => {
  const job = await web.riftd.submit({ kind: "inspect", dataset: { name: set.name }, model: { ...web.made.train.spec?.model, width: 4, num_classes: set.name === "tiny" ? 4 : CLASSES, input: [1, 32, 32], weights: { job: web.made.train.id } } });
  await web.riftd.reach(job.id, "succeeded");
  await web.shots("datasets", "#/datasets", picturesCame);
  await web.shots("dataset", `#/datasets/${set.name}`, async (page) => {
    await page.getByRole("heading", { name: "Adversarial examples" }).waitFor();
    await picturesCame(page);
  });
});
