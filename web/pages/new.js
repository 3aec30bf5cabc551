/* How does a job come to be?
 *
 * A form made from the field table beside the spec as JSON: each follows the
 * other. What the table knows is checked while one types; what only riftd knows
 * (are the weights there, do the fields go together) it is asked in a dry run.
 *
 *   #/new?kind=K | template=T | from=JOB | model=ID | dataset=NAME [&look=JOB] */
import { ask, askFields } from "../api.js";
import { button, copy, make, pill, renew, say, trouble } from "../dom.js";
import { formMake } from "../form.js";
import { rowsOf, specCheck, specPruned, specText, valueAt } from "../spec.js";
import { modelOf, weightsThere } from "../weights.js";

const CHECK_MS = 350; // after the last key
const FIRST_KIND = "rift";

/* ---- where to begin ---- */

const templates = () => fetch("web/templates.json").then((answer) => (answer.ok ? answer.json() : []), () => []);

/* A recipe names places of somebody's disk; where a registered set has the same format, that one is meant. */
function adapted(spec, datasets) {
  const set = datasets.find((one) => one.path === spec.dataset?.path) || datasets.find((one) => one.format === spec.dataset?.format);
  if (!set) return spec;
  const { format, path, ...rest } = spec.dataset;
  return { ...spec, dataset: { name: set.name, ...rest } };
}

/* What a look at the data set found fits into the model. */
async function fitted(spec, look, signal) {
  const { result } = await ask(`v1/jobs/${look}`, { signal });
  const [channels, height] = result?.shape || [];
  if (!channels) return;
  const side = height === 28 ? 32 : height, from = result.splits.train || Object.values(result.splits)[0];
  spec.model = { ...spec.model, num_classes: Math.max(2, result.classes), input: [channels, side, side],
    normalize: { mean: from.mean.map((v) => Number(v.toFixed(4))), std: from.std.map((v) => Number(v.toFixed(4))) } };
}

async function begin(query, table, there, recipes, signal) {
  if (query.from) {
    const job = await ask(`v1/jobs/${encodeURIComponent(query.from)}`, { signal }).catch((error) => {
      if (error.status !== 404) throw error;
      say("The job to begin with isn't there any more; this begins with nothing.", "bad");
      return null;
    });
    if (job) return specPruned(rowsOf(table, job.kind), job.spec);
  }
  const recipe = recipes.find((one) => one.name === query.template);
  const spec = recipe ? adapted(structuredClone(recipe.spec), there.datasets) : { kind: query.kind || FIRST_KIND };
  if (query.dataset) spec.dataset = { ...spec.dataset, name: query.dataset };
  if (query.look) await fitted(spec, query.look, signal);
  if (query.model || query.job) {
    const ref = query.model ? { model: query.model } : { job: query.job };
    const whole = await modelOf(ref, signal).catch(() => ({ weights: ref }));
    spec.model = whole;
    if (spec.kind === "rift") {
      spec.train = { ...spec.train, weights: ref };
      delete spec.model.weights;
    }
    const rows = rowsOf(table, spec.kind);
    Object.assign(spec, specPruned(rows, spec));
  }
  return spec;
}

async function whatIsThere(signal) {
  const list = (kinds) => Promise.all(kinds.map((kind) => ask(`v1/jobs?kind=${kind}&state=succeeded&parent=&limit=20`, { signal }))).then((lists) => lists.flatMap((one) => one.jobs));
  const [{ datasets }, weights, mrc, corrupt] = await Promise.all([ask("v1/datasets", { signal }), weightsThere(signal), list(["mrc", "rift"]), list(["corrupt"])]);
  return { datasets, ...weights, mrc, corrupt };
}

/* A request that is repeated under the same key makes one job. */
const keyNew = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/* ---- the page ---- */

class NewJob {
  constructor(page, table, there, spec) {
    Object.assign(this, { page, table, there, spec, timer: 0, key: keyNew(), judged: null, form: null });
    this.state = make("div", { class: "row verdict", role: "status" });
    this.homeless = make("div");
    this.text = make("textarea", { id: "json", class: "mono", spellcheck: "false", rows: 24, oninput: () => this.textChanged() });
    this.textError = make("p", { class: "field-error", id: "json-error" });
    this.text.setAttribute("aria-describedby", "json-error");
    this.formBox = make("div");
    this.kinds = make("select", { id: "kind", onchange: () => this.kindSet(this.kinds.value) }, table.kinds.map((kind) => make("option", { value: kind.name }, kind.name)));
    this.kindTitle = make("span", { class: "faint" });
    this.submit = button("Submit", () => this.send(), { class: "primary" });
    this.specShow();
  }

  rows() {
    return rowsOf(this.table, this.spec.kind);
  }

  /* All anew, from this.spec. */
  specShow() {
    if (!this.table.kinds.some((kind) => kind.name === this.spec.kind)) this.spec.kind = FIRST_KIND;
    this.kinds.value = this.spec.kind;
    this.kindTitle.textContent = this.table.kinds.find((kind) => kind.name === this.spec.kind).title;
    this.form = formMake(this.rows(), this.there, () => this.spec, (pointer) => this.changed(pointer));
    this.formBox.replaceChildren(this.form.box);
    this.textShow();
    this.check();
  }

