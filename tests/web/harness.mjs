/* What the dashboard's tests share: Chromium, and a page that forgives nothing.
 *
 * A page fails its test on whatever the console calls an error, on a violation of
 * the content security policy, on an exception, and on a request that leaves
 * riftd. shots() takes the pictures that people look at, accessible() asks axe.
 *
 *     const web = await open({ prepare: async (riftd) => {...} });
 *     test("a sentence", () => web.page("#/jobs", async (page) => { ... }));
 *     after(() => web.close()); */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { BUILD, Riftd, DEADLINE_MS } from "./riftd.mjs";

const require = createRequire(path.join(BUILD, "tests/web/package.json"));
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");
export const SHOTS = path.join(BUILD, "tests/web/shots");
const WIDE = { width: 1280, height: 900 }, PHONE = { width: 390, height: 844 };

class Web {
  constructor(riftd, browser) {
    this.riftd = riftd;
    this.browser = browser;
  }

  /**
   * A fresh page at `hash`; `use(page)` does the test.
   * allow: patterns of console errors that the test provokes on purpose.
   */
  async page(hash, use, { allow = [], scheme = "light", viewport = WIDE, token = null } = {}) {
    const context = await this.browser.newContext({ viewport, colorScheme: scheme, acceptDownloads: true, reducedMotion: "reduce",
      permissions: ["clipboard-read", "clipboard-write"] });
    context.setDefaultTimeout(DEADLINE_MS / 3);
    const wrong = [], page = await context.newPage(), home = `http://127.0.0.1:${this.riftd.port}/`;
    page.on("console", (message) => message.type() === "error" && wrong.push(`console: ${message.text()} ${message.location().url}`));
    page.on("pageerror", (error) => wrong.push(`exception: ${error.stack}`));
    page.on("request", (request) => /^(data|blob):/.test(request.url()) || request.url().startsWith(home) || wrong.push(`foreign request: ${request.url()}`));
    try {
      if (token) await page.request.post(`${home}v1/session`, { data: { token } });
      await page.goto(`${home}${hash}`);
      await use(page, context);
    } catch (error) {
      error.message += `\n${wrong.join("\n")}`;
      throw error;
    } finally {
      await context.close();
    }
    assert.deepEqual(wrong.filter((line) => !allow.some((pattern) => pattern.test(line))), []);
  }

  /** Axe finds nothing serious, on the page as it is. */
  async accessible(page) {
    const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]).analyze();
    assert.deepEqual(violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
      .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.target} ${node.any[0]?.message || ""}`).join(" | ")}`), []);
  }

  /** Pictures of the page at `hash`, light, dark and at phone width, each of which axe looks at, too; nothing may stick out sideways. */
  async shots(name, hash, ready = async () => {}, more = {}) {
    mkdirSync(SHOTS, { recursive: true });
    for (const [ending, options] of [["light", {}], ["dark", { scheme: "dark" }], ["phone", { viewport: PHONE }]])
      await this.page(hash, async (page) => {
        await page.waitForSelector("main h1");
        await ready(page);
        await this.accessible(page);
        await page.screenshot({ path: path.join(SHOTS, `${name}-${ending}.png`), fullPage: true });
        if (options.viewport) await page.setViewportSize({ width: 360, height: 780 });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(over <= 0, `${name}: ${over} px stick out at the right (${ending})`);
      }, { ...options, ...more });
  }

  /** The paths of all pages, as the router has them. */
  async listed() {
    let paths = [];
    await this.page("", async (page) => {
      paths = await page.evaluate(async () => (await import("./web/router.js")).pages.map((row) => row.path));
    });
    return paths;
  }

  async close() {
    await this.browser.close();
    await this.riftd.stop();
  }
}

/** riftd and Chromium. prepare(riftd): make what all tests of the file look at. */
export async function open({ options = [], prepare = async () => {} } = {}) {
  const riftd = await new Riftd({ options }).start();
  let browser = null;
  try {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
      args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
    const web = new Web(riftd, browser);
    web.made = await prepare(riftd);
    return web;
  } catch (error) {
    await browser?.close();
    await riftd.stop();
    throw error;
  }
}
