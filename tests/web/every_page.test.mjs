/* Does every page open, without errors, and readable by everybody? The short one: each page's own test says more. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";

let web;
before(async () => {
  web = await open({ prepare: async (riftd) => {
    const rift = await riftd.rift();
    const model = await riftd.ask("v1/models", { method: "POST", body: { name: "first", job: rift.id } });
    return { "jobs/:id": rift.id, "models/:id": model.id, "datasets/:name": "tiny", "jobs/:id/report": rift.id };
  } });
});
after(() => web?.close());

test("every page of the table opens and is accessible", async () => {
  const paths = await web.listed();
  assert.ok(paths.length >= 4, paths.join());
  for (const path of paths) {
    const known = path.includes(":") ? web.made[path] : "";
    assert.ok(known !== undefined, `this test knows nothing to show on ${path}`);
    await web.page(`#/${path.replace(/:\w+/, known)}`, async (page) => {
      await page.locator("main h1").waitFor();
      await page.waitForLoadState("networkidle").catch(() => {}); // the stream never is idle
      assert.equal(await page.locator("main .trouble").count(), 0, `${path}: ${await page.locator("main .trouble").allTextContents()}`);
      await web.accessible(page);
    });
  }
});

test("what is no page says so", () => web.page("#/nowhere/at/all", async (page) => {
  await page.getByRole("heading", { name: "Nothing here" }).waitFor();
}));

test("an address that isn't encoded well is no page, and no exception", () => web.page("#/nowhere/%E0%A4%A", async (page) => {
  await page.getByRole("heading", { name: "Nothing here" }).waitFor();
}));

test("a tab that nobody looks at gives its connection back, and learns what it missed", () => web.page("#/jobs", async (page) => {
  const stream = (request) => request.url().includes("v1/events"), hidden = (now) => page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, now);
  await page.locator("#link[data-state=live]").waitFor({ state: "attached" }); // else there is none to be given back
  const given = page.waitForEvent("requestfailed", stream);
  await hidden(true);
  await given;
  await web.riftd.submit(web.riftd.trainSpec({ label: "missed" }));
  const asked = page.waitForRequest(stream);
  await hidden(false);
  await asked;
  await page.getByRole("link", { name: "missed" }).waitFor();
}));
