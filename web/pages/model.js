/* What is this model, where does it come from, and what was made of it? */
import { ask } from "../api.js";
import { ago, button, bytes, card, confirm, copy, empty, make, pill, say } from "../dom.js";
import { link } from "../router.js";

const USES = [["evaluate", "Evaluate"], ["finetune", "Fine-tune"], ["mrc", "Measure criticality"], ["rift", "RiFT"], ["inspect", "See it attacked"]];
const SHOWN_USERS = 30;

const jobLine = (job, id) => make("li", {}, make("a", { href: `#/jobs/${id}` }, job?.label || id.slice(0, 13)), " ",
  job ? [make("span", { class: "faint" }, job.kind), " ", pill(job.state)] : make("span", { class: "faint" }, "deleted since"));

/* The job, or null when it is gone. */
const jobOf = (id, signal) => ask(`v1/jobs/${id}`, { signal }).catch((error) => {
  if (error.status === 404) return null;
  throw error;
});

export async function show(main, { id }, query, page) {
  const model = await ask(`v1/models/${encodeURIComponent(id)}`, { signal: page.signal });
  page.title(model.name);
  const users = model.used_by.slice(0, SHOWN_USERS);
  const [maker, ...jobs] = await Promise.all([model.job && jobOf(model.job, page.signal), ...users.map((user) => jobOf(user, page.signal))]);
  const forget = async () => {
    if (!await confirm(`Delete ${model.name}?`, { yes: "Delete", detail: "Its weights are gone for good, unless another model has the same bytes." })) return;
    await ask(`v1/models/${model.id}`, { method: "DELETE" });
    say(`Deleted ${model.name}.`);
    location.hash = "/models";
  };
  main.append(
    make("div", { class: "head" }, make("h1", {}, model.name), make("div", { class: "row" },
      make("a", { class: "button", href: `v1/models/${model.id}/weights`, download: `${model.name}.safetensors` }, "Download"),
      button("Delete", forget, { class: "danger" }))),
    make("div", { class: "grid" },
      card("About", make("dl", { class: "facts" },
        make("dt", {}, "Size"), make("dd", {}, bytes(model.size)),
        make("dt", {}, "SHA-256"), make("dd", {}, make("code", {}, model.sha256)),
        make("dt", {}, "Owner"), make("dd", {}, model.owner || "–"),
        make("dt", {}, "Registered"), make("dd", {}, ago(model.created_at)),
        make("dt", {}, "Name in specs"), make("dd", {}, make("code", {}, `{"model": "${model.id}"}`))),
      make("div", { class: "row after-table" }, copy("Copy the name in specs", JSON.stringify({ model: model.id })), copy("Copy the hash", model.sha256))),
      card("Where it comes from", model.job ? make("ol", { class: "lineage" }, jobLine(maker, model.job), make("li", {}, make("span", { class: "here" }, model.artifact || "its weights")))
        : make("p", {}, "It was uploaded", model.owner ? ` by ${model.owner}` : "", "."),
      make("h3", {}, "What reads it"),
      model.used_by.length ? make("ul", { class: "lineage" }, users.map((user, index) => jobLine(jobs[index], user)),
        model.used_by.length > SHOWN_USERS && make("li", { class: "faint" }, `and ${model.used_by.length - SHOWN_USERS} more`)) : empty("No job has read it yet."))),
    card("Use in a new job", make("div", { class: "row" }, USES.map(([kind, words]) => make("a", { class: "button", href: link("new", { kind, model: model.id }) }, words)))));
}
