/* What runs, what waits and why, and what was found lately? */
import { ask } from "../api.js";
import { ago, bar, bytes, card, empty, make, percent, pill, points, renew, table } from "../dom.js";

const nameOf = (job) => job.label || job.id.slice(0, 13);
const jobLink = (job) => make("a", { href: `#/jobs/${job.id}` }, nameOf(job));

function queueCard(queue) {
  return card("Queue", table({
    caption: "What runs and waits", rows: queue.jobs, key: (job) => job.id, rowHeader: 1,
    none: empty("Nothing runs and nothing waits.", "Submit a job: ", make("code", {}, "riftctl submit docs/quickstart.json")),
    columns: [
      { title: "#", number: true, show: (job) => (job.state === "running" ? "–" : job.queue_position ?? "–") },
      { title: "Job", show: jobLink },
      { title: "Kind", show: (job) => job.kind },
      { title: "State", show: (job) => pill(job.held ? "held" : job.state) },
      { title: "Why, how far", class: "wrap", show: (job) => bar(job.progress, { name: `progress of ${nameOf(job)}` }) || job.reason },
      { title: "Owner", show: (job) => job.owner || "–" },
      { title: "Submitted", show: (job) => ago(job.created_at) },
    ],
  }), queue.more && make("p", { class: "faint" }, "More jobs wait behind these."));
}

function devicesCard(devices) {
  return card("Devices", table({
    caption: "Device slots", rows: devices, key: (device) => `${device.id}-${device.slot}`,
    none: empty("riftd found no device.", "Its log says why."),
    columns: [
      { title: "Slot", show: (device) => `${device.id} ${device.slot ?? ""}` },
      { title: "State", show: (device) => pill(device.state === "ok" ? (device.job ? "running" : "ok") : device.state,
        device.state === "ok" ? (device.job ? "busy" : "free") : device.state) },
      { title: "Job", show: (device) => (device.job ? make("a", { href: `#/jobs/${device.job}` }, device.job.slice(0, 13)) : device.why || "–") },
      { title: "Memory", number: true, show: (device) => (device.memory_for_jobs_bytes
        ? `${bytes(device.memory_taken_bytes)} of ${bytes(device.memory_for_jobs_bytes)}` : "–") },
    ],
  }));
}

function gain(before, after) {
  if (typeof before !== "number" || typeof after !== "number") return "–";
  return make("span", {}, percent(after), " ", make("span", { class: after >= before ? "good" : "bad" }, points(after - before)));
}

function resultsCard(jobs) {
  const rows = jobs.filter((job) => job.result && job.result.before);
  const corrupted = rows.some((job) => typeof job.result.before.corruption_accuracy === "number");
  const column = (title, name) => ({ title, number: true, show: ({ result }) => gain(result.before[name], (result.after || {})[name]) });
  return card("Recent results", table({
    caption: "Finished rift jobs: accuracy after RiFT and what it gained, in points", rows, key: (job) => job.id,
    none: empty("No finished RiFT job yet.", "Each one leaves its accuracies before and after here."),
    columns: [
      { title: "Job", show: jobLink },
      column("Std", "clean_accuracy"),
      corrupted && column("OOD", "corruption_accuracy"),
      column("Adv", "robust_accuracy"),
      { title: "Module", show: ({ result }) => make("code", {}, result.module || "–") },
      { title: "Ended", show: (job) => ago(job.ended_at) },
    ].filter(Boolean),
  }));
}

export async function show(main, params, query, page) {
  const body = make("div", { class: "page" });
  main.append(make("h1", {}, "Overview"), body);
  const draw = async () => {
    const [queue, { devices }, { jobs }] = await Promise.all(["v1/queue?limit=20", "v1/devices", "v1/jobs?kind=rift&state=succeeded&limit=8"]
      .map((path) => ask(path, { signal: page.signal })));
    renew(body,
      queue.drained && make("div", { class: "banner", role: "status" }, "riftd is drained: jobs are accepted and wait, running ones go on."),
      queueCard(queue), devicesCard(devices), resultsCard(jobs));
  };
  await draw();
  page.live(draw);
}
