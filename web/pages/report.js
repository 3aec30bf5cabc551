/* What did RiFT do to this network, and how did it choose?
 *
 * The paper's figures of one job: the five steps, accuracies before and after,
 * corruptions, criticality, the walk between the weights, the curves. A running job
 * shows what it has; what hasn't come yet says so. */
import { lineChart } from "../chart.js";
import { bar, between, card, digits, duration, empty, gained, make, percent, pill, points, renew, table } from "../dom.js";
import { figure, heatDrawing, modulesDrawing, planeDrawing } from "../figures.js";
import { givenOf, methodOf, reportOf, STEPS, stepOf } from "../report_data.js";
import { link } from "../router.js";

const FORMATS = [["html", "HTML"], ["markdown", "Markdown"], ["latex", "LaTeX"], ["csv", "CSV"]];
const known = (value) => typeof value === "number";
const notYet = (words) => empty(words, "It appears here by itself.");
/* Nothing is there: either it comes, or it never will. */
const missing = (part, words) => (part?.ended ? empty("Nothing was measured.", "The steps say what became of it.") : notYet(words));

/* ---- the head ---- */

function head(job) {
  return [make("div", { class: "head" }, make("h1", {}, job.label || `${job.kind} ${job.id.slice(0, 13)}`), pill(job.state),
    make("span", { class: "badge" }, `protocol ${job.spec.protocol}`), known(job.spec.seed) && make("span", { class: "badge" }, `seed ${job.spec.seed}`),
    make("span", { class: "row" }, make("a", { class: "button", href: `#/jobs/${job.id}` }, "Job"), make("a", { class: "button", href: link("compare", { jobs: job.id }) }, "Compare"))),
  make("p", { class: "row faint" }, "Take it away:", FORMATS.map(([format, words]) => make("a",
    { class: "button quiet", href: `v1/jobs/${job.id}/report?format=${format}`, target: "_blank", rel: "noopener" }, words)))];
}

/* ---- the steps ---- */

function stepTime(step) {
  if (!step.started_at) return null;
  const end = step.ended_at ? new Date(step.ended_at) : new Date();
  return duration((end - new Date(step.started_at)) / 1000);
}

function stepCard(job, { kind, title, does }, number) {
  const step = stepOf(job, kind), given = step ? null : givenOf(job, kind);
  return make("li", { "data-state": step?.state || "given" }, make("span", { class: "faint" }, `${number}`),
    step ? make("a", { href: `#/jobs/${step.id}`, class: "plain-link" }, title) : make("span", { class: "strong" }, title), make("span", { class: "faint small" }, does),
    step ? pill(step.state) : given ? make("span", { class: "badge" }, "given") : make("span", { class: "badge" }, "none"),
    make("span", { class: "small" }, step ? stepTime(step) || (step.state === "blocked" ? "waits for the steps before" : "–")
      : given?.job ? make("a", { href: `#/jobs/${given.job}` }, `job ${given.job.slice(0, 13)}`) : given?.model ? `model ${given.model.slice(0, 13)}` : "not part of this job"),
    step?.state === "running" && bar(step.progress, { name: `progress of ${title}` }));
}

function steps(job) {
  if (job.kind !== "rift") return null;
  const list = stepOf(job, "corrupt") ? [...STEPS.slice(0, 4), { kind: "corrupt", title: "Corrupt", does: "copies of the test images" }, STEPS[4]] : STEPS;
  return card("Pipeline", make("ol", { class: "pipeline" }, list.map((row, index) => stepCard(job, row, index + 1))),
    job.error && make("p", { class: "trouble" }, job.error.message));
}

/* ---- before and after ---- */

function tile(title, before, after) {
  const gain = between(before, after);
  return make("div", {}, make("dt", {}, title), make("dd", {}, percent(known(after) ? after : before)),
    make("dd", { class: `small ${!gain ? "faint" : gain < 0 ? "bad" : "good"}` }, gain === null ? (known(after) ? "no baseline" : "before; after isn't measured yet") : `${points(gain)} points, from ${percent(before)}`));
}

