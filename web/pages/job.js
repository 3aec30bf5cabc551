/* What became of one job: how far it is, what it measured, what it was told, where it belongs?
 *
 * This file has the head, the timeline and what can be done; the other parts are in
 * job_attempts.js, job_curves.js, job_results.js, job_spec.js, job_lineage.js and
 * job_files.js. */
import { ask, askFields, askWhole } from "../api.js";
import { bar, button, card, confirm, copy, duration, empty, make, moment, pill, renew, say, table } from "../dom.js";
import { progressBar } from "../progress.js";
import { link, exists } from "../router.js";
import { attempts } from "./job_attempts.js";
import { curvesOf } from "./job_curves.js";
import { filesOf, logOf } from "./job_files.js";
import { lineageOf } from "./job_lineage.js";
import { resultsOf } from "./job_results.js";
import { asCurl, asRiftctl, settings } from "./job_spec.js";

export const ended = (job) => ["succeeded", "failed", "cancelled"].includes(job.state);
export const nameOf = (job) => job.label || job.id.slice(0, 13);

/* ---- what can be done ---- */

/** Change or end a job as the page shows it; told when somebody was quicker. */
async function act(job, etag, done, path, options) {
  try {
    await ask(`v1/jobs/${job.id}${path}`, { ...options, headers: etag ? { "If-Match": etag, ...options.headers } : options.headers });
  } catch (error) {
    if (error.status !== 412) throw error;
    say("Somebody has changed this job meanwhile; here it is as it is now.", "bad");
    return done();
  }
  say(done.words || "Done.");
  return done();
}

function actions({ job, etag, again, fields }) {
  const post = (path, words) => act(job, etag, Object.assign(() => again(), { words }), path, { method: "POST" });
  const patch = (body, words) => act(job, etag, Object.assign(() => again(), { words }), "", { method: "PATCH", body });
  const over = ended(job);
  const priority = make("input", { id: "priority", type: "number", min: -100, max: 100, step: 1, value: String(job.priority), class: "short",
    onchange: (event) => patch({ priority: Number(event.target.value) }, "The priority is changed.").catch((error) => say(error.detail || error.message, "bad")) });
  return make("div", { class: "row" },
    exists(`jobs/${job.id}/report`) && ["rift", "sweep"].includes(job.kind) && make("a", { class: "button primary", href: `#/jobs/${job.id}/report` }, "Report"),
    exists("compare") && ["rift", "train", "mrc"].includes(job.kind) && make("a", { class: "button", href: link("compare", { jobs: job.id }) }, "Compare"),
    !over && button(job.cancel_wanted ? "Cancelling" : "Cancel", async () => {
      if (await confirm("Cancel this job?", { yes: "Cancel the job", detail: "It writes a checkpoint and stops; a retry goes on from there." })) await post("/cancel", "It is being cancelled.");
    }, { disabled: job.cancel_wanted, class: "danger" }),
    ["failed", "cancelled"].includes(job.state) && button("Retry", () => post("/retry", "It is queued again."), { class: "primary" }),
    exists("new") && make("a", { class: "button", href: link("new", { from: job.id }) }, "Clone with changes"),
    !over && button(job.held ? "Release" : "Hold", () => patch({ held: !job.held }, job.held ? "It may start." : "It is held.")),
    button(job.pinned ? "Unpin" : "Pin", () => patch({ pinned: !job.pinned }, job.pinned ? "Retention may clear it." : "Retention leaves it alone.")),
    over && button("Delete", async () => {
      if (!await confirm("Delete this job?", { yes: "Delete", detail: "Its curves, weights and files go with it. That can't be undone." })) return;
      await act(job, etag, Object.assign(() => { location.hash = "/jobs"; }, { words: "It is deleted." }), "", { method: "DELETE" });
    }, { class: "danger" }),
    !over && make("span", { class: "row" }, make("label", { for: "priority" }, "Priority"), priority),
    make("details", { class: "menu" }, make("summary", { class: "button quiet" }, "Copy as"), make("div", { class: "menu-box" },
      copy("curl", () => asCurl(job, fields)), copy("riftctl", () => asRiftctl(job, fields)), copy("JSON", () => JSON.stringify(job.spec, null, 2)))));
}

/* ---- head and timeline ---- */

