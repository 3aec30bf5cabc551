/* What did the job leave behind, and what did its worker say? */
import { ask, askText } from "../api.js";
import { bytes, card, copy, empty, make, renew, table } from "../dom.js";

const TAIL_LINES = 200;

/** Artifacts with sizes and hashes. */
export function filesOf(state, page) {
  const sum = make("span", { class: "faint" }), box = make("div", { class: "files" });
  const element = card(null, make("div", { class: "chart-head" }, make("h2", {}, "Files"), sum), box);
  return { element, place: "files", update: async () => {
    const { artifacts } = await ask(`v1/jobs/${state.job.id}/artifacts`, { signal: page.signal });
    sum.textContent = artifacts.length > 1 ? `${artifacts.length} files, ${bytes(artifacts.reduce((all, file) => all + file.size, 0))}` : "";
    renew(box, table({ caption: "Files of this job", rows: artifacts, key: (file) => file.name, none: empty(["succeeded", "failed", "cancelled"].includes(state.job.state) ? "It has left no files." : "No files yet."), columns: [
      { title: "Name", class: "wrap", show: (file) => make("a", { href: file.href.slice(1), download: "" }, file.name), sort: (file) => file.name },
      { title: "Size", number: true, show: (file) => bytes(file.size), sort: (file) => file.size },
      { title: "SHA-256", show: (file) => copy(file.sha256.slice(0, 8), file.sha256) }] }));
  } };
}

/* The worker writes a JSON object a line; as words they are shorter. */
function words(line) {
  if (!line.startsWith("{")) return line;
  try {
    const { type = "", ...rest } = JSON.parse(line);
    const short = (value) => (typeof value === "number" ? String(Number(value.toPrecision(5))) : typeof value === "string" ? value : JSON.stringify(value));
    return `${type.padEnd(11)} ${Object.entries(rest).map(([name, value]) => `${name} ${short(value)}`).join("  ")}`;
  } catch {
    return line;
  }
}

/** The end of the log, which follows while the job runs. */
export function logOf(state, page) {
  const { job } = state;
  const pre = make("pre", { class: "log", tabindex: 0, role: "region", "aria-label": "The end of the log" });
  const element = card(null, make("div", { class: "chart-head" }, make("h2", {}, "Log"), make("a", { class: "button quiet", href: `v1/jobs/${job.id}/log`, download: `${job.id}.log` }, "Whole log")), pre);
  let shown = null;
  return { element, place: "log", update: async () => {
    if (job.kind === "sweep") return (element.hidden = true);
    const text = await askText(`v1/jobs/${job.id}/log?tail=${TAIL_LINES}`, { signal: page.signal }).catch((error) => {
      if (error.status !== 404) throw error;
      return "";
    });
    if (text === shown) return;
    const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 8;
    shown = text;
    pre.textContent = text ? text.trimEnd().split("\n").map(words).join("\n") : "Nothing was written yet.";
    if (atEnd) requestAnimationFrame(() => { pre.scrollTop = pre.scrollHeight; });
  } };
}