function accuracy(job, part) {
  const rift = job.kind === "rift", title = rift ? "Before and after" : "Accuracy";
  if (!part?.evaluation?.any)
    return card(title, missing(part, rift ? "The last step measures this; it hasn't begun." : "Nothing is measured yet."));
  const { before, after, attacks, complete } = part.evaluation, method = methodOf(job);
  const columns = [["Std", (side) => side.clean], ["OOD", (side) => side.ood], ...attacks.flatMap((name, index) => [[index ? name : `Adv (${name})`, (side) => side.attacks[name]],
    [before.worst[name] !== undefined || after.worst[name] !== undefined ? `${name}, worst case` : null, (side) => side.worst[name]]])]
    .filter(([words, pick]) => words && (known(pick(before)) || known(pick(after))) && !(words.endsWith("worst case") && pick(after) === after.attacks[words.split(",")[0]] && pick(before) === before.attacks[words.split(",")[0]]));
  const both = known(before.clean);
  const rows = [...(both ? [{ name: rift ? method : "baseline", show: (pick) => percent(pick(before)) }] : []), { name: rift ? `${method}+RiFT` : "model", show: (pick) => percent(pick(after)), chosen: true },
    ...(both ? [{ name: "change", show: (pick) => points(between(pick(before), pick(after))) }] : [])];
  return card(title, make("dl", { class: "gains" }, columns.slice(0, 4).map(([words, pick]) => tile(words, pick(before), pick(after)))),
    table({ caption: "Accuracies before and after", rows, key: (row) => row.name, chosen: (row) => row.chosen,
      columns: [{ title: "Weights", show: (row) => row.name }, ...columns.map(([words, pick]) => ({ title: words, number: true, show: (row) => row.show(pick) }))] }),
    make("p", { class: "faint small" }, complete ? "" : "Not all is measured yet. ", "Std: clean test images; OOD: corrupted ones, every kind counting the same; Adv: attacked ones. ",
      rift && `One run, seed ${job.spec.seed}; module and alpha chosen under the ${job.spec.protocol} protocol.`));
}

/* ---- figures: made once, told their numbers when these change ---- */

function modulesPiece() {
  let rows = [], byMrc = false;
  const order = make("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => {
    byMrc = !byMrc;
    order.setAttribute("aria-pressed", String(byMrc));
    drawn.update();
  } }, "Sort by criticality");
  const sorted = () => (byMrc ? [...rows].sort((a, b) => a.mrc - b.mrc) : rows);
  const drawn = figure({ title: "MRC by module", extra: [order], broad: true, draw: () => modulesDrawing(sorted()),
    twin: () => table({ caption: "MRC by module: the numbers", rows: sorted(), key: (row) => row.module, chosen: (row) => row.chosen, columns: [
      { title: "Module", show: (row) => make("code", {}, row.module) }, { title: "MRC", number: true, show: (row) => digits(row.mrc), sort: (row) => row.mrc },
      { title: "Robust-accuracy drop", number: true, show: (row) => percent(row.drop), sort: (row) => row.drop },
      { title: "Parameters", number: true, show: (row) => row.parameters, sort: (row) => row.parameters }, { title: "", show: (row) => row.word }] }) });
  return { element: drawn.element, update: (fresh) => {
    rows = fresh;
    drawn.update();
  } };
}

function modulesOf(job, parts) {
  const told = parts.mrc?.modules, chosen = stepOf(job, "finetune")?.state === "succeeded" ? job.result?.modules : null;
  return (told?.modules || []).filter((row) => !row.modules).map((row) => {
    const marked = chosen ? chosen.includes(row.module) : row.module === told.lowest;
    return { module: row.module, mrc: row.mrc, drop: row.robust_accuracy_drop, parameters: row.parameters, chosen: marked,
      word: row.non_finite ? "not finite" : marked ? (chosen ? "fine-tuned" : "lowest") : "" };
  });
}

