/* Who is told when jobs end? */
import { ask } from "../api.js";
import { button, card, confirm, copy, empty, make, moment, pill, renew, say, table } from "../dom.js";

const STATES = ["queued", "running", "succeeded", "failed", "cancelled"];
const TOLD = ["succeeded", "failed", "cancelled"]; // unless the reader says otherwise
const LOOK_AGAIN_MS = 700; // a test is on its way that long, as a rule

async function deliveriesShow(box, hook, page) {
  const { deliveries } = await ask(`v1/webhooks/${hook.id}/deliveries?limit=20`, { signal: page.signal });
  renew(box, make("h3", {}, `What ${hook.url} was told`), table({ caption: `Deliveries to ${hook.url}`, rows: deliveries, key: (one) => one.id, none: empty("Nothing yet.", "Test sends something now."), columns: [
    { title: "Number", show: (one) => one.id },
    { title: "State", show: (one) => pill(one.state) },
    { title: "Tells of", show: (one) => (one.body.type === "test" ? "a test" : make("a", { href: `#/jobs/${one.body.job.id}` }, `${one.body.job.label || one.body.job.id.slice(0, 13)} ${one.body.state}`)) },
    { title: "Attempts", number: true, show: (one) => one.attempts },
    { title: "Answer", show: (one) => one.status || one.error || "–" },
    { title: "Again at", show: (one) => moment(one.next_at) }] }));
}

export async function show(main, who, page) {
  const list = make("div"), below = make("div"), secret = make("div", { role: "status" });
  let open = null;
  const draw = async () => {
    const { webhooks } = await ask("v1/webhooks", { signal: page.signal });
    renew(list, table({ caption: "Webhooks", rows: webhooks, key: (hook) => hook.id, none: empty("No webhooks.", "riftd can POST to an address when jobs end."), columns: [
      { title: "Address", class: "wrap", show: (hook) => hook.url },
      { title: "When", class: "wrap", show: (hook) => hook.states.join(", ") },
      { title: "Whose jobs", show: (hook) => hook.jobs },
      { title: "Owner", show: (hook) => hook.owner || "–" },
      { title: "", show: (hook) => make("span", { class: "row" },
        button("Test", async () => {
          await ask(`v1/webhooks/${hook.id}/test`, { method: "POST" });
          say("A test is on its way.");
          open = hook;
          await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
          await deliveriesShow(below, hook, page);
        }, { "aria-label": `Test ${hook.url}` }),
        button("Deliveries", () => deliveriesShow(below, open = hook, page), { "aria-label": `Deliveries to ${hook.url}` }),
        button("Delete", async () => {
          if (!await confirm("Delete this webhook?", { yes: "Delete", detail: hook.url })) return;
          await ask(`v1/webhooks/${hook.id}`, { method: "DELETE" });
          say("It is deleted.");
          if (open?.id === hook.id) open = renew(below) && null;
          await draw();
        }, { class: "danger", "aria-label": `Delete ${hook.url}` })) }] }));
  };
  const url = make("input", { id: "hook-url", type: "url", required: true, placeholder: "https://…", maxlength: 2000 });
  const ticks = STATES.map((state) => make("input", { type: "checkbox", name: "states", value: state, checked: TOLD.includes(state) }));
  const all = make("input", { type: "checkbox" });
  const form = make("form", { class: "stack", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const made = await ask("v1/webhooks", { method: "POST", body: { url: url.value, states: ticks.filter((tick) => tick.checked).map((tick) => tick.value), ...(all.checked ? { jobs: "all" } : {}) } });
      renew(secret, make("div", { class: "banner" }, "Its secret, shown this once: ", make("code", { class: "secret" }, made.secret), copy("Copy", made.secret)));
      url.value = "";
      await draw();
    } catch (error) {
      say(error.errors.map((one) => `${one.pointer.slice(1)}: ${one.message}`).join("; ") || error.detail || error.message, "bad");
    }
  } }, make("div", { class: "field" }, make("label", { for: "hook-url" }, "Address"), url),
  make("fieldset", { class: "choices" }, make("legend", {}, "When a job becomes"), ticks.map((tick) => make("label", {}, tick, ` ${tick.value}`))),
  who.role === "admin" && make("label", { class: "check" }, all, " jobs of everybody"),
  make("div", {}, make("button", { class: "primary" }, "Add webhook")));
  main.append(card("Webhooks", list, below), card("New webhook", form, secret));
  await draw();
  page.live(() => open && deliveriesShow(below, open, page), { when: (event) => event.type === "state" });
}
