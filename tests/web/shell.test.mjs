/* Does what stands around the pages hold: a riftd that is away, addresses of what isn't there, the keyboard, zoom and paper? */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";

const GONE = [/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|ERR_NETWORK/];

let web;
before(async () => {
  web = await open({ prepare: async (riftd) => {
    const rift = await riftd.rift({ label: "a-name-without-a-single-place-at-which-it-could-be-broken-which-is-what-people-do-when-they-may-1234" });
    const model = await riftd.ask("v1/models", { method: "POST", body: { name: "first", job: rift.id } });
    return { rift, model, known: { "jobs/:id": rift.id, "models/:id": model.id, "datasets/:name": "tiny", "jobs/:id/report": rift.id } };
  } });
});
after(() => web?.close());

test("a riftd that is away is told of above the page, and all heals when it is back", () => web.page("#/jobs", async (page) => {
  await page.locator("#link[data-state=live]").waitFor();
  assert.ok(await page.locator("#gone").isHidden());
  await web.riftd.kill("SIGKILL");
  await page.locator("#gone", { hasText: "riftd doesn't answer" }).waitFor();
  await page.getByRole("link", { name: "Models" }).click(); // its code isn't here yet
  await page.getByRole("heading", { name: "Models" }).waitFor();
  await page.locator("main .trouble", { hasText: "riftd doesn't answer: it may be starting again" }).waitFor();
  await web.riftd.start();
  await page.getByRole("region", { name: "Registered models" }).waitFor();
  await page.locator("#gone").waitFor({ state: "hidden" });
  assert.equal(await page.locator("main .trouble").count(), 0);
}, { allow: GONE }));

test("the address of what isn't there says so and leads to what is", async () => {
  for (const [hash, heading, onward] of [["models/nope", "There is no such model", "All models"], ["jobs/nope/report", "There is no such job", "All jobs"],
    ["jobs/nope", "No such job", "All jobs"], ["datasets/nope", "nope", "All data sets"], ["nowhere", "Nothing here", "Overview"]])
    await web.page(`#/${hash}`, async (page) => {
      await page.getByRole("heading", { name: heading }).waitFor();
      await page.locator("main").getByRole("link", { name: onward }).click();
      await page.getByRole("heading", { name: onward.replace("All ", ""), exact: false }).first().waitFor();
    }, { allow: [/404/] });
  await web.page("#/new?from=nope", async (page) => {
    await page.getByText("this begins with nothing").waitFor();
    await page.getByLabel("Kind", { exact: true }).waitFor();
  }, { allow: [/404/] });
  await web.page("#/jobs?cursor=nope", async (page) => {
    await page.locator("main .trouble", { hasText: "A query parameter is wrong: cursor" }).waitFor();
    await page.getByRole("link", { name: "Clear" }).click();
    await page.getByRole("region", { name: "Jobs, newest first" }).waitFor();
  }, { allow: [/400/] });
});

test("the keyboard goes on in the page that a link opened, and the page's name is read aloud", () => web.page("#/jobs", async (page) => {
  await page.locator("main").getByRole("link", { name: /^a-name/ }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /^a-name/ }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  assert.match(await page.locator("#heard").textContent(), /^a-name/);
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.querySelector("main").contains(document.activeElement) && document.activeElement.id !== "main"));
  const { outlineStyle } = await page.evaluate(() => ({ outlineStyle: getComputedStyle(document.activeElement).outlineStyle }));
  assert.notEqual(outlineStyle, "none", "where the keyboard is can't be seen");
  await page.goBack();
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
}));

test("lists that change by themselves don't talk", () => web.page("#/jobs", async (page) => {
  await page.getByRole("region", { name: "Jobs, newest first" }).waitFor();
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("main [aria-live]:not([aria-live=off]), main [role=status], main [role=alert]")].map((one) => one.outerHTML)), []);
  await page.getByLabel("State").selectOption("succeeded");
  await page.waitForFunction(() => /^1 job/.test(document.getElementById("heard").textContent));
  await page.getByLabel("Select all on this page").check();
  assert.equal(await page.locator("#heard").textContent(), "1 selected");
}));

test("nothing sticks out at 200 and 400 percent", async () => {
  for (const path of await web.listed())
    await web.page(`#/${path.replace(/:\w+/, web.made.known[path] || "")}`, async (page) => {
      await page.locator("main h1").waitFor();
      await page.waitForTimeout(300);
      for (const viewport of [{ width: 640, height: 450 }, { width: 320, height: 225 }]) {
        await page.setViewportSize(viewport);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(over <= 0, `${path}: ${over} px stick out at ${viewport.width}`);
      }
    });
});

test("long names and long words about progress stay in their box", () => web.page("#/jobs", async (page) => {
  const box = page.getByRole("region", { name: "Jobs, newest first" });
  await box.getByRole("link", { name: /^a-name/ }).waitFor();
  await page.evaluate(() => { // as a worker may say it: any words
    const cell = document.querySelector("main tbody .outcomes");
    const bar = document.createElement("span"), words = document.createElement("span");
    bar.className = "bar";
    words.textContent = "epoch 117 of 200, robust accuracy under apgd-t with 9 restarts, 1 h left, and then the corrupted ones";
    bar.append(words);
    cell.append(bar);
  });
  assert.ok(await box.evaluate((one) => one.scrollWidth <= one.clientWidth), "the table runs past its box");
}));

test("a report on paper is light, has no buttons and is whole", () => web.page(`#/jobs/${web.made.rift.id}/report`, async (page) => {
  await page.getByText("Module Robust Criticality").first().waitFor();
  await page.locator("canvas").first().waitFor();
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  assert.equal(await page.locator("nav").isVisible(), false);
  assert.deepEqual(await page.getByRole("button").filter({ visible: true }).allTextContents(), []);
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--text").trim()), "#1a1f29");
  await page.evaluate(() => dispatchEvent(new Event("afterprint")));
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--text").trim()), "#e7eaf0");
}, { scheme: "dark" }));

test("who wants less motion gets none", () => web.page("#/new", async (page) => { // the tests' browser wants less
  await page.locator("summary").first().waitFor();
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("*")].flatMap((one) => [getComputedStyle(one), getComputedStyle(one, "::before")])
    .filter((style) => !/^(0s(, )?)+$/.test(style.transitionDuration) || style.animationName !== "none").length), 0);
}));