function heatPiece({ title, columns, rows, change, most }) {
  return figure({ title, draw: () => heatDrawing(title, columns, rows, { change, most }), twin: () => table({ caption: `${title}: the numbers`, rows, key: (row) => row.name,
    columns: [{ title: "Corruption", show: (row) => row.name }, ...columns.map((name, index) => ({ title: /^\d/.test(name) ? `severity ${name}` : name, number: true,
      show: (row) => (change ? points : percent)(row.values[index]) }))] }) });
}

/* Before, after and their difference, or the one that there is. */
function heatsOf({ before, after }) {
  const names = Object.keys(after.corruptions).length ? Object.keys(after.corruptions) : Object.keys(before.corruptions);
  const first = (after.corruptions[names[0]] || before.corruptions[names[0]])?.severities || [];
  const columns = [...first.map((one) => (first.length === 1 ? `sev. ${one.severity}` : String(one.severity))), ...(first.length === 1 ? [] : ["mean"])];
  const values = (row) => row && [...row.severities.map((one) => one.accuracy), ...(first.length === 1 ? [] : [row.accuracy])];
  const rowsOf = (pick) => names.map((name) => ({ name: name.replaceAll("_", " "), values: pick(name) || columns.map(() => null) }));
  const map = (title, rows, more = {}) => ({ title, columns, rows, most: 1, ...more });
  const old = (name) => values(before.corruptions[name]), now = (name) => values(after.corruptions[name]);
  const change = rowsOf((name) => old(name) && now(name) && now(name).map((value, index) => value - old(name)[index]));
  const both = names.some((name) => before.corruptions[name]) && names.some((name) => after.corruptions[name]);
  if (!names.length) return [];
  if (!both) return [map("Accuracy, %", rowsOf((name) => now(name) || old(name)))];
  return [map("Before, %", rowsOf(old)), map("After, %", rowsOf(now)),
    map("Change, points", change, { change: true, most: Math.max(0.001, ...change.flatMap((row) => row.values.map((value) => Math.abs(value || 0)))) })];
}

/* ---- the walk ---- */

function walkPiece() {
  let walk = [], tolerance = 0;
  const x = { label: "alpha" }, y = { percent: true, label: "" };
  const clean = lineChart({ title: "Clean accuracy", x, y, height: 260 }), robust = lineChart({ title: "Robust accuracy", x, y, height: 260 });
  const plane = figure({ title: "Clean vs. robust", draw: () => planeDrawing(walk, tolerance), twin: () => table({ caption: "The walk: the numbers", rows: walk, key: (row) => row.alpha,
    chosen: (row) => row.chosen, columns: [{ title: "alpha", number: true, show: (row) => digits(row.alpha) }, { title: "Std", number: true, show: (row) => percent(row.clean) },
      { title: "Adv", number: true, show: (row) => percent(row.robust) }, { title: "Adv change", number: true, show: (row) => points(between(walk[0].robust, row.robust)) },
      { title: "", show: (row) => (row.chosen ? "chosen" : row.robust < walk[0].robust - tolerance - 1e-12 ? "not allowed" : "") }] }) });
  return { element: make("div", { class: "grid thirds" }, clean.element, robust.element, plane.element), update: (fresh) => {
    ({ walk, tolerance } = fresh);
    const alphas = walk.map((one) => one.alpha), chosen = walk.find((one) => one.chosen), start = walk[0].robust;
    const ring = (pick) => ({ marks: chosen ? [{ x: chosen.alpha, y: pick(chosen) }] : [] });
    clean.update([{ name: "clean accuracy", x: alphas, y: walk.map((one) => one.clean) }], ring((one) => one.clean));
    robust.update([{ name: "robust accuracy", x: alphas, y: walk.map((one) => one.robust) }],
      { ...ring((one) => one.robust), bands: [{ from: start - tolerance, to: start, label: `tolerance: ${Number((100 * tolerance).toPrecision(3))} points below alpha 0` }] });
    plane.update();
  } };
}

function walkOf(job, part) {
  const told = part?.walk;
  return { tolerance: job.spec.interpolate?.tolerance || 0, walk: (told?.points || []).map((one) => ({ alpha: one.alpha, clean: one.clean_accuracy, robust: one.robust_accuracy,
    chosen: told.chosen_alpha === one.alpha })) };
}

