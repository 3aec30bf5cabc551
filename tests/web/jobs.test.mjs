/* Can somebody find jobs, do something with many at once, and leave the page open? */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";
import { until } from "./riftd.mjs";

const CONNECTION_LOST = [/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|ERR_NETWORK/];

let web;
before(async () => {
  web = await open({ prepare: async (riftd) => {
    await riftd.reach((await riftd.submit(riftd.trainSpec({ label: "short", train: { epochs: 1 } }))).id, "succeeded");
    const running = await riftd.submit(riftd.trainSpec());
    await riftd.reach(running.id, "running");
    await riftd.submit({ ...riftd.riftSpec({ label: "patient", after: [{ job: running.id }] }) });
    return { running };
  } });
});
after(() => web?.close());

const table = (page) => page.getByRole("region", { name: "Jobs, newest first" });
const row = (page, name) => table(page).getByRole("row", { name });
const held = (label) => web.riftd.submit(web.riftd.trainSpec({ label })).then((job) => web.riftd.ask(`v1/jobs/${job.id}`, { method: "PATCH", body: { held: true } }));

test("filters are in the address, and the back button takes them back", () => web.page("#/jobs", async (page) => {
  await row(page, /patient/).waitFor();
  await page.getByLabel("State").selectOption("succeeded");
  await row(page, /patient/).waitFor({ state: "detached" });
  assert.match(page.url(), /#\/jobs\?state=succeeded$/);
  await row(page, /short/).waitFor();
  await page.getByLabel("Label (exactly)").fill("nothing is called so");
  await page.keyboard.press("Enter");
  await page.getByText("No job fits these filters.").waitFor();
  await page.goBack();
  await row(page, /short/).waitFor();
  await page.goBack();
  await row(page, /patient/).waitFor();
  assert.equal(await page.getByLabel("State").inputValue(), "");
}));

test("steps are shown to who wants them", () => web.page("#/jobs?kind=mrc", async (page) => {
  await page.getByText("No job fits these filters.").waitFor();
  await page.getByLabel("steps, too").check();
  await row(page, /mrc/).waitFor();
}));

test("several jobs are cancelled, retried and deleted at once", () => web.page("#/jobs?label=bunch", async (page) => {
  for (let i = 0; i < 3; i++) await held("bunch");
  await until("three rows", async () => await table(page).getByRole("row", { name: /bunch/ }).count() === 3);
  await page.getByLabel("Select all on this page").check();
  await page.getByText("3 selected").waitFor();
  await page.getByRole("button", { name: "Cancel 3" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel 3 jobs" }).click();
  await until("three are cancelled", async () => await table(page).getByText("cancelled", { exact: true }).count() === 3);
  await page.getByLabel("Select bunch").first().check();
  await page.getByRole("button", { name: "Retry 1" }).click();
  await until("one is queued again", async () => await table(page).getByText("cancelled", { exact: true }).count() === 2);
  await page.getByLabel("Select all on this page").check();
  assert.ok(await page.getByRole("button", { name: "Delete 2" }).isEnabled());
  await page.getByRole("button", { name: "Delete 2" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "No" }).click();
  assert.equal(await table(page).getByRole("row", { name: /bunch/ }).count(), 3);
  await page.getByRole("button", { name: "Delete 2" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete 2 jobs" }).click();
  await until("one is left", async () => await table(page).getByRole("row", { name: /bunch/ }).count() === 1);
}));

test("pages go on where they ended, and back", async () => {
  const jobs = [];
  for (let i = 0; i < 55; i++) jobs.push(await held("many"));
  await web.page("#/jobs?label=many", async (page) => {
    await until("fifty rows", async () => await table(page).getByRole("row", { name: /many/ }).count() === 50);
    await page.getByRole("link", { name: "Older jobs" }).click();
    await until("five rows", async () => await table(page).getByRole("row", { name: /many/ }).count() === 5);
    await page.goBack();
    await until("fifty rows again", async () => await table(page).getByRole("row", { name: /many/ }).count() === 50);
  });
  for (const { id } of jobs) {
    await web.riftd.ask(`v1/jobs/${id}/cancel`, { method: "POST" });
    await web.riftd.ask(`v1/jobs/${id}`, { method: "DELETE" });
  }
});

test("a job that is submitted elsewhere appears, runs and ends under the open page", () => web.page("#/jobs", async (page) => {
  await row(page, /short/).waitFor();
  await page.evaluate(() => { window.same = true; });
  await web.riftd.ask(`v1/jobs/${web.made.running.id}`, { method: "PATCH", body: { held: true } });
  const job = await web.riftd.submit(web.riftd.trainSpec({ label: "sudden", priority: 5, train: { epochs: 3 } }));
  await row(page, /sudden/).waitFor();
  await row(page, /sudden.*running/).waitFor();
  await row(page, /sudden.*succeeded/).waitFor();
  assert.equal((await web.riftd.ask(`v1/jobs/${job.id}`)).state, "succeeded");
  assert.ok(await page.evaluate(() => window.same), "the page was loaded anew");
  await web.riftd.ask(`v1/jobs/${web.made.running.id}`, { method: "PATCH", body: { held: false } });
}));

test("a restart of riftd under the open page heals by itself", () => web.page("#/jobs", async (page) => {
  await page.locator("#link[data-state=live]").waitFor();
  await page.evaluate(() => { window.same = true; });
  await web.riftd.kill("SIGKILL");
  await page.locator("#link[data-state=reconnecting]").waitFor();
  await web.riftd.start();
  await page.locator("#link[data-state=live]").waitFor();
  await held("afterwards");
  await row(page, /afterwards/).waitFor();
  await page.locator("main .trouble").waitFor({ state: "detached" });
  assert.ok(await page.evaluate(() => window.same), "the page was loaded anew");
}, { allow: CONNECTION_LOST }));

test("keys lead to the filter, to pages and to help, and past the navigation", () => web.page("#/jobs", async (page) => {
  await row(page, /short/).waitFor();
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "filter-label");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("o");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.locator("body").press("Tab");
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
}));

test("the page is readable in light, in dark and on a phone", () => web.shots("jobs", "#/jobs", (page) => row(page, /long/).waitFor()));
