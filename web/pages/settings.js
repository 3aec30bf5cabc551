/* Who am I here, and how does riftd itself do?
 *
 * Everybody has the first part; what is for administrators is in parts of its own,
 * each a file, that the address names: #/settings?part=tokens. */
import { ask, askSession } from "../api.js";
import { button, card, make, moment, pill, renew, say } from "../dom.js";
import { link } from "../router.js";
import * as audit from "./settings_audit.js";
import * as backups from "./settings_backups.js";
import * as tokens from "./settings_tokens.js";
import * as webhooks from "./settings_webhooks.js";

/* What each role may see. */
const PARTS = [
  { name: "you", title: "You", show: you, may: () => true },
  { name: "tokens", title: "Tokens", show: tokens.show, may: (role) => role === "admin" },
  { name: "webhooks", title: "Webhooks", show: webhooks.show, may: (role) => role !== "read" },
  { name: "backups", title: "Backups", show: backups.show, may: (role) => role === "admin" },
  { name: "audit", title: "Audit", show: audit.show, may: (role) => role === "admin" },
  { name: "service", title: "Service", show: service, may: (role) => role === "admin" },
];

function themes() {
  const set = (name) => {
    if (name) localStorage.setItem("theme", name);
    else localStorage.removeItem("theme");
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    dispatchEvent(new CustomEvent("riftd-theme"));
  };
  const now = localStorage.getItem("theme") || "";
  return make("fieldset", { class: "choices" }, make("legend", {}, "Colours"), [["", "as the system"], ["light", "light"], ["dark", "dark"]].map(([name, words]) =>
    make("label", {}, make("input", { type: "radio", name: "theme", checked: name === now, onchange: () => set(name) }), ` ${words}`)));
}

async function you(main, who) {
  main.append(card("Who you are", make("dl", { class: "facts" },
    make("dt", {}, "Name"), make("dd", {}, who.owner || "nobody in particular: this riftd asks nobody who he is"),
    make("dt", {}, "Role"), make("dd", {}, who.role),
    who.token && [make("dt", {}, "Token"), make("dd", {}, make("code", {}, who.token))],
    who.expires_at && [make("dt", {}, "Until"), make("dd", {}, moment(who.expires_at))]),
  make("div", { class: "row" }, who.session ? button("Sign out", async () => {
    await ask("v1/session", { method: "DELETE" });
    location.reload();
  }) : make("button", { type: "button", onclick: () => dispatchEvent(new CustomEvent("riftd-unknown", { detail: { asked: true } })) }, "Sign in with a token"))),
  card("This page", themes(), make("p", { class: "faint" }, "Remembered by this browser. ", make("kbd", {}, "?"), " shows the keys.")));
}

/* Drain, resume, and whether all is well. */
async function service(main, who, page) {
  const box = make("div", { class: "page" }), findings = make("div");
  main.append(box, card("Check", make("p", {}, "Holds the database, every artifact and every model against what was announced. It reads every byte and takes its time."),
    button("Check everything", () => check(findings, page)), findings));
  const draw = async () => {
    const [queue, ready, about] = await Promise.all([ask("v1/queue?limit=1", { signal: page.signal }), ask("readyz", { signal: page.signal }).catch((error) => error), ask("v1/version", { signal: page.signal })]);
    renew(box, card("Service", make("dl", { class: "facts" }, make("dt", {}, "Version"), make("dd", {}, about.version),
      make("dt", {}, "Ready"), make("dd", {}, ready instanceof Error ? pill("failed", ready.detail || "no") : pill("ok", "yes")),
      make("dt", {}, "Queue"), make("dd", {}, queue.drained ? pill("drained", "drained: nothing starts") : pill("ok", "open"))),
    make("p", {}, make("a", { href: "v1/openapi.yaml" }, "The API's description"), " · ", make("a", { href: "metrics" }, "Metrics for Prometheus")),
    make("div", { class: "row" }, queue.drained ? button("Resume", () => turn("resume", "Jobs start again."), { class: "primary" })
      : button("Drain", () => turn("drain", "No more jobs start; running ones go on.")))));
  };
  const turn = async (path, words) => {
    await ask(`v1/admin/${path}`, { method: "POST" });
    say(words);
    await draw();
  };
  await draw();
  page.live(draw);
}

/* Findings come as lines, one by one. */
async function check(box, page) {
  const lines = [];
  const told = make("p", { role: "status" }, "Checking…");
  renew(box, told);
  const answer = await fetch("v1/admin/check", { signal: page.signal });
  if (!answer.ok) throw Object.assign(new Error((await answer.json()).detail), { title: "The check didn't start" });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = "", part = await reader.read(); !part.done; part = await reader.read()) {
    const whole = (text + part.value).split("\n");
    text = whole.pop();
    for (const one of whole.filter((line) => line.trim()).map((line) => JSON.parse(line))) {
      if (one.what === "sum") told.textContent = one.findings ? `${one.findings} findings.` : "Everything is as it was announced.";
      else if (one.what === "failed") told.textContent = "The check broke off; riftd's log says why.";
      else if (one.what !== "progress") lines.push(`${one.what} ${one.id || ""} ${one.name || ""}: ${one.problem}`);
    }
    renew(box, told, lines.length > 0 && make("ul", {}, lines.map((line) => make("li", {}, line))));
  }
}

export async function show(main, params, query, page) {
  const who = await askSession();
  const parts = PARTS.filter((part) => part.may(who.role));
  const part = parts.find((one) => one.name === query.part) || parts[0];
  page.title(part.name === "you" ? "Settings" : `${part.title} · Settings`);
  const box = make("div", { class: "page" });
  main.append(make("h1", {}, "Settings"), make("nav", { class: "tabs", "aria-label": "Parts of the settings" }, parts.map((one) => make("a", {
    href: link("settings", one.name === "you" ? {} : { part: one.name }), "aria-current": one === part ? "page" : null }, one.title))), box);
  await part.show(box, who, page);
}