/* ---- the page ---- */

const PANELS = [["train", "Training: loss", ["train_loss", "clean_loss", "robust_loss"], false], ["train", "Training: accuracy", ["clean_accuracy", "robust_accuracy"], true],
  ["finetune", "Fine-tuning: loss", ["train_loss", "clean_loss", "robust_loss"], false], ["finetune", "Fine-tuning: accuracy", ["clean_accuracy", "robust_accuracy"], true]];

function curvePiece(title, isAccuracy) {
  const chart = lineChart({ title, x: { label: "epoch", whole: true }, y: isAccuracy ? { percent: true } : { label: "" }, height: 220 });
  return { element: chart.element, update: (series) => chart.update(series) };
}

/* One part of the page. What figures are in stays in the document while numbers come, so
 * that zoom, focus and scrolling are the reader's. */
class Part {
  constructor() {
    this.box = make("div", { hidden: true });
    this.mode = this.shown = null;
  }

  /** Words and tables: brought up to date in place. */
  words(...children) {
    this.mode = this.shown = null;
    renew(this.box, ...children);
    this.box.hidden = !this.box.childElementCount;
  }

  /** A figure: build() -> {element, update(data)} the first time or when `mode` is another one. */
  figure(mode, data, build) {
    const now = JSON.stringify(data);
    if (this.mode !== mode) {
      this.piece = build(data);
      this.box.replaceChildren(this.piece.element);
      this.box.hidden = false;
    }
    if (this.mode !== mode || this.shown !== now) this.piece.update?.(data);
    Object.assign(this, { mode, shown: now });
  }
}

const within = (piece, title, ...words) => ({ element: card(title, piece.element, ...words), update: piece.update });
const note = (...words) => make("p", { class: "faint small" }, ...words);

function criticality(part, { job, parts }) {
  const rows = modulesOf(job, parts), title = "Module Robust Criticality";
  if (!rows.length) return part.words(card(title, parts.mrc ? missing(parts.mrc, "No module is measured yet.") : empty("No criticality was measured for this job.")));
  return part.figure("rows", rows, () => within(modulesPiece(), title,
    note(`In network order. MRC: how much the robust loss rises when the module's weights move by up to ${job.spec.mrc?.epsilon ?? "epsilon"} of their norm; the drop is what robust accuracy loses there.`)));
}

function interpolation(part, { job, parts: { interpolate } }) {
  const found = walkOf(job, interpolate), title = "Interpolation";
  if (!found.walk.length) return part.words(card(title, interpolate ? missing(interpolate, "No point is measured yet.") : empty("Nothing was interpolated.")));
  return part.figure("walk", found, () => within(walkPiece(), title,
    note("From the trained weights (alpha 0) to the fine-tuned ones (alpha 1), on the data that choose alpha. The ring is what was chosen: the best clean accuracy among points within the tolerance.")));
}

function corruptions(part, { parts: { evaluate } }) {
  const maps = evaluate?.evaluation ? heatsOf(evaluate.evaluation) : [];
  if (!maps.length) return part.words();
  return part.figure(JSON.stringify(maps), null, () => ({ element: card("Accuracy on corrupted images", make("div", { class: "heats" }, maps.map((map) => heatPiece(map).element)),
    note("By kind and severity; the mean counts every kind and severity the same. Colour says what the number says.")) }));
}

function training(part, { parts }) {
  const series = PANELS.map(([kind, , names]) => names.map((name) => parts[kind]?.curves?.[name]).filter((one) => one?.x.length));
  const there = PANELS.map((panel, index) => index).filter((index) => series[index].length);
  if (!there.length) return part.words(card("Training", missing(parts.train || parts.finetune, "No epoch has ended yet.")));
  return part.figure(there.join(), series, () => {
    const charts = there.map((index) => curvePiece(PANELS[index][1], PANELS[index][3]));
    return { element: card("Training", make("div", { class: "grid halves" }, charts.map((chart) => chart.element))),
      update: (data) => charts.forEach((chart, place) => chart.update(data[there[place]])) };
  });
}

