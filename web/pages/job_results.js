/* What did the job find out? By its kind, a table or a chart. */
import { ask } from "../api.js";
import { lineChart } from "../chart.js";
import { between, card, digits, gained, make, percent, points, renew, table } from "../dom.js";
import { barCell } from "../svg.js";

const isNumber = (value) => typeof value === "number";
const SIDES = [["Std", "clean_accuracy"], ["OOD", "corruption_accuracy"], ["Adv", "robust_accuracy"]];

/* The table of a rift job: before, after, gain. */
function beforeAfter({ result }) {
  if (!result || !result.before) return null;
  const after = result.after || {};
  const gain = Object.fromEntries(SIDES.map(([, name]) => [name, between(result.before[name], after[name])]));
  const rows = [["AT", result.before, percent], ["AT + RiFT", after, percent], ["Gain in points", gain, points]];
  return card("Before and after", table({ caption: "Accuracies before and after RiFT", rows, columns: [
    { title: "", show: ([name]) => name },
    ...SIDES.filter(([, name]) => isNumber(result.before[name])).map(([title, name]) => ({ title, number: true, show: ([, row, format]) => format(row[name]) }))] }),
  make("p", { class: "faint" }, "Module ", make("code", {}, result.module || "open"), `, alpha ${result.alpha ?? "open"}, ${result.attack || "attack"}, protocol ${result.protocol}.`));
}

/* "81.20 ± 0.31" */
function mean(row, side, name) {
  const cell = side[name];
  if (!cell || !isNumber(cell.mean)) return "–";
  const words = side === row.gain ? points(gained(row, name)) : (100 * cell.mean).toFixed(2);
  return `${words}${isNumber(cell.std) ? ` ± ${(100 * cell.std).toFixed(2)}` : ""}`;
}

/** "lowest", "conv1, linear", "top 3" */
export const choice = (modules) => (Array.isArray(modules) ? modules.join(", ") : typeof modules === "string" ? modules : Object.entries(modules).flat().join(" "));

async function averages(job, signal) {
  const found = await ask(`v1/jobs/${job.id}/table`, { signal });
  const rows = found.rows.flatMap((row) => [[row.method.toUpperCase(), row, row.before], [`${row.method.toUpperCase()} + RiFT`, row, row.after],
    ["Gain", row, row.gain]]);
  const shown = SIDES.filter(([, name]) => rows.some(([, , side]) => side[name]));
  return card(`Averages over seeds, in percent${found.protocol ? ` (protocol ${found.protocol})` : ""}`,
    table({ caption: "Accuracies averaged over seeds, mean ± standard deviation", rows, none: "No rift job of this sweep has ended yet.", columns: [
      { title: "", show: ([name]) => name },
      { title: "Modules", show: ([, row]) => choice(row.modules) },
      ...shown.map(([title, name]) => ({ title, number: true, show: ([, row, side]) => mean(row, side, name) })),
      { title: "Seeds", show: ([, row]) => row.seeds.join(", ") }] }),
    found.missing.length > 0 && make("p", { class: "faint" }, `Missing: ${found.missing.map((run) => `${run.method}, seed ${run.seed}, ${choice(run.modules)} (${run.state})`).join("; ")}.`),
    found.rows.length > 0 && make("p", { class: "row after" }, ["csv", "markdown", "latex"].map((format) => make("a", { class: "button quiet", download: "",
      href: `v1/jobs/${job.id}/table?format=${format}` }, { csv: "CSV", markdown: "Markdown", latex: "LaTeX" }[format]))));
}

async function modules(job, signal) {
  const found = await ask(`v1/jobs/${job.id}/modules`, { signal });
  const most = Math.max(...found.modules.map((row) => row.mrc || 0), Number.MIN_VALUE);
  return card("Module robust criticality", table({ caption: "Criticality by module", rows: found.modules, key: (row) => row.module,
    none: "No module has been measured yet.", chosen: (row) => row.module === found.lowest, columns: [
      { title: "Module", show: (row) => make("code", {}, row.module) },
      { title: "MRC", number: true, show: (row) => digits(row.mrc), sort: (row) => row.mrc },
      { title: "", show: (row) => barCell(row.mrc, most) },
      { title: "Robust accuracy lost", number: true, show: (row) => percent(row.robust_accuracy_drop), sort: (row) => row.robust_accuracy_drop }] }));
}

async function evaluations(job, signal) {
  const found = await ask(`v1/jobs/${job.id}/evaluations`, { signal });
  return card("Measurements", table({ caption: "Measurements", rows: found.evaluations, key: (row) => row.name, none: "Nothing has been measured yet.", columns: [
    { title: "Name", show: (row) => row.name, sort: (row) => row.name },
    { title: "Accuracy", number: true, show: (row) => percent(row.accuracy), sort: (row) => row.accuracy },
    { title: "Worst case", number: true, show: (row) => percent(row.worst_case_accuracy) },
    { title: "Loss", number: true, show: (row) => digits(row.loss), sort: (row) => row.loss },
    { title: "", class: "wrap", show: (row) => (row.warnings || []).join(" ") }] }));
}

/* The chart stays; only its numbers change. */
function walk(job, signal) {
  const chart = lineChart({ title: "Accuracy along the line", x: { label: "alpha" }, y: { label: "accuracy", percent: true }, series: [] });
  const element = card("Interpolation", chart.element);
  return async () => {
    const found = await ask(`v1/jobs/${job.id}/interpolation`, { signal });
    const x = found.points.map((row) => row.alpha);
    chart.update([["clean", "clean_accuracy"], ["robust", "robust_accuracy"]].map(([name, key]) => ({ name, x, y: found.points.map((row) => row[key]) })),
      { marks: isNumber(found.chosen_alpha) ? [{ x: found.chosen_alpha, label: `chosen: ${found.chosen_alpha}` }] : [] });
    return element;
  };
}

const PARTS = { rift: [beforeAfter], sweep: [averages], mrc: [modules], evaluate: [evaluations] };

/** What there is to show of the job's findings. */
export function resultsOf(state, page) {
  const element = make("div", { class: "page" });
  const charted = state.job.kind === "interpolate" ? walk(state.job, page.signal) : null;
  return { element, place: "results", update: async () => {
    const parts = await Promise.all((PARTS[state.job.kind] || []).map((part) => part(state.job, page.signal)));
    if (charted) {
      const figure = await charted();
      if (!figure.isConnected) element.append(figure);
    } else renew(element, parts);
    element.hidden = !element.childElementCount;
  } };
}
