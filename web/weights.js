/* Where can weights come from, and what kind of model are they?
 *
 * From a registered model or from a job that makes some. What architecture they
 * are of only the spec of that job says; riftd doesn't look into weights. */
import { ask } from "./api.js";
import { make } from "./dom.js";

const MAKERS = ["rift", "train", "finetune", "interpolate"];
const JOBS_A_KIND = 20;

const labelOf = (job) => `${job.label || job.id.slice(0, 13)} · ${job.kind}`;

/** {models, jobs}: newest first. `kinds`: of the jobs. */
export async function weightsThere(signal, kinds = MAKERS) {
  const [{ models }, ...lists] = await Promise.all([ask("v1/models?limit=100", { signal }),
    ...kinds.map((kind) => ask(`v1/jobs?kind=${kind}&state=succeeded&parent=&limit=${JOBS_A_KIND}`, { signal }))]);
  return { models, jobs: lists.flatMap((list) => list.jobs).sort((a, b) => (a.created_at < b.created_at ? 1 : -1)) };
}

/** <option>s, grouped; values are "model:ID" and "job:ID". */
export const weightsOptions = ({ models, jobs }) => [
  models.length && make("optgroup", { label: "Registered models" }, models.map((model) => make("option", { value: `model:${model.id}` }, model.name))),
  jobs.length && make("optgroup", { label: "Jobs" }, jobs.map((job) => make("option", { value: `job:${job.id}` }, labelOf(job)))),
];

/** "job:ID" -> {job: ID} */
export function weightsRef(value) {
  const [kind, id] = value.split(":");
  return { [kind]: id };
}

/** The `model` of a spec for these weights: as the job that made them says, with the weights; throws where nobody knows. */
export async function modelOf(ref, signal) {
  const job = ref.job || (await ask(`v1/models/${ref.model}`, { signal })).job;
  if (!job) throw Object.assign(new Error("riftd doesn't know of which architecture these uploaded weights are."),
    { title: "What model is it?", detail: "These weights were uploaded: say in the form of a new job of which architecture they are." });
  const { spec } = await ask(`v1/jobs/${job}`, { signal });
  return { ...spec.model, weights: ref };
}
