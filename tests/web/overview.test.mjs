/* Does the first page say what runs, what waits and why, and what was found? */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";

let web;
before(async () => {
  web = await open({ prepare: async (riftd) => {
    const rift = await riftd.rift();
    const running = await riftd.submit(riftd.trainSpec());
    await riftd.submit(riftd.trainSpec({ label: "next" }));
    await riftd.reach(running.id, "running");
    const waited = [running];
    for (let count = 0; count < 3; count++) waited.push(await riftd.submit(riftd.trainSpec({ label: `behind ${count}` })));
    await riftd.submit(riftd.trainSpec({ label: "last of all", after: waited.map(({ id }) => ({ job: id, on: "any" })) }));
    return { rift, running };
  } });
});
after(() => web?.close());

test("what runs shows its progress, and what waits says why", () => web.page("#/", async (page) => {
  const queue = page.getByRole("region", { name: "What runs and waits" });
  await queue.getByRole("row", { name: /long/ }).getByRole("progressbar").waitFor();
  assert.match(await queue.getByRole("row", { name: /next/ }).textContent(), /queued.*\S/);
  assert.match(await queue.getByRole("row", { name: /last of all/ }).textContent(), /waits for long, behind 0, behind 1 and 1 more/);
}));

test("a finished rift job shows what it gained", () => web.page("#/", async (page) => {
  const row = page.getByRole("region", { name: /Finished RiFT jobs/ }).getByRole("row", { name: /tiny/ });
  assert.match(await row.textContent(), /\d+\.\d\d %.*[+−]\d/);
  await row.getByRole("link", { name: "tiny" }).click();
  await page.waitForURL(`**/#/jobs/${web.made.rift.id}`);
}));

test("the page is readable in light, in dark and on a phone", () => web.shots("overview", "#/", (page) => page.getByRole("progressbar").first().waitFor()));
