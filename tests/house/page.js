"use strict";
/* Does the dashboard say what is the case when answers fail or jobs vanish?
 *
 * web/app.js runs in a sandbox: a page whose elements remember what was put
 * into them, a server that is a table, timers that wait until they are told.
 *
 *     node page.js web/app.js */
const assert = require("node:assert");
const fs = require("node:fs");
const vm = require("node:vm");

const JOB = { id: "0190", kind: "train", state: "succeeded", label: "mine", steps: [], spec: {}, error: null };

function element() {
  const one = { hidden: true, textContent: "", dataset: {}, children: [], setAttribute() {},
    addEventListener(name, call) { one[name] = call; } };
  one.append = one.replaceChildren = (...children) => { one.children = children; };
  one.tBodies = [one];
  return one;
}

/* All that an element shows. */
const shown = (one) => (typeof one === "string" ? one : one.textContent || one.children.map(shown).join("|"));

class Page {
  constructor() {
    this.elements = {};
    this.timers = [];
    this.listeners = {};
    this.answers = { "v1/version": { version: "1" }, "v1/jobs?parent=&limit=50": { jobs: [], next: null } };
    const page = this;
    this.location = { hash: "", pathname: "/", reload: () => { this.reloaded = true; } };
    this.sandbox = vm.createContext({
      document: {
        getElementById: (id) => (this.elements[id] ??= element()),
        createElement: element,
      },
      location: this.location,
      history: { replaceState: (state, title, url) => { this.location.hash = (url.match(/#.*/) || [""])[0]; } },
      addEventListener: (name, call) => { this.listeners[name] = call; },
      setTimeout: (call) => { this.timers.push(call); },
      fetch: (path, options) => this.fetch(path, options),
      EventSource: class {
        constructor() { page.source = this; }
        addEventListener(name, call) { this[name] = call; }
      },
    });
  }

  async fetch(path, options = {}) {
    if (options.method) this.sent = { path, ...options };
    const body = this.answers[path];
    if (body === "unknown") return { ok: false, status: 401, json: async () => ({ detail: "a token is needed" }) };
    if (body === "broken") throw new Error("connection lost");
    if (body) return { ok: true, status: 200, json: async () => body };
    return { ok: false, status: 404, statusText: "Not Found", json: async () => ({ detail: "there is no such job" }) };
  }

  /* Run what is due: promises, then timers, round after round. */
  async settle() {
    for (let round = 0; round < 20; round++) {
      await new Promise((done) => setImmediate(done));
      this.timers.splice(0).forEach((call) => call());
    }
  }

  async open() {
    vm.runInContext(fs.readFileSync(process.argv[2], "utf8"), this.sandbox);
    this.source.onopen();
    await this.settle();
  }

  select(job) {
    this.answers[`v1/jobs/${job.id}`] = job;
    this.answers[`v1/jobs/${job.id}/artifacts`] = { artifacts: [] };
    this.location.hash = `#${job.id}`;
    this.listeners.hashchange();
    return this.settle();
  }
}

const cases = {
  async "an error goes away with the next answer, even when nothing else happens"(page) {
    const list = page.answers["v1/jobs?parent=&limit=50"];
    assert.equal(page.elements.link.textContent, "live");
    page.answers["v1/jobs?parent=&limit=50"] = "broken";
    page.source.state();
    await new Promise((done) => setImmediate(done));
    assert.equal(page.elements.link.textContent, "connection lost");
    page.answers["v1/jobs?parent=&limit=50"] = list;
    await page.settle();
    assert.equal(page.elements.link.textContent, "live");
  },
  async "a lost stream is said rather than what else went wrong with it"(page) {
    page.answers["v1/jobs?parent=&limit=50"] = "broken";
    page.source.onerror();
    page.source.state();
    await page.settle();
    assert.equal(page.elements.link.textContent, "reconnecting");
  },
  async "a selected job that is deleted is selected no more"(page) {
    await page.select(JOB);
    assert.equal(page.elements.detail.hidden, false);
    delete page.answers[`v1/jobs/${JOB.id}`];
    page.source.state();
    await page.settle();
    assert.equal(page.elements.detail.hidden, true);
    assert.equal(page.location.hash, "");
    assert.equal(page.elements.link.textContent, "live");
  },
  async "a sweep shows means, deviations and what is missing"(page) {
    const cell = (mean, std) => ({ mean, std, n: 2 });
    const side = (value, std) => ({ clean_accuracy: cell(value, std), robust_accuracy: cell(value / 2, null) });
    page.answers["v1/jobs/0190/table"] = { protocol: "paper", group_by: [], rows: [{ method: "trades", modules: ["conv1"],
      group: {}, protocol: "paper", seeds: [0, 1], before: side(0.8, 0.01), after: side(0.82, 0.02), gain: side(0.02, 0.005) }],
      missing: [{ job: "0191", method: "mart", modules: "lowest", seed: 3, state: "failed" }] };
    await page.select({ ...JOB, kind: "sweep", steps: [{ id: "0192", kind: "rift", label: "trades, seed 0", state: "running" }] });
    const text = shown(page.elements.averages);
    for (const part of ["protocol paper", "TRADES+RiFT", "conv1", "80.00 ± 1.00", "82.00 ± 2.00", "+2.00 ± 0.50", "+1.00|",
      "Missing: mart, seed 3, lowest (failed)"]) assert.ok(text.includes(part), `${part} is not in ${text}`);
    assert.ok(!text.includes("OOD"), text);
    assert.ok(shown(page.elements.steps).includes("trades, seed 0"));
  },
  async "who isn't known is asked for a token, which is sent once and then forgotten"(page) {
    assert.equal(page.elements["sign-in"].hidden, true);
    page.answers["v1/session"] = "unknown";
    page.source.readyState = undefined; // EventSource.CLOSED of this page's EventSource
    page.source.onerror();
    await page.settle();
    assert.equal(page.elements["sign-in"].hidden, false);
    page.sandbox.document.getElementById("token").value = " rift_x ";
    await page.elements["sign-in"].submit({ preventDefault() {} });
    assert.equal(page.elements["sign-in-trouble"].textContent, "a token is needed");
    page.answers["v1/session"] = { owner: "ann", role: "submit", session: true };
    page.sandbox.document.getElementById("token").value = " rift_x ";
    await page.elements["sign-in"].submit({ preventDefault() {} });
    assert.deepEqual(JSON.parse(page.sent.body), { token: "rift_x" });
    assert.equal(page.sent.headers["Content-Type"], "application/json");
    assert.equal(page.elements.token.value, "");
    assert.ok(page.reloaded);
  },
  async "what was selected meanwhile stays selected"(page) {
    await page.select(JOB);
    delete page.answers[`v1/jobs/${JOB.id}`];
    page.source.state();
    const selected = page.select({ ...JOB, id: "0191" });
    await selected;
    assert.equal(page.location.hash, "#0191");
    assert.equal(page.elements.detail.hidden, false);
  },
};

(async () => {
  for (const [sentence, run] of Object.entries(cases)) {
    const page = new Page();
    await page.open();
    await run(page);
    console.log(`ok: ${sentence}`);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
