/* What became of each time that a worker was started for the job?
 *
 * One attempt that went through needs no table; the first that didn't, or one that
 * runs again, does. */
import { duration, make, momentExactly, pill, table } from "../dom.js";

/* How a worker ended: which colour, and what it means where the error doesn't say. */
const ENDS = {
  finished: ["succeeded", "finished", ""],
  failed: ["failed", "failed", ""],
  crashed: ["failed", "crashed", ""],
  time_limit: ["failed", "time limit", "its time was up"],
  preempted: ["waiting", "preempted", "a job of higher priority took its slot"],
  held: ["held", "held", "somebody held the job"],
  interrupted: ["waiting", "interrupted", "somebody stopped its worker"],
  cancelled: ["", "cancelled", ""],
};
const CHECKPOINT_WRITTEN = 75; // the exit code that says so
const SIGNALS = { 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM" };

function ending(attempt) {
  if (!attempt.state) return pill("running");
  const [colour, name, meaning] = ENDS[attempt.how] || ["", attempt.how || attempt.state, ""];
  const code = attempt.exit_code === null ? null : `exit code ${attempt.exit_code}${attempt.exit_code === CHECKPOINT_WRITTEN ? ", checkpoint written" : ""}`;
  const killed = attempt.signal && !attempt.error ? `killed by ${SIGNALS[attempt.signal] || `signal ${attempt.signal}`}` : null;
  const words = [attempt.error?.message || meaning, code, killed, attempt.state === "queued" ? "queued again" : null].filter(Boolean).join("; ");
  return [pill(colour, name), " ", make("span", { class: "faint" }, words)];
}

/** A table of the job's attempts, or null where the timeline has said it all. */
export function attempts(job) {
  const rows = job.history;
  if (!rows.length || (rows.length === 1 && job.attempts === 1 && ["finished", null].includes(rows[0].how))) return null;
  const earlier = job.attempts - rows.length;
  return make("div", { class: "attempts" }, table({ caption: "Attempts", showCaption: true, rows, key: (one) => one.attempt, columns: [
    { title: "#", show: (one) => one.attempt },
    { title: "Started", show: (one) => momentExactly(one.started_at) },
    { title: "Ended", show: (one) => momentExactly(one.ended_at) },
    { title: "Ran", number: true, show: (one) => duration(one.ran_s ?? (Date.now() - new Date(one.started_at)) / 1000) },
    { title: "Device", show: (one) => one.device || "–" },
    { title: "Process", number: true, show: (one) => make("span", { class: "mono" }, one.pid) },
    { title: "How it ended", class: "wrap broad", show: ending }] }),
  earlier > 0 && make("p", { class: "faint after" }, `${earlier} earlier ${earlier === 1 ? "attempt isn't" : "attempts aren't"} kept.`));
}