  textShow() {
    this.text.value = specText(this.spec);
    this.textError.textContent = "";
  }

  /* Fields that the new kind doesn't have are kept: riftd leaves them out, and coming back finds them. */
  kindSet(kind) {
    this.spec.kind = kind;
    this.specShow();
  }

  async changed(pointer) {
    this.textShow();
    this.form.notes();
    this.check();
    const ref = pointer === "/model/weights" && valueAt(this.spec, pointer);
    if (!ref || typeof ref === "string" || Object.keys(this.spec.model).length > 1) return;
    const whole = await modelOf(ref, this.page.signal).catch(() => null);
    if (!whole || valueAt(this.spec, pointer) !== ref) return;
    this.spec.model = whole;
    this.spec = specPruned(this.rows(), this.spec);
    this.form.fill();
    this.changed("");
  }

  textChanged() {
    let read;
    try {
      read = JSON.parse(this.text.value);
      if (!read || typeof read !== "object" || Array.isArray(read)) throw new Error("must be an object");
    } catch (error) {
      this.textError.textContent = `That isn't JSON yet: ${error.message}`;
      this.stateShow("bad", "not JSON");
      return;
    }
    this.textError.textContent = "";
    const other = read.kind !== this.spec.kind;
    this.spec = read;
    if (other && this.table.kinds.some((kind) => kind.name === read.kind)) {
      const text = this.text.value, at = this.text.selectionStart;
      this.specShow();
      this.text.value = text;
      this.text.setSelectionRange(at, at);
    } else {
      this.form.fill();
      this.check();
    }
  }

  stateShow(mood, words) {
    renew(this.state, pill(mood === "good" ? "ok" : mood === "bad" ? "failed" : "queued", words));
    this.submit.disabled = mood === "bad";
  }

  errorsShow(errors) {
    const homeless = this.form.tell(errors), all = errors.length + this.form.unread.size;
    renew(this.homeless, homeless.map((error) => make("p", { class: "field-error" }, make("code", {}, error.pointer || "spec"), ` ${error.message}`)));
    return all;
  }

  /* The table's checks now, riftd's when nobody has typed for a moment. */
  check() {
    clearTimeout(this.timer);
    this.key = keyNew();
    const errors = specCheck(this.rows(), this.spec), all = this.errorsShow(errors);
    if (all) return this.stateShow("bad", `${all} to mend`);
    if (!valueAt(this.spec, "/dataset/name") && !valueAt(this.spec, "/dataset/path")) return this.stateShow("bad", "choose a data set");
    this.stateShow("idle", "checking");
    this.timer = setTimeout(() => this.ask(), CHECK_MS);
  }

  async ask() {
    const asked = JSON.stringify(this.spec);
    try {
      await ask("v1/jobs?dry_run=1", { method: "POST", body: this.spec, signal: this.page.signal });
      if (asked === JSON.stringify(this.spec)) this.stateShow("good", "riftd would take it");
    } catch (error) {
      if (error.name === "AbortError" || asked !== JSON.stringify(this.spec)) return;
      if (error.errors?.length) this.stateShow("bad", `${this.errorsShow(error.errors)} to mend`);
      else renew(this.homeless, trouble(error));
    }
  }

  async send() {
    try {
      const job = await ask("v1/jobs", { method: "POST", body: this.spec, headers: { "Idempotency-Key": this.key } });
      say("Submitted.");
      location.hash = `/jobs/${job.id}`;
    } catch (error) {
      if (!error.errors?.length) throw error;
      this.stateShow("bad", `${this.errorsShow(error.errors)} to mend`);
      document.querySelector("[aria-invalid=true]")?.focus();
    }
  }
}

export async function show(main, params, query, page) {
  const [table, there, recipes] = await Promise.all([askFields(), whatIsThere(page.signal), templates()]);
  const job = new NewJob(page, table, there, await begin(query, table, there, recipes, page.signal));
  const template = make("select", { id: "template", onchange: () => page.navigate({ template: template.value || null, kind: null, from: null, model: null, dataset: null, look: null, job: null }) },
    make("option", { value: "" }, "nothing"), recipes.map((one) => make("option", { value: one.name, selected: one.name === query.template }, one.title)));
  const riftctl = () => `riftctl submit - <<'END'\n${specText(job.spec)}\nEND`;
  main.append(
    make("div", { class: "head" }, make("h1", {}, query.from ? "New job, from another" : "New job")),
    make("div", { class: "card filters" },
      make("div", { class: "field" }, make("label", { for: "kind" }, "Kind"), job.kinds),
      make("div", { class: "field wider" }, make("label", { for: "template" }, "Begin with"), template),
      make("p", { class: "kind-title" }, job.kindTitle)),
    make("div", { class: "beside" }, job.formBox,
      make("aside", { class: "card side", "aria-label": "The spec" },
        make("div", { class: "row wide" }, job.submit, job.state), job.homeless,
        make("label", { for: "json" }, "The same as JSON"), job.text, job.textError,
        make("div", { class: "row" }, copy("Copy JSON", () => specText(job.spec)), copy("Copy for riftctl", riftctl)))));
  page.signal.addEventListener("abort", () => clearTimeout(job.timer));
}
