/* What does a job's report say, in plain data?
 *
 * A rift job answers for its steps; a job of another kind for itself. Measurements come
 * one by one while a job runs, so before and after are put together from them, and the
 * page is as far as the job is. Nothing here draws. */
import { ask } from "./api.js";

export const STEPS = [
  { kind: "train", step: 0, title: "Train", does: "adversarial training" },
  { kind: "mrc", step: 1, title: "Criticality", does: "MRC of every module" },
  { kind: "finetune", step: 2, title: "Fine-tune", does: "the chosen module, on clean images" },
  { kind: "interpolate", step: 3, title: "Interpolate", does: "walk back until robustness is kept" },
  { kind: "evaluate", step: 4, title: "Evaluate", does: "before and after" },
];
export const CURVES = ["train_loss", "clean_loss", "robust_loss", "clean_accuracy", "robust_accuracy"];
const MAX_POINTS = 1000;

/** What stands in a step's place: the job whose weights or criticality were given, {job} or {path}, or null. */
export const givenOf = (job, kind) => (kind === "train" ? job.spec.train?.weights : kind === "mrc" ? job.spec.finetune?.mrc_job : null) || null;
export const stepOf = (job, kind) => job.steps.find((step) => step.kind === kind) || null;

/** The job that knows what a step of `kind` found out, or null. */
export function sourceOf(job, kind) {
  if (job.kind === kind) return job.id;
  if (job.kind !== "rift") return null;
  return stepOf(job, kind)?.id || givenOf(job, kind)?.job || null;
}

const began = (job, kind) => (job.kind === kind ? job : stepOf(job, kind))?.state !== "blocked";

/** {clean, attacks: {name: accuracy}, worst: {name: accuracy}, corruptions: {name: {accuracy, severities}}} of one set of weights. */
function sideOf(rows, prefix) {
  const side = { clean: null, attacks: {}, worst: {}, corruptions: {} };
  for (const row of rows) {
    if (!row.name.startsWith(prefix)) continue;
    const name = row.name.slice(prefix.length);
    if (name === "clean") side.clean = row.accuracy;
    else if (name.startsWith("corruption/")) side.corruptions[name.slice("corruption/".length)] = { accuracy: row.accuracy, severities: row.severities || [] };
    else if (!name.includes("/")) {
      side.attacks[name] = row.accuracy;
      if (typeof row.worst_case_accuracy === "number") side.worst[name] = row.worst_case_accuracy;
    }
  }
  const all = Object.values(side.corruptions).map((one) => one.accuracy);
  side.ood = all.length ? all.reduce((sum, value) => sum + value, 0) / all.length : null;
  return side;
}

/** Before and after of an evaluation: {before, after, attacks: [names], complete}. */
export function evaluationOf(rows, complete) {
  const before = sideOf(rows, "baseline/"), after = sideOf(rows.filter((row) => !/^(baseline|alpha-[^/]*)\//.test(row.name)), "");
  return { before, after, complete, attacks: [...new Set([...Object.keys(after.attacks), ...Object.keys(before.attacks)])],
    any: after.clean !== null || before.clean !== null };
}

async function curvesOf(id, signal) {
  const { series } = await ask(`v1/jobs/${id}/metrics`, { signal });
  const names = series.map((one) => one.name).filter((name) => CURVES.includes(name));
  const found = await Promise.all(names.map((name) => ask(`v1/jobs/${id}/metrics?name=${name}&max_points=${MAX_POINTS}`, { signal })));
  return Object.fromEntries(found.map(({ points }, index) => [names[index], { name: names[index].replaceAll("_", " "), x: points.map((one) => one.epoch ?? one.step), y: points.map((one) => one.value) }]));
}

const settled = (state) => ["succeeded", "failed", "cancelled"].includes(state);

/** All of it. `before` is the answer of the last call: what had ended then, and still has, isn't asked for again. */
export async function reportOf(id, { signal, before = null }) {
  const job = await ask(`v1/jobs/${id}`, { signal });
  const known = before?.job.id === job.id ? before.parts : {};
  const parts = {};
  await Promise.all(STEPS.map(async ({ kind }) => {
    const source = sourceOf(job, kind), state = job.kind === kind ? job.state : stepOf(job, kind)?.state || "succeeded";
    if (!source) return;
    if (known[kind]?.ended && known[kind].state === state) return void (parts[kind] = known[kind]);
    const part = parts[kind] = { id: source, state, ended: settled(state) };
    if (!began(job, kind)) return;
    if (kind === "train" || kind === "finetune") part.curves = await curvesOf(source, signal);
    if (kind === "mrc") part.modules = await ask(`v1/jobs/${source}/modules`, { signal });
    if (kind === "interpolate") part.walk = await ask(`v1/jobs/${source}/interpolation`, { signal });
    if (kind === "evaluate") {
      const told = await ask(`v1/jobs/${source}/evaluations`, { signal });
      part.evaluation = evaluationOf(told.evaluations, told.complete);
    }
  }));
  const table = job.kind === "sweep" ? await ask(`v1/jobs/${id}/table`, { signal }) : null;
  return { job, parts, table };
}

/** "PGD-AT", or "AT" where trained weights were given. */
export const methodOf = (job) => (job.spec.train?.method && !job.spec.train.weights ? job.spec.train.method.toUpperCase() : "AT");

/** Spearman's rank correlation of two lists, where both have a number; ties share their mean rank. null below three. */
export function rankCorrelation(one, other) {
  const both = one.map((value, index) => [value, other[index]]).filter((pair) => pair.every((value) => typeof value === "number" && Number.isFinite(value)));
  if (both.length < 3) return null;
  const ranks = (list) => list.map((value) => list.filter((each) => each < value).length + (list.filter((each) => each === value).length + 1) / 2);
  const a = ranks(both.map((pair) => pair[0])), b = ranks(both.map((pair) => pair[1])), middle = (both.length + 1) / 2;
  const sum = (f) => a.reduce((total, value, index) => total + f(value - middle, b[index] - middle), 0);
  const spread = Math.sqrt(sum((x) => x * x) * sum((x, y) => y * y));
  return spread > 0 ? sum((x, y) => x * y) / spread : null;
}
