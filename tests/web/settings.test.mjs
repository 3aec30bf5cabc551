/* Can an administrator do from the page what riftctl admin does, and somebody sign in and out? */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { open } from "./harness.mjs";
import { until } from "./riftd.mjs";

let web, listener;
const told = []; // what webhooks sent us
before(async () => {
  listener = createServer((request, answer) => {
    let body = "";
    request.on("data", (part) => { body += part; });
    request.on("end", () => {
      told.push(JSON.parse(body));
      answer.end();
    });
  });
  await new Promise((done) => listener.listen(0, "127.0.0.1", done));
  web = await open({ options: ["--webhook-targets", "any"], prepare: async (riftd) => {
    await riftd.reach((await riftd.submit(riftd.trainSpec({ label: "short", train: { epochs: 1 } }))).id, "succeeded");
  } });
});
after(async () => {
  listener?.close();
  await web?.close();
});

const settings = (part, use, options) => web.page(`#/settings${part ? `?part=${part}` : ""}`, use, options);

test("the colours that were chosen are remembered", () => settings("", async (page) => {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByLabel("dark").check();
  assert.notEqual(await ground(), light);
  await page.reload();
  await page.getByLabel("dark").waitFor();
  assert.notEqual(await ground(), light);
  assert.ok(await page.getByLabel("dark").isChecked());
  await page.getByLabel("as the system").check();
  assert.equal(await ground(), light);
}));

test("riftd is drained and resumed, and the overview says so meanwhile", () => settings("service", async (page) => {
  await page.getByRole("button", { name: "Drain" }).click();
  await page.getByText("drained: nothing starts", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Overview" }).click();
  await page.getByText("riftd is drained: jobs are accepted").waitFor();
  await page.getByRole("main").getByRole("link", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Drain" }).waitFor();
}, { allow: [/503/] })); // not ready is what it is then

test("a check of everything says what it found", () => settings("service", async (page) => {
  await page.getByRole("button", { name: "Check everything" }).click();
  await page.getByText("Everything is as it was announced.").waitFor();
}));

test("a backup is made, fetched and deleted", () => settings("backups", async (page) => {
  await page.getByText("No backups yet.").waitFor();
  await page.getByRole("button", { name: "Back up now" }).click();
  const row = page.getByRole("region", { name: "Backups" }).getByRole("row").nth(1);
  const [file] = await Promise.all([page.waitForEvent("download"), row.getByRole("link").click()]);
  assert.ok(readFileSync(await file.path()).toString("latin1").startsWith("SQLite format 3"));
  await row.getByRole("button", { name: /Delete/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("No backups yet.").waitFor();
}));

test("a webhook is made, tested, told of jobs and deleted", () => settings("webhooks", async (page) => {
  const url = `http://127.0.0.1:${listener.address().port}/hook`;
  await page.getByLabel("Address").fill(url);
  await page.getByLabel("running").check();
  await page.getByRole("button", { name: "Add webhook" }).click();
  await page.getByText("shown this once").waitFor();
  await page.getByRole("button", { name: `Test ${url}` }).click();
  const deliveries = page.getByRole("region", { name: `Deliveries to ${url}` });
  await deliveries.getByText("a test").waitFor();
  await until("the test", () => told.some((one) => one.type === "test"));
  const job = await web.riftd.submit(web.riftd.trainSpec({ label: "told of", train: { epochs: 1 } }));
  await web.riftd.reach(job.id, "succeeded");
  await until("the job's end", () => told.some((one) => one.job?.id === job.id && one.state === "succeeded"));
  await page.getByRole("button", { name: `Deliveries to ${url}` }).click();
  await deliveries.getByRole("row", { name: /told of succeeded/ }).waitFor();
  await web.accessible(page);
  await page.getByRole("button", { name: `Delete ${url}` }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("No webhooks.").waitFor();
}));

test("what is wrong with a webhook is said", () => settings("webhooks", async (page) => {
  await page.getByLabel("Address").fill("ftp://nowhere.example/x");
  await page.getByRole("button", { name: "Add webhook" }).click();
  await page.locator("#said p[data-mood=bad]").waitFor();
}, { allow: [/422/] }));

/* From the first token on everybody needs one, so these come last and in order. */
test("tokens are made and revoked; who has none is asked to sign in, and can sign out", async () => {
  let secret = "";
  await settings("tokens", async (page) => {
    await page.getByLabel("Name").fill("ann");
    await page.getByLabel("Role").selectOption("admin");
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.locator("code.secret").waitFor();
    secret = await page.locator("code.secret").textContent();
    assert.match(secret, /^rift_/);
    const dialog = page.getByRole("dialog", { name: "Sign in" });
    await dialog.getByLabel("Token").fill("rift_wrong");
    await dialog.getByRole("button", { name: "Sign in" }).click();
    await dialog.getByRole("alert").filter({ hasText: /\S/ }).waitFor();
    await web.accessible(page);
    await dialog.getByLabel("Token").fill(secret);
    await dialog.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("row", { name: /ann/ }).waitFor();
    await page.locator("#who").getByText("ann · admin").waitFor();
    await page.getByLabel("Name").fill("bob");
    await page.getByLabel("Role").selectOption("read");
    await page.getByLabel("Ends").selectOption({ label: "after 30 days" });
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.getByRole("row", { name: /bob.*read/ }).waitFor();
    await page.getByRole("button", { name: "Revoke bob" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("row", { name: /bob/ }).waitFor({ state: "detached" });
    await page.getByRole("link", { name: "You" }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("dialog", { name: "Sign in" }).waitFor();
  }, { allow: [/401/] });
  web.token = secret;
  web.riftd.token = secret;
});

test("who may only read sees neither tokens nor audit", async () => {
  const { token } = await web.riftd.ask("v1/tokens", { method: "POST", body: { name: "eve", role: "read" } });
  await settings("tokens", async (page) => {
    await page.getByText("eve", { exact: true }).waitFor();
    assert.deepEqual(await page.locator(".tabs a").allTextContents(), ["You"]);
  }, { token });
});

test("the audit says who did what", () => settings("audit", async (page) => {
  await page.getByRole("row", { name: /ann.*DELETE \/v1\/tokens/ }).first().waitFor();
}, { token: web.token }));

test("every part is readable in light, in dark and on a phone", async () => {
  await web.shots("settings", "#/settings", (page) => page.getByText("Who you are").waitFor(), { token: web.token });
  await web.shots("settings-tokens", "#/settings?part=tokens", (page) => page.getByRole("row", { name: /ann/ }).waitFor(), { token: web.token });
  await web.shots("settings-webhooks", "#/settings?part=webhooks", (page) => page.getByText("No webhooks.").waitFor(), { token: web.token });
  await web.shots("settings-audit", "#/settings?part=audit", (page) => page.getByRole("row", { name: /ann/ }).first().waitFor(), { token: web.token });
  await web.shots("settings-service", "#/settings?part=service", (page) => page.getByText("Ready").waitFor(), { token: web.token });
});
