/* What runs, what waits and why, what was found lately, and is there room? */
import { ask } from "../api.js";
import { ago, bytes, card, duration, empty, make, percent, pill, points, renew, table } from "../dom.js";
import { progressBar } from "../progress.js";
import { exists } from "../router.js";

const QUEUE_ROWS = 20;
const LATELY_MS = 2 * 86400 * 1000; // failures older than that are no news
const nameOf = (job) => job.label || job.id.slice(0, 13);
const jobLink = (job) => make("a", { href: `#/jobs/${job.id}` }, nameOf(job));

/* ---- the row of figures ---- */

const tile = (title, figure, ...more) => make("div", { class: "tile" }, make("span", { class: "tile-title" }, title), make("span", { class: "figure" }, figure), make("span", { class: "faint" }, ...more));

function tiles(queue, devices) {
  const running = queue.jobs.filter((job) => job.state === "running").length, waiting = queue.jobs.length - running;
  const held = queue.jobs.filter((job) => job.held).length, busy = devices.filter((device) => device.job).length, { disk } = queue;
  const ill = devices.filter((device) => device.state !== "ok" && !queue.drained);
  return make("div", { class: "tiles" },
    tile("Running", String(running), devices.length ? `${busy} of ${devices.length} ${devices.length === 1 ? "slot" : "slots"} busy` : "no device"),
    tile("Waiting", `${waiting}${queue.more ? "+" : ""}`, held ? `${held} held` : waiting ? "in the order below" : "the queue is empty"),
    tile("Devices", ill.length ? `${devices.length - ill.length} of ${devices.length}` : "all well", ill.length ? ill.map((device) => device.why || device.state).join("; ") : [...new Set(devices.map((device) => device.id))].join(", ")),
    disk && tile("Disk", `${bytes(disk.free_bytes)} free`, make("meter", { min: 0, max: 1, value: 1 - disk.free_bytes / disk.total_bytes, low: 0.8, high: 0.95, optimum: 0, "aria-label": "disk used", class: disk.short ? "short-of" : null }),
      ` of ${bytes(disk.total_bytes)}`));
}

/* ---- tables ---- */

const NAMED = 3;

/* Why a job waits: of jobs that it waits for, names instead of ids. The reason names some of them, `waiting_for` has all. */
function reason(job, jobs) {
  const ids = job.waiting_for;
  if (!ids.length) return job.reason;
  const named = (id) => {
    const other = jobs.find((one) => one.id === id);
    return make("a", { href: `#/jobs/${id}` }, !other ? id.slice(0, 13) : other.parent && other.parent === job.parent ? other.kind : nameOf(other));
  };
  return make("span", { title: job.reason }, "waits for ", ids.slice(0, NAMED).map((id, index) => [index > 0 && ", ", named(id)]), ids.length > NAMED && ` and ${ids.length - NAMED} more`);
}

const queueCard = (queue) => card("Queue", table({
  caption: "What runs and waits", rows: queue.jobs, key: (job) => job.id, rowHeader: 1,
  none: empty("Nothing runs and nothing waits.", exists("new") ? make("a", { href: "#/new" }, "Submit a job") : ["Submit a job: ", make("code", {}, "riftctl submit docs/quickstart.json")]),
  columns: [
    { title: "#", number: true, show: (job) => job.queue_position ?? "" },
    { title: "Job", show: jobLink },
    { title: "Kind", show: (job) => job.kind },
    { title: "State", show: (job) => pill(job.held ? "held" : job.state) },
    { title: "How far, or why not", class: "wrap", show: (job) => progressBar(job, nameOf(job)) || reason(job, queue.jobs) },
    queue.jobs.some((job) => job.owner) && { title: "Owner", show: (job) => job.owner || "–" },
    queue.jobs.some((job) => job.priority) && { title: "Priority", number: true, show: (job) => job.priority },
    { title: "Submitted", show: (job) => ago(job.created_at) },
  ].filter(Boolean),
}), queue.more && make("p", { class: "after faint" }, "More jobs wait behind these: ", make("a", { href: "#/jobs?state=queued&steps=1" }, "all that are queued")));

const devicesCard = (devices, names) => card("Devices", table({
  caption: "Device slots", rows: devices, key: (device) => `${device.id}-${device.slot}`, none: empty("riftd found no device.", "Its log says why."),
  columns: [
    { title: "Slot", show: (device) => `${device.id} · ${device.slot ?? 0}` },
    { title: "State", show: (device) => (device.state !== "ok" ? pill(device.state) : device.job ? pill("running", "busy") : pill("ok", "free")) },
    { title: "Job", class: "wrap", show: (device) => (device.job ? make("a", { href: `#/jobs/${device.job}` }, names.get(device.job) || device.job.slice(0, 13)) : device.why || "–") },
    { title: "Memory reserved", number: true, show: (device) => (device.memory_for_jobs_bytes ? `${bytes(device.memory_taken_bytes)} of ${bytes(device.memory_for_jobs_bytes)}` : "–") },
  ],
}));

