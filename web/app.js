/* What stands around every page?
 *
 * Navigation, how the connection is, who is signed in, and the keys that work
 * everywhere. The pages are in pages/, one file each; router.js lists them. */
import { ask, askSession } from "./api.js";
import { make } from "./dom.js";
import { connection, reconnect, subscribe } from "./live.js";
import { pages, reload, start } from "./router.js";

const GONE_MS = 2500; // a shorter silence is no news

const byId = (id) => document.getElementById(id);
const rows = pages.filter((row) => row.nav);

byId("nav").append(...rows.map((row) => make("a", { href: `#/${row.path}`, "data-path": row.path }, row.nav)));
addEventListener("riftd-page", (event) => {
  for (const anchor of byId("nav").children) {
    const path = anchor.dataset.path;
    const here = path === event.detail.path || (path && event.detail.path.startsWith(`${path}/`));
    here ? anchor.setAttribute("aria-current", "page") : anchor.removeAttribute("aria-current");
    const nav = byId("nav"), at = anchor.offsetLeft - nav.offsetLeft; // on a phone it is wider than the screen
    if (here) nav.scrollLeft = at + anchor.offsetWidth > nav.clientWidth ? at - 48 : 0;
  }
});
subscribe(() => {}); // pages come and go, the stream stays
let gone = 0;
connection((state) => {
  byId("link").textContent = state;
  byId("link").dataset.state = state;
  clearTimeout(gone);
  byId("gone").hidden = true;
  if (["connecting", "reconnecting"].includes(state)) gone = setTimeout(() => {
    byId("gone").hidden = false;
    byId("gone").textContent = "riftd doesn't answer. What you see may be old; this page keeps trying and comes up to date by itself.";
  }, GONE_MS);
});

/* On paper everything is light; charts are drawn in the colours of the moment. */
addEventListener("beforeprint", () => {
  const { theme = "" } = document.documentElement.dataset;
  document.documentElement.dataset.theme = "light";
  dispatchEvent(new CustomEvent("riftd-theme"));
  addEventListener("afterprint", () => {
    theme ? document.documentElement.dataset.theme = theme : delete document.documentElement.dataset.theme;
    dispatchEvent(new CustomEvent("riftd-theme"));
  }, { once: true });
});

/* The hash is the router's: the skip link moves the focus by itself. */
document.querySelector(".skip").onclick = (event) => {
  event.preventDefault();
  byId("main").focus();
};

/* ---- who we are: a token is shown once, a cookie that scripts can't read stands for it ---- */

let dialog = null;
function signIn(event) {
  if (dialog) return;
  const asked = event.detail?.asked; // by the reader himself, who may change his mind
  const trouble = make("p", { class: "bad", role: "alert" });
  const token = make("input", { id: "token", type: "password", autocomplete: "current-password", required: true });
  dialog = make("dialog", { class: "dialog", "aria-labelledby": "sign-in-title" }, make("form", { onsubmit: async (submit) => {
    submit.preventDefault();
    try {
      await ask("v1/session", { method: "POST", body: { token: token.value.trim() } });
    } catch (error) {
      token.value = "";
      trouble.textContent = error.detail || error.message;
      return;
    }
    location.reload();
  } }, make("h2", { id: "sign-in-title" }, "Sign in"),
  make("p", { class: "faint" }, "This riftd wants to know who you are. Your token begins with rift_; an administrator makes one with ",
    make("code", {}, "riftctl admin token create NAME"), "."),
  make("label", { for: "token" }, "Token"), token, trouble, make("div", { class: "row end" }, asked && make("button", { type: "button", onclick: () => dialog.close() }, "Not now"), make("button", { class: "primary" }, "Sign in"))));
  document.body.append(dialog);
  dialog.addEventListener("cancel", (cancel) => !asked && cancel.preventDefault());
  dialog.addEventListener("close", () => {
    dialog.remove();
    dialog = null;
  });
  dialog.showModal();
}
addEventListener("riftd-unknown", signIn);

function whoShow(who) {
  byId("who").textContent = who.owner ? `${who.owner} · ${who.role}` : "";
}

/* ---- keys ---- */

const KEYS = [["/", "to the filter"], ...rows.map((row) => [`g ${row.nav[0].toLowerCase()}`, row.nav]), ["?", "this help"], ["Esc", "close, leave a field"]];
function help() {
  const box = make("dialog", { class: "dialog", "aria-labelledby": "help-title" }, make("form", { method: "dialog" },
    make("h2", { id: "help-title" }, "Keys"),
    make("dl", { class: "keys" }, KEYS.map(([key, what]) => [make("dt", {}, key.split(" ").map((one) => make("kbd", {}, one))), make("dd", {}, what)])),
    make("div", { class: "row end" }, make("button", { autofocus: true }, "Close"))));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

let before = ""; // the key before, for pairs
addEventListener("keydown", (event) => {
  const inField = event.target.matches("input, select, textarea, [contenteditable]");
  if (event.key === "Escape" && inField) event.target.blur();
  if (inField || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const filter = document.querySelector("[data-filter]");
  const row = before === "g" && rows.find((one) => one.nav[0].toLowerCase() === event.key);
  if (event.key === "/" && filter) {
    event.preventDefault();
    filter.focus();
  } else if (event.key === "?") help();
  else if (row) location.hash = `/${row.path}`;
  before = event.key;
});

ask("v1/version").then((about) => { byId("version").textContent = about.version; }, () => {});
askSession().then(whoShow, () => {});
addEventListener("riftd-signed", () => {
  reconnect();
  reload();
});
start();