function timeline(job) {
  const at = (text) => new Date(text).getTime();
  const waited = at(job.started_at) - at(job.created_at);
  const items = [["Submitted", job.created_at, job.owner ? `by ${job.owner}` : ""]];
  if (job.started_at) items.push(["Started", job.started_at, [waited < 1000 ? "at once" : `after ${duration(waited / 1000)}`, job.device && `on ${job.device}`].filter(Boolean).join(", ")]);
  if (job.not_before && !ended(job)) items.push(["Tried again", job.not_before, job.last_failure ? job.last_failure.message : ""]);
  if (job.ended_at) items.push([{ succeeded: "Succeeded", failed: "Failed", cancelled: "Cancelled" }[job.state] || "Ended", job.ended_at,
    job.started_at ? `after ${duration((at(job.ended_at) - at(job.started_at)) / 1000)}` : ""]);
  else if (job.queue_position) items.push([job.queue_position > 1000 ? "Behind 1000 or more in the queue" : `Number ${job.queue_position} in the queue`, null, ""]);
  return make("ol", { class: "timeline" }, items.map(([what, when, more], index) => make("li", { "data-state": index === items.length - 1 ? job.state : "done" },
    make("strong", {}, what), when && make("time", { datetime: when, title: moment(when) }, moment(when)), more && make("span", { class: "faint" }, more))));
}

/* Of a rift job, its steps in a row; of a sweep, a table of its rift jobs. */
function steps(job) {
  if (!job.steps.length) return null;
  const took = (step) => (step.started_at ? duration((new Date(step.ended_at || Date.now()) - new Date(step.started_at)) / 1000) : "");
  if (job.kind === "sweep") return card(`Rift jobs (${job.steps.filter(ended).length} of ${job.steps.length} have ended)`, table({
    caption: "Rift jobs of this sweep", rows: job.steps, key: (step) => step.id, columns: [
      { title: "Job", show: (step) => make("a", { href: `#/jobs/${step.id}` }, nameOf(step)), sort: nameOf },
      { title: "State", show: (step) => pill(step.state), sort: (step) => step.state },
      { title: "Took", number: true, show: (step) => took(step) || "–" }] }));
  return card("Steps", make("ol", { class: "stepper" }, job.steps.map((step) => make("li", { "data-state": step.state },
    make("a", { class: "plain-link", href: `#/jobs/${step.id}` }, step.kind), pill(step.state), make("span", { class: "faint" }, took(step)),
    step.state === "running" && bar(step.progress, { name: `progress of ${step.kind}` })))));
}

function head(state) {
  const { job } = state;
  const running = job.state === "running" && !job.steps.length;
  return [make("div", {}, job.parent && make("p", { class: "crumbs" }, make("a", { href: `#/jobs/${job.parent}` }, job.kind === "rift" ? "Sweep" : "RiFT job"), ` › step ${job.step + 1}`),
    make("div", { class: "head" }, make("h1", {}, nameOf(job)), pill(job.held && !ended(job) ? "held" : job.state, job.held && !ended(job) ? `${job.state}, held` : job.state), make("span", { class: "badge" }, job.kind),
      job.spec?.protocol && make("span", { class: "badge", title: "On which data choices are made" }, `protocol ${job.spec.protocol}`),
      typeof job.spec?.seed === "number" && make("span", { class: "badge" }, `seed ${job.spec.seed}`), job.pinned && make("span", { class: "badge" }, "pinned")),
    make("p", { class: "faint id" }, make("code", {}, job.id), copy("Copy id", job.id))),
  actions(state),
  job.error && make("div", { class: "trouble", role: "alert" }, make("strong", {}, job.error.code), " ", job.error.message),
  job.purged.length > 0 && make("p", { class: "faint" }, `Retention has removed: ${job.purged.join(", ")}.`),
  card(null, timeline(job), running && progressBar(job, nameOf(job)), attempts(job)),
  steps(job)];
}

export async function show(main, { id }, query, page) {
  const state = { job: null, etag: null, fields: null, again: () => draw() };
  const top = make("div", { class: "page" });
  const read = async () => {
    const answer = await askWhole(`v1/jobs/${encodeURIComponent(id)}`, { signal: page.signal });
    state.job = await answer.json();
    state.etag = answer.headers.get("ETag");
  };
  try {
    [state.fields] = await Promise.all([askFields(), read()]);
  } catch (error) {
    if (error.status !== 404) throw error;
    return main.append(make("h1", {}, "No such job"), empty("There is no job with this id; it may have been deleted.", make("a", { href: "#/jobs" }, "All jobs")));
  }
  page.title(nameOf(state.job));
  const parts = [resultsOf, curvesOf, lineageOf, settings, filesOf, logOf].map((part) => part(state, page));
  const draw = async () => {
    await read();
    renew(top, head(state));
    await Promise.all(parts.map((part) => part.update?.()));
  };
  renew(top, head(state));
  const side = ["settings"], box = (wanted) => make("div", { class: "page" }, parts.filter((part) => part.place !== "lineage" && side.includes(part.place) === wanted).map((part) => part.element));
  main.append(top, make("div", { class: "columns" }, box(false), box(true)), parts.find((part) => part.place === "lineage").element);
  await Promise.all(parts.map((part) => part.update?.()));
  const mine = (event) => event.job === id || state.job.steps.some((step) => step.id === event.job);
  page.live(draw, { when: mine });
}
