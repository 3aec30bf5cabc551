/* What does this data set hold?
 *
 * What its newest inspect job found. "Look at it" submits another one and shows
 * how far it is; riftd itself never reads the data. */
import { ask } from "../api.js";
import { bar, button, empty, make, moment, pill, renew, say } from "../dom.js";
import { filesOf, lookShow } from "../look.js";
import { link } from "../router.js";
import { modelOf, weightsOptions, weightsRef, weightsThere } from "../weights.js";

const LOOKS = 20;
const ENDED = ["succeeded", "failed", "cancelled"];

const field = (id, words, control, hint) => make("div", { class: "field" }, make("label", { for: id }, words), control, hint && make("span", { class: "faint hint" }, hint));
const numberField = (id, words, value, min, max, hint) => field(id, words, make("input", { id, type: "number", min, max, value }), hint);

/* What the next look shall show; `submit(spec)`. */
function asking(set, there, submit) {
  const value = (id) => form.querySelector(`#${id}`).value;
  const form = make("form", { class: "look-form" },
    field("weights", "Attack this model", make("select", { id: "weights" }, make("option", { value: "" }, "none"), weightsOptions(there)), "for adversarial examples"),
    field("epsilon", "Within", make("input", { id: "epsilon", value: "8/255" }), "of each pixel in [0,1]"),
    numberField("steps", "Steps of PGD", 10, 1, 10000),
    numberField("adversarial", "Images attacked", 12, 1, 64),
    numberField("per-class", "Samples a class", 8, 1, 16),
    numberField("seed", "Seed", 0, 0, Number.MAX_SAFE_INTEGER));
  const look = async () => {
    const spec = { kind: "inspect", label: `look at ${set.name}`.slice(0, 100), seed: Number(value("seed")), dataset: { name: set.name },
      inspect: { per_class: Number(value("per-class")), adversarial: Number(value("adversarial")) } };
    if (value("weights")) {
      spec.model = await modelOf(weightsRef(value("weights")));
      spec.attack = { epsilon: value("epsilon"), steps: Number(value("steps")) };
    }
    await submit(spec);
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  return { form, look };
}

function underWay(job) {
  const head = [make("a", { href: `#/jobs/${job.id}` }, job.label || job.id.slice(0, 13)), " ", pill(job.state)];
  if (job.state === "failed") return make("div", { class: "trouble", role: "alert", "data-key": job.id }, make("strong", {}, "The last look failed: "), job.error?.message, " ", make("a", { href: `#/jobs/${job.id}` }, "its job"));
  return make("div", { class: "card row", role: "status", "data-key": job.id }, head, bar(job.progress, { name: "progress of the look" })
    || make("span", { class: "faint" }, "in a few seconds its pictures are here"));
}

export async function show(main, { name }, query, page) {
  const [{ datasets }, there] = await Promise.all([ask("v1/datasets", { signal: page.signal }), weightsThere(page.signal)]);
  const set = datasets.find((one) => one.name === name);
  if (!set) {
    main.append(make("h1", {}, name), empty("No data set is registered under this name.", make("a", { href: "#/datasets" }, "All data sets")));
    return;
  }
  page.title(name);
  const { form, look } = asking(set, there, async (spec) => {
    const job = await ask("v1/jobs", { method: "POST", body: spec });
    say("Looking.");
    page.navigate({ job: null }, { replace: true });
    awaited = job.id;
    await draw();
  });
  const actions = make("div", { class: "row" }), under = make("div"), pictures = make("div", { class: "page" });
  main.append(
    make("div", { class: "head" }, make("h1", {}, name), make("span", { class: "badge" }, set.format), make("span", { class: "faint mono path" }, set.path), actions),
    make("details", { class: "fold card" }, make("summary", {}, "What to show"), form), under, pictures);

  let wanted = query.job || null, awaited = null, shown = null;
  page.onQuery((now) => {
    wanted = now.job || null;
    draw();
  });
  const draw = async () => {
    const { jobs } = await ask(`v1/jobs?kind=inspect&limit=${LOOKS}&dataset=${encodeURIComponent(name)}`, { signal: page.signal });
    const done = jobs.filter((job) => job.state === "succeeded" && !job.purged.includes("artifacts"));
    const now = done.find((job) => job.id === wanted) || done[0] || null;
    const first = jobs[0];
    if (awaited && jobs.some((job) => job.id === awaited && ENDED.includes(job.state))) awaited = null;
    renew(actions,
      done.length > 1 && make("select", { "aria-label": "Which look", value: now.id, onchange: (event) => page.navigate({ job: event.target.value === done[0].id ? null : event.target.value }) },
        done.map((job, index) => make("option", { value: job.id, selected: job.id === now.id }, `${moment(job.ended_at)}${index ? "" : " (newest)"}`))),
      now && make("a", { class: "button", href: link("new", { kind: "rift", dataset: name, look: now.id }) }, "Use in a new job"),
      button(now ? "Look again" : "Look at it", look, { class: now ? null : "primary" }));
    renew(under, first && (!ENDED.includes(first.state) || first.state === "failed") && underWay(first));
    if (!now && !awaited) pictures.replaceChildren(empty("Nobody has looked at this data set yet.", "“Look at it” shows samples, how many images each class has, and what corruptions do to them. It takes seconds."));
    if (now && now.id !== shown) {
      const found = await ask(`${filesOf(now)}inspect.json`, { signal: page.signal });
      shown = now.id;
      pictures.replaceChildren(...lookShow(set, now, found));
    }
  };
  await draw();
  page.live(draw);
}
