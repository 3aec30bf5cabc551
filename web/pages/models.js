/* Which weights are known by a name of their own, and how do more come in? */
import { ask, query as asQuery } from "../api.js";
import { ago, button, bytes, card, empty, make, renew, say, table, trouble } from "../dom.js";
import { modelUpload } from "../upload.js";
import { weightsThere } from "../weights.js";

const PAGE_MODELS = 50;
const nameOfFile = (file) => file.name.replace(/\.safetensors$/, "").slice(0, 100);

/* ---- a file of the reader's ---- */

function uploadForm(page, changed) {
  const file = make("input", { id: "file", type: "file", accept: ".safetensors", required: true });
  const name = make("input", { id: "upload-name", maxlength: 100, required: true, autocomplete: "off" });
  const progress = make("div", { class: "row", role: "status" }), stop = make("button", { type: "button", hidden: true }, "Stop");
  const go = make("button", { class: "primary" }, "Upload");
  file.onchange = () => { if (file.files[0]) name.value = nameOfFile(file.files[0]); };
  const told = (phase, part) => renew(progress, make("progress", { max: 1, value: part, "aria-label": phase }),
    make("span", {}, `${phase === "reading" ? "Reading and hashing" : "Sending"}, ${Math.floor(100 * part)} %`));
  const form = make("form", { class: "stack", onsubmit: async (event) => {
    event.preventDefault();
    const leaving = new AbortController();
    page.signal.addEventListener("abort", () => leaving.abort());
    stop.onclick = () => leaving.abort();
    stop.hidden = false;
    go.disabled = true;
    try {
      const { model, again } = await modelUpload(file.files[0], name.value, told, leaving.signal);
      progress.replaceChildren(make("span", { class: "good" }, again ? "These weights were registered already: " : "Registered, and the hash is right: ",
        make("a", { href: `#/models/${model.id}` }, model.name)));
      form.reset();
      await changed();
    } catch (error) {
      progress.replaceChildren(error.name === "AbortError" ? "Stopped; nothing was registered." : trouble(error));
    } finally {
      stop.hidden = true;
      go.disabled = false;
    }
  } },
  make("div", { class: "field" }, make("label", { for: "file" }, "Weights, a safetensors file"), file),
  make("div", { class: "field" }, make("label", { for: "upload-name" }, "Name"), name),
  make("div", { class: "row" }, go, stop), progress);
  for (const type of ["dragover", "drop"])
    form.addEventListener(type, (event) => {
      event.preventDefault();
      if (type !== "drop" || !event.dataTransfer.files.length) return;
      file.files = event.dataTransfer.files;
      file.onchange();
    });
  return form;
}

/* ---- what a job has made ---- */

function jobForm(jobs, changed) {
  const job = make("select", { id: "from-job", required: true }, jobs.map((one) => make("option", { value: one.id }, `${one.label || one.id.slice(0, 13)} · ${one.kind}`)));
  const name = make("input", { id: "job-name", maxlength: 100, required: true, autocomplete: "off", value: jobs[0]?.label || "" });
  job.onchange = () => { name.value = jobs.find((one) => one.id === job.value)?.label || ""; };
  if (!jobs.length) return empty("No finished job has made weights yet.");
  const form = make("form", { class: "stack" }, make("div", { class: "field" }, make("label", { for: "from-job" }, "Weights that a job has made"), job),
    make("div", { class: "field" }, make("label", { for: "job-name" }, "Name"), name),
    make("div", { class: "row" }, button("Keep as a model", async () => {
      if (!form.reportValidity()) return;
      const model = await ask("v1/models", { method: "POST", body: { name: name.value, job: job.value } });
      say(`Registered as ${model.name}.`);
      await changed();
    })));
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

/* ---- the list ---- */

const modelsTable = (models, filtered) => table({
  caption: "Registered models, newest first", rows: models, key: (model) => model.id,
  none: filtered ? empty("No model fits.", make("a", { href: "#/models" }, "Show all models")) : empty("No model is registered.", "Upload weights here, keep those of a job, or use ", make("code", {}, "riftctl model push FILE"), "."),
  columns: [
    { title: "Name", show: (model) => make("a", { href: `#/models/${model.id}` }, model.name) },
    { title: "Size", number: true, show: (model) => bytes(model.size) },
    { title: "Made by", show: (model) => (model.job ? make("a", { href: `#/jobs/${model.job}` }, model.artifact || "a job") : "an upload") },
    { title: "Owner", show: (model) => model.owner || "–" },
    { title: "SHA-256", show: (model) => make("code", { title: model.sha256 }, model.sha256.slice(0, 12)) },
    { title: "Registered", show: (model) => ago(model.created_at) },
  ],
});

export async function show(main, params, query, page) {
  let wanted = query;
  const list = make("div", { class: "card" }), more = make("div", { class: "row" });
  const name = make("input", { id: "name", value: query.name || "", "data-filter": "", placeholder: "any", onchange: () => page.navigate({ name: name.value || null, cursor: null }) });
  const draw = async () => {
    const found = await ask(`v1/models${asQuery({ limit: PAGE_MODELS, name: wanted.name, owner: wanted.owner, job: wanted.job, cursor: wanted.cursor })}`, { signal: page.signal });
    renew(list, modelsTable(found.models, ["name", "owner", "job", "cursor"].some((one) => wanted[one])));
    renew(more, wanted.cursor && make("a", { class: "button", href: "#/models" }, "Newest"),
      found.next && make("button", { type: "button", onclick: () => page.navigate({ cursor: found.next }) }, "Older"));
  };
  page.onQuery((now) => {
    wanted = now;
    name.value = now.name || "";
    draw().catch((error) => error.name !== "AbortError" && page.told(error));
  });
  const there = await weightsThere(page.signal);
  main.append(make("div", { class: "head" }, make("h1", {}, "Models"),
    make("div", { class: "row" }, make("label", { for: "name" }, "Name"), name)), list, more,
  make("div", { class: "grid" }, card("Upload", uploadForm(page, draw)), card("Keep what a job made", jobForm(there.jobs, draw))));
  await draw();
  page.live(draw, { when: (event) => event.type === "changed" });
}
