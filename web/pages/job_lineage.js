/* Where does the job come from, and what became of it?
 *
 * Jobs that it needed and that needed it, some steps up and down, with the models
 * between them. Of a rift job its steps stand in its place. */
import { ask } from "../api.js";
import { card, make } from "../dom.js";
import { graph } from "../svg.js";

const FAR = 3; // steps up and down
const JOBS_MOST = 40;

/* Ids under `name` anywhere in a spec. */
function refs(value, name, found = new Set()) {
  if (value && typeof value === "object") for (const [key, part] of Object.entries(value)) key === name && typeof part === "string" ? found.add(part) : refs(part, name, found);
  return found;
}

/* All jobs within reach of `ids`: {jobs: Map, edges: [[from, to, words]], columns: Map}. */
async function reach(ids, signal) {
  const jobs = new Map(), edges = new Map(), columns = new Map(ids.map((id) => [id, 0]));
  let wave = ids;
  const edge = (from, to, words) => edges.set(`${from} ${to}`, [from, to, words]);
  for (let far = 0; wave.length && far <= FAR && jobs.size < JOBS_MOST; far++) {
    const found = await Promise.all(wave.slice(0, JOBS_MOST - jobs.size).map((id) => ask(`v1/jobs/${id}`, { signal }).catch((error) => {
      if (error.status !== 404) throw error;
      return null;
    })));
    const next = new Set();
    for (const job of found.filter(Boolean)) {
      jobs.set(job.id, job);
      for (const need of job.needs) edge(need.job, job.id, need.on === "success" ? "" : `on ${need.on}`);
      for (const user of job.used_by) edge(job.id, user.job, "");
      for (const id of [...job.needs.map((need) => need.job), ...job.used_by.map((user) => user.job)]) if (!jobs.has(id)) next.add(id);
    }
    wave = [...next].filter((id) => !jobs.has(id));
  }
  const known = [...edges.values()].filter(([from, to]) => jobs.has(from) && jobs.has(to));
  return { jobs, edges: known, columns };
}

/* A column per node: one more than the last of what it needs; what needs nothing stands right before its first user. */
function layered(ids, edges) {
  const columns = new Map(ids.map((id) => [id, 0]));
  for (let round = 0; round < ids.length; round++) {
    let moved = false;
    for (const [from, to] of edges) if (columns.get(to) <= columns.get(from)) {
      columns.set(to, columns.get(from) + 1);
      moved = true;
    }
    if (!moved) break;
  }
  for (const id of ids) {
    const users = edges.filter(([from, to]) => from === id && columns.has(to)).map(([, to]) => columns.get(to));
    if (users.length && !edges.some(([, to]) => to === id)) columns.set(id, Math.max(0, Math.min(...users) - 1));
  }
  return columns;
}

/* The models that these jobs read or made. */
async function models(jobs, signal) {
  const read = [...jobs.values()].flatMap((job) => [...refs(job.spec, "model")].map((model) => [job.id, model]));
  const made = await Promise.all([...jobs.keys()].slice(0, 12).map((job) => ask(`v1/models?job=${job}&limit=10`, { signal }).then((found) => found.models)));
  const known = new Map(made.flat().map((model) => [model.id, model]));
  await Promise.all([...new Set(read.map(([, model]) => model))].filter((id) => !known.has(id)).map((id) => ask(`v1/models/${id}`, { signal })
    .then((model) => known.set(id, model), () => {}))); // it may have been deleted
  return { known, edges: [...read.filter(([, model]) => known.has(model)).map(([job, model]) => [model, job, ""]),
    ...[...known.values()].filter((model) => jobs.has(model.job)).map((model) => [model.job, model.id, ""])] };
}

/** The graph; drawn anew when a state or a user changed. */
export function lineageOf(state, page) {
  const element = card("Lineage");
  const box = make("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": "Lineage" });
  element.append(box);
  element.hidden = true;
  let shown = null;
  return { element, place: "lineage", update: async () => {
    const { job } = state;
    if (job.kind === "sweep") return;
    const now = JSON.stringify([job.state, job.needs, job.used_by, job.steps.map((step) => step.state)]);
    if (now === shown) return;
    shown = now;
    const mine = job.steps.length ? [...job.steps.map((step) => step.id), ...(job.used_by.length || job.needs.length ? [job.id] : [])] : [job.id];
    const { jobs, edges } = await reach(mine, page.signal);
    const { known, edges: more } = await models(jobs, page.signal);
    const all = [...edges, ...more], ids = [...jobs.keys(), ...known.keys()], columns = layered(ids, all);
    element.hidden = ids.length < 2;
    box.replaceChildren(graph({ title: `What ${job.label || job.id} comes from and what depends on it`, edges: all, nodes: ids.map((id) => {
      const one = jobs.get(id), model = known.get(id);
      return one ? { id, column: columns.get(id), title: one.kind, words: one.label || id.slice(0, 13), state: one.state, href: `#/jobs/${id}`, here: id === job.id }
        : { id, column: columns.get(id), title: "model", words: model.name, state: "", href: `#/models/${id}` };
    }) }));
  } };
}
