/* How far is a running job, taken as a whole?
 *
 * Its newest progress event may be about a part: between epochs a worker measures,
 * and says how far that is. Only the whole has a time that is left, so the whole is
 * what is shown, as it was last told or, where the spec is known, as the epoch says. */
import { bar, make } from "./dom.js";

const wholes = new Map(); // by job: the newest progress of the whole
const EPOCH = /^epoch (\d+) (\w+)$/;

/** Progress of the whole job, or null: { phase, done, total, eta_s? }. */
export function whole({ id, kind, progress, spec }) {
  if (!progress) return null;
  if (["rift", "sweep"].includes(kind)) return progress; // of steps, whole already
  if (typeof progress.eta_s === "number") {
    wholes.set(id, progress);
    return progress;
  }
  const known = wholes.get(id), [, epoch, what] = EPOCH.exec(progress.phase) || [];
  const epochs = spec?.[kind === "finetune" ? "finetune" : "train"]?.epochs;
  if (known) return { ...known, phase: epoch ? `epoch ${epoch}, ${what}` : progress.phase };
  if (epoch && epochs) return { phase: `epoch ${epoch} of ${epochs}, ${what}`, done: Number(epoch), total: epochs };
  return null;
}

/** A bar of the whole; words alone where only a part is known. */
export function progressBar(job, name = job.label || job.kind) {
  if (job.state !== "running") return null;
  const found = whole(job);
  return found ? bar(found, { name: `progress of ${name}` }) : make("span", { class: "faint" }, job.progress?.phase || "starting");
}
