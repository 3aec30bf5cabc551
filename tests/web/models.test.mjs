/* Do weights come in, say where they are from, and go, by the dashboard alone? */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";

let web, weights;
before(async () => {
  web = await open({ prepare: async (riftd) => {
    const train = await riftd.submit(riftd.trainSpec({ label: "short", train: { epochs: 1, method: "standard", evaluate_every: 0 } }));
    await riftd.reach(train.id, "succeeded");
    const answer = await fetch(`${riftd.url}/v1/jobs/${train.id}/artifacts/last.safetensors`);
    weights = path.join(riftd.dir, "mine.safetensors");
    writeFileSync(weights, Buffer.from(await answer.arrayBuffer()));
    return { train };
  } });
});
after(() => web?.close());
const hashOf = (bytes) => createHash("sha256").update(bytes).digest("hex");

test("a file is uploaded under its name, and riftd has its bytes", () => web.page("#/models", async (page) => {
  await page.getByText("No model is registered.").waitFor();
  await page.getByLabel("Weights, a safetensors file").setInputFiles(weights);
  assert.equal(await page.locator("#upload-name").inputValue(), "mine");
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByText("Registered, and the hash is right").waitFor();
  await page.getByRole("region", { name: "Registered models" }).getByRole("link", { name: "mine" }).waitFor();
  const { models } = await web.riftd.ask("v1/models");
  assert.equal(models[0].sha256, hashOf(readFileSync(weights)));
}));

test("the same file again is the same model", () => web.page("#/models", async (page) => {
  await page.getByLabel("Weights, a safetensors file").setInputFiles(weights);
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByText("These weights were registered already").waitFor();
  assert.equal((await web.riftd.ask("v1/models")).models.length, 1);
}));

test("a file that holds no weights is refused with riftd's words", () => web.page("#/models", async (page) => {
  await page.getByLabel("Weights, a safetensors file").setInputFiles({ name: "cat.safetensors", mimeType: "application/octet-stream", buffer: Buffer.from("a cat, not weights") });
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByRole("alert").getByText("no safetensors").waitFor();
}, { allow: [/422/] }));

test("what a job made is kept, says so, and leads to its job", () => web.page("#/models", async (page) => {
  await page.getByLabel("Weights that a job has made").selectOption({ label: "short · train" });
  await page.getByRole("button", { name: "Keep as a model" }).click();
  await page.getByRole("region", { name: "Registered models" }).getByRole("link", { name: "short" }).click();
  await page.getByRole("heading", { name: "Where it comes from" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "short" }).getAttribute("href"), `#/jobs/${web.made.train.id}`);
  await page.getByRole("link", { name: "Evaluate" }).click();
  await page.getByRole("heading", { name: "New job" }).waitFor();
  assert.match(await page.getByLabel("The same as JSON").inputValue(), /"kind": "evaluate"[^]*"width": 4[^]*"model": "/);
}));

test("the list is filtered by name, and the address says so", () => web.page("#/models", async (page) => {
  await page.locator("#name").fill("mine");
  await page.locator("#name").press("Enter");
  await page.waitForURL("**#/models?name=mine");
  await page.getByRole("link", { name: "short" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "mine" }).waitFor();
}));

test("weights are downloaded as they came, and deleted only when one means it", () => web.page("#/models?name=mine", async (page) => {
  await page.getByRole("link", { name: "mine" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
  assert.equal(hashOf(readFileSync(await download.path())), hashOf(readFileSync(weights)));
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "No" }).click();
  assert.equal((await web.riftd.ask("v1/models")).models.length, 2);
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.waitForURL("**#/models");
  assert.deepEqual((await web.riftd.ask("v1/models")).models.map((model) => model.name), ["short"]);
}));

test("the pages are readable in light, in dark and on a phone", async () => {
  const [model] = (await web.riftd.ask("v1/models")).models;
  const evaluate = await web.riftd.submit({ kind: "evaluate", label: "how good is it", dataset: { name: "tiny" }, batch_size: 16, model: { width: 4, num_classes: 4, input: [1, 32, 32], weights: { model: model.id } }, attack: { steps: 1 } });
  await web.riftd.reach(evaluate.id, "succeeded");
  await web.shots("models", "#/models", (page) => page.getByRole("link", { name: "short" }).waitFor());
  await web.shots("model", `#/models/${model.id}`, (page) => page.getByRole("link", { name: "how good is it" }).waitFor());
});