/* In the order of the page: which kinds have the part beside rift jobs, and what draws it. */
const PARTS = [
  [["*"], (part, { job }) => part.words(head(job))],
  [["*"], (part, { job, table: averaged }) => part.words(job.kind === "sweep" ? runs(job, averaged) : steps(job))],
  [["evaluate"], (part, { job, parts }) => part.words(accuracy(job, parts.evaluate))],
  [["mrc"], criticality],
  [["interpolate"], interpolation],
  [["evaluate"], corruptions],
  [["train", "finetune"], training],
  [["corrupt", "inspect"], (part, { job }) => part.words(job.kind !== "rift" && empty("Jobs of this kind have no figures here.", make("a", { href: `#/jobs/${job.id}` }, "The job")))],
];

const AVERAGED = [["Std", "clean_accuracy"], ["OOD", "corruption_accuracy"], ["Adv", "robust_accuracy"]];
const plusMinus = (words, number) => (known(number?.mean) ? `${words}${known(number.std) ? ` ± ${(100 * number.std).toFixed(2)}` : ""}` : "–");

function runs(job, averaged) {
  const rows = averaged.rows.flatMap((row) => ["before", "after", "gain"].map((side) => ({ ...row, side, numbers: row[side] || {} })));
  const there = AVERAGED.filter(([, key]) => rows.some((row) => known(row.numbers[key]?.mean)));
  const chosen = new Map(averaged.rows.flatMap((row) => row.chosen.map((one) => [one.job, one])));
  const attacks = [...new Set(averaged.rows.map((row) => row.attack).filter(Boolean))].join(", ");
  return make("div", { class: "page" }, card("Before and after, averaged over seeds", table({ caption: "Averages over seeds", rows, chosen: (row) => row.side === "after",
    none: empty("No run has ended yet.", "Each one that does counts here at once."), columns: [
      { title: "Training", show: (row) => `${row.method.toUpperCase()}${row.side === "after" ? "+RiFT" : ""}` }, { title: "Modules", show: (row) => (typeof row.modules === "string" ? row.modules : JSON.stringify(row.modules)) },
      { title: "", show: (row) => row.side }, { title: "n", number: true, show: (row) => row.n },
      ...there.map(([title, key]) => ({ title, number: true, show: (row) => plusMinus(row.side === "gain" ? points(gained(row, key)) : percent(row.numbers[key]?.mean), row.numbers[key]) }))] }),
  note(`Mean ± sample standard deviation over n seeds${known(averaged.images) ? `, on ${averaged.images} ${averaged.split} images` : ""}${attacks && `; Adv: ${attacks}`}; protocol ${averaged.protocol}.${averaged.missing.length ? ` ${averaged.missing.length} of ${job.steps.length} runs are missing.` : ""}`)),
  card("Runs", table({ caption: "Rift jobs of this sweep", rows: job.steps, key: (run) => run.id, columns: [
    { title: "Run", show: (run) => make("a", { href: `#/jobs/${run.id}/report` }, run.label || run.id.slice(0, 13)) }, { title: "State", show: (run) => pill(run.state) },
    { title: "Module", show: (run) => chosen.get(run.id)?.modules.join(", ") ?? "–" }, { title: "Alpha", number: true, show: (run) => chosen.get(run.id)?.alpha ?? "–" }] }),
  make("p", {}, make("a", { class: "button", href: link("compare", { jobs: job.steps.slice(0, 20).map((run) => run.id).join() }) }, "Compare the runs"))));
}

export async function show(main, { id }, query, page) {
  const parts = PARTS.map(() => new Part());
  let found = null;
  main.append(...parts.map((part) => part.box));
  const draw = async () => {
    found = await reportOf(id, { signal: page.signal, before: found });
    page.title(`Report: ${found.job.label || found.job.id.slice(0, 13)}`);
    PARTS.forEach(([kinds, draws], index) => {
      if (kinds[0] === "*" || found.job.kind === "rift" || kinds.includes(found.job.kind)) draws(parts[index], found);
    });
  };
  await draw();
  page.live(draw, { when: (event) => event.job === id || found.job.steps.some((step) => step.id === event.job) });
}
