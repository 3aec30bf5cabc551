/* Who may come in? */
import { ask } from "../api.js";
import { ago, button, card, confirm, copy, empty, make, moment, renew, say, table } from "../dom.js";

const DAY_S = 86400;
const LIVES = [["never", ""], ["after 30 days", 30], ["after 90 days", 90], ["after a year", 365]];

/* What is shown once: the secret, until the reader has it. */
const secretShow = (box, { name, token }) => renew(box, make("div", { class: "banner" }, make("span", {}, `The token of ${name}, shown this once: `), make("code", { class: "secret" }, token), copy("Copy", token)));

export async function show(main, who, page) {
  const list = make("div"), secret = make("div", { role: "status" });
  const draw = async () => {
    const { tokens } = await ask("v1/tokens", { signal: page.signal });
    renew(list, table({ caption: "Tokens", rows: tokens, key: (token) => token.id, none: empty("No tokens.", "From the first one on, everybody needs one."), columns: [
      { title: "Name", show: (token) => token.name, sort: (token) => token.name },
      { title: "Role", show: (token) => token.role, sort: (token) => token.role },
      { title: "Owner", show: (token) => token.owner },
      { title: "Made", show: (token) => ago(token.created_at) },
      { title: "Used", show: (token) => (token.used_at ? ago(token.used_at) : "never") },
      { title: "Ends", show: (token) => (token.expires_at ? moment(token.expires_at) : "never") },
      { title: "", show: (token) => button("Revoke", async () => {
        const mine = token.id === who.token;
        if (!await confirm(`Revoke the token of ${token.name}?`, { yes: "Revoke", detail: mine ? "It is the one that you are signed in with." : "Whoever uses it is shut out at once." })) return;
        await ask(`v1/tokens/${token.id}`, { method: "DELETE" });
        say("It is revoked.");
        if (mine) location.reload();
        else await draw();
      }, { class: "danger", "aria-label": `Revoke ${token.name}` }) }] }));
  };
  const name = make("input", { id: "token-name", required: true, maxlength: 100, autocomplete: "off" });
  const owner = make("input", { id: "token-owner", placeholder: "the name", autocomplete: "off" });
  const role = make("select", { id: "token-role" }, ["submit", "read", "admin"].map((one) => make("option", { value: one }, one)));
  const life = make("select", { id: "token-life" }, LIVES.map(([words, days]) => make("option", { value: String(days) }, words)));
  const field = (words, control) => make("div", { class: "field" }, make("label", { for: control.id }, words), control);
  const form = make("form", { class: "filters", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const made = await ask("v1/tokens", { method: "POST", body: { name: name.value, role: role.value, ...(owner.value ? { owner: owner.value } : {}),
        ...(life.value ? { expires_in_s: Number(life.value) * DAY_S } : {}) } });
      form.reset();
      secretShow(secret, made);
      await draw();
    } catch (error) {
      say(error.errors.map((one) => `${one.pointer.slice(1)} ${one.message}`).join("; ") || error.detail || error.message, "bad");
    }
  } }, field("Name", name), field("Role", role), field("Owner", owner), field("Ends", life), make("button", { class: "primary" }, "Make a token"));
  main.append(card("Tokens", list), card("New token", form, secret, make("p", { class: "faint" },
    "read looks, submit works with jobs of its own, admin may do everything. Only a hash of the secret is kept.")));
  await draw();
}