const ownersCard = (owners) => card("Shares", table({
  caption: "Who has used the devices lately", rows: owners, key: (one) => one.owner, columns: [
    { title: "Owner", show: (one) => one.owner || "nobody in particular" },
    { title: "Running", number: true, show: (one) => one.running },
    { title: "Used", number: true, show: (one) => duration(one.used_s) },
    { title: "Share", number: true, show: (one) => percent(one.share, 0) },
  ],
}));

function gain(before, after) {
  if (typeof before !== "number" || typeof after !== "number") return "–";
  return [percent(after), " ", make("span", { class: after > before ? "good" : after < before ? "bad" : "faint" }, points(after - before))];
}

function resultsCard(jobs) {
  const rows = jobs.filter((job) => job.result && job.result.before);
  const corrupted = rows.some((job) => typeof job.result.before.corruption_accuracy === "number");
  const column = (title, name) => ({ title, number: true, show: ({ result }) => gain(result.before[name], (result.after || {})[name]) });
  return card("Recent results", table({
    caption: "Finished RiFT jobs: accuracies after RiFT, and what it gained in points", rows, key: (job) => job.id,
    none: empty("No finished RiFT job yet.", "Each one leaves its accuracies before and after here."),
    columns: [
      { title: "Job", show: jobLink }, column("Std", "clean_accuracy"), corrupted && column("OOD", "corruption_accuracy"), column("Adv", "robust_accuracy"),
      { title: "Module", show: ({ result }) => make("code", {}, result.module || "–") },
      { title: "Ended", show: (job) => ago(job.ended_at) },
      exists("jobs/x/report") && { title: "", show: (job) => make("a", { href: `#/jobs/${job.id}/report` }, "Report") },
    ].filter(Boolean),
  }), rows.length > 0 && make("p", { class: "after faint" }, "Std: clean images, OOD: corrupted ones, Adv: attacked ones. Coloured: gain over the weights before RiFT, in points."));
}

const failuresCard = (jobs) => card("Failed lately", table({ caption: "Jobs that failed lately", rows: jobs, key: (job) => job.id, columns: [
  { title: "Job", show: jobLink }, { title: "Kind", show: (job) => job.kind },
  { title: "Why", class: "wrap", show: (job) => make("span", { class: "bad" }, job.error?.message || "–") }, { title: "Ended", show: (job) => ago(job.ended_at) }] }));

export async function show(main, params, query, page) {
  const body = make("div", { class: "page" });
  main.append(make("div", { class: "head" }, make("h1", {}, "Overview"), exists("new") && make("a", { class: "button primary push", href: "#/new" }, "New job")), body);
  const specs = new Map(); // of jobs that run: the queue has none, and how far a job is needs its epochs
  const draw = async () => {
    const [queue, { devices }, { jobs }, { jobs: failed }] = await Promise.all([`v1/queue?limit=${QUEUE_ROWS}`, "v1/devices", "v1/jobs?kind=rift&state=succeeded&limit=8", "v1/jobs?state=failed&parent=&limit=5"]
      .map((path) => ask(path, { signal: page.signal })));
    await Promise.all(queue.jobs.filter((job) => job.state === "running").map(async (job) => {
      if (!specs.has(job.id)) specs.set(job.id, await ask(`v1/jobs/${job.id}`, { signal: page.signal }).then((one) => one.spec, (error) => {
        if (error.status !== 404) throw error;
        return null; // deleted meanwhile
      }));
      job.spec = specs.get(job.id);
    }));
    const late = failed.filter((job) => Date.now() - new Date(job.ended_at) < LATELY_MS);
    renew(body,
      queue.drained && make("div", { class: "banner", role: "status" }, "riftd is drained: jobs are accepted and wait, running ones go on.", make("a", { href: "#/settings?part=service" }, "Resume")),
      queue.disk?.short && make("div", { class: "trouble", role: "status" }, make("strong", {}, "The disk is full."), ` Only ${bytes(queue.disk.free_bytes)} are free, ${bytes(queue.disk.floor_bytes)} are to be: no job is accepted or started.`),
      tiles(queue, devices), queueCard(queue), resultsCard(jobs), late.length > 0 && failuresCard(late),
      make("div", { class: "grid" }, devicesCard(devices, new Map(queue.jobs.map((job) => [job.id, nameOf(job)]))), queue.owners.filter((one) => one.owner).length > 0 && ownersCard(queue.owners)));
  };
  await draw();
  page.live(draw);
}
