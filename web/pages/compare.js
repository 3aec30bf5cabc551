/* How do several jobs differ, in what they were told and in what came out?
 *
 * The ids stand in the address, so a comparison can be sent to somebody. One curve of
 * each over each other, accuracies before and after, criticality side by side with its
 * rank correlation, and only those settings in which the jobs differ. */
import { ask } from "../api.js";
import { lineChart } from "../chart.js";
import { between, button, card, digits, empty, make, percent, pill, points, renew, say, table } from "../dom.js";
import { givenOf, rankCorrelation, stepOf } from "../report_data.js";
import { barCell, sample } from "../svg.js";

const JOBS_MOST = 20, OFFERED = 100;
const CURVE = "clean_accuracy";
const short = (id) => id.slice(-8);
const nameOf = (job) => job.label || `${job.kind} ${short(job.id)}`;
const known = (value) => typeof value === "number" && Number.isFinite(value);
/* A setting in words; as JSON it can be broken between its parts. */
const words = (value) => (value === null || value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value).replaceAll(",", ", "));
/* Of attacks their names, where those tell the jobs apart. */
const nameOfValue = (value) => (Array.isArray(value) && value.length && value.every((one) => one?.name) ? value.map((one) => one.name).join(", ") : null);
function setting({ values }, index) {
  const names = values.map((value) => (value === null ? "–" : nameOfValue(value))), distinct = (list) => new Set(list).size;
  return names.includes(null) || distinct(names) < distinct(values.map(words)) ? words(values[index]) : make("span", { title: words(values[index]) }, names[index]);
}

/* Names that tell the jobs apart: equal labels get the id's end. */
function namesOf(jobs) {
  const all = jobs.map(nameOf);
  return all.map((name, index) => (all.filter((one) => one === name).length > 1 ? `${name} · ${short(jobs[index].id)}` : name));
}

/* ---- what is asked ---- */

/* Names of the curves that any of the jobs has. */
async function curveNames(jobs, signal) {
  const sources = jobs.map((job) => (job.kind !== "rift" ? (["sweep", "corrupt"].includes(job.kind) ? null : job.id)
    : stepOf(job, "train")?.id || givenOf(job, "train")?.job || stepOf(job, "finetune")?.id));
  const told = await Promise.all(sources.filter(Boolean).map((id) => ask(`v1/jobs/${id}/metrics`, { signal })));
  return [...new Set(told.flatMap(({ series }) => series.map((one) => one.name)))].sort();
}

async function compared(ids, name, signal) {
  const jobs = await Promise.all(ids.map((id) => ask(`v1/jobs/${id}`, { signal })));
  const [told, names] = await Promise.all([ask(`v1/compare?jobs=${ids.join()}&name=${encodeURIComponent(name)}&max_points=500`, { signal }), curveNames(jobs, signal)]);
  return { jobs, told, curves: names };
}

/* ---- the jobs ---- */

function chips(jobs, names, remove) {
  return make("ul", { class: "chips" }, jobs.map((job, index) => make("li", { "data-key": job.id }, sample(index), make("a", { href: `#/jobs/${job.id}${job.kind === "rift" ? "/report" : ""}` }, names[index]),
    pill(job.state), make("button", { type: "button", class: "quiet", "aria-label": `Remove ${names[index]}`, onclick: () => remove(job.id) }, "✕"))));
}

function adder(add) {
  const choose = make("select", { id: "add-job", "data-filter": true });
  const fill = async (chosen, signal) => {
    const found = await ask(`v1/jobs?parent=&limit=${OFFERED}`, { signal });
    const list = found.jobs.filter((job) => !chosen.includes(job.id)), picked = document.activeElement === choose ? choose.value : "";
    renew(choose, make("option", { value: "" }, "Choose a job"), list.map((job) => make("option", { value: job.id }, `${nameOf(job)} (${job.kind}, ${job.state})`)));
    choose.value = list.some((job) => job.id === picked) ? picked : "";
  };
  const element = make("div", { class: "filters adder" }, make("div", { class: "field broad" }, make("label", { for: "add-job" }, "Add a job"), choose),
    button("Add", async () => choose.value && add(choose.value)));
  choose.onchange = () => choose.value && add(choose.value);
  return { element, fill };
}

/* ---- accuracies ---- */

/* {before, after} of whatever the job measured; a training has no before. */
function accuraciesOf({ kind, result }) {
  if (!result) return null;
  const side = (told) => told && { clean: told.clean?.accuracy, ood: told.corruptions?.corruption_accuracy, robust: told.attacks?.[0]?.accuracy };
  const plain = (told) => told && { clean: told.clean_accuracy, ood: told.corruption_accuracy, robust: told.robust_accuracy };
  if (kind === "rift") return { before: plain(result.before), after: plain(result.after), module: result.module, alpha: result.alpha };
  if (kind === "evaluate") return { before: side(result.baseline), after: side(result) };
  return ["train", "finetune"].includes(kind) ? { before: null, after: plain(result) } : null;
}

function accuracies(jobs, names) {
  const rows = jobs.map((job, index) => ({ job, index, told: accuraciesOf(job) }));
  const cell = (key) => ({ told }) => {
    const after = told?.after?.[key], before = told?.before?.[key];
    if (!known(after)) return "–";
    return make("span", {}, percent(after), known(before) && [" ", make("span", { class: after === before ? "faint" : after < before ? "bad" : "good" }, points(between(before, after)))]);
  };
  const column = (title, key) => rows.some(({ told }) => known(told?.after?.[key])) && { title, number: true, show: cell(key), sort: ({ told }) => told?.after?.[key] };
  const protocols = new Set(jobs.map((job) => job.spec.protocol));
  return card("Accuracy after, and what it changed in points", protocols.size > 1 && make("p", { class: "banner" }, "These jobs were run under different protocols: their numbers don't compare."),
    table({ caption: "Accuracies of the jobs", rows, key: (row) => row.job.id, columns: [
      { title: "Job", class: "wrap", show: ({ index }) => [sample(index), " ", names[index]] },
      { title: "Protocol, seed", show: ({ job }) => [make("span", { class: "badge" }, job.spec.protocol), known(job.spec.seed) && [" ", make("span", { class: "badge" }, `seed ${job.spec.seed}`)]] }, column("Std", "clean"), column("OOD", "ood"), column("Adv", "robust"),
      { title: "Module", show: ({ told }) => (told?.module ? make("code", {}, told.module) : "–") }, { title: "alpha", number: true, show: ({ told }) => digits(told?.alpha) }].filter(Boolean) }));
}

/* ---- criticality ---- */

function correlations(jobs, names, modules) {
  const having = jobs.map((job, index) => index).filter((index) => modules.some((row) => known(row.mrc[index])));
  if (having.length < 2) return null;
  const cell = (a, b) => rankCorrelation(modules.map((row) => row.mrc[a]), modules.map((row) => row.mrc[b]));
  return [make("h3", {}, "Rank correlation (Spearman): 1 is the same order of modules"), table({ caption: "Rank correlation of criticality", rows: having, key: (index) => jobs[index].id, columns: [
    { title: "", show: (index) => [sample(index), " ", names[index]] }, ...having.map((other) => ({ title: names[other], number: true,
      show: (index) => (index === other ? "" : known(cell(index, other)) ? cell(index, other).toFixed(3).replace("-", "−") : "–") }))] })];
}

function criticality(jobs, names, told) {
  const { modules } = told;
  if (!modules.length) return card("Module Robust Criticality", empty("None of these jobs has measured any.", "Jobs of kind rift and mrc do."));
  const most = jobs.map((job, index) => Math.max(1e-12, ...modules.map((row) => row.mrc[index]).filter(known)));
  const columns = jobs.map((job, index) => index).filter((index) => modules.some((row) => known(row.mrc[index])));
  return card("Module Robust Criticality", table({ caption: "MRC of every module, each job on its own scale", rows: modules.map((row, order) => ({ ...row, order })), key: (row) => row.module, columns: [
    { title: "Module", show: (row) => make("code", {}, row.module), sort: (row) => row.order },
    ...columns.map((index) => ({ title: names[index], sort: (row) => row.mrc[index], show: (row) => make("span", { class: `mrc ${told.jobs[index].criticality?.lowest === row.module ? "strong" : ""}` },
      barCell(row.mrc[index], most[index], { series: index, width: 120 }), make("span", {}, digits(row.mrc[index])), told.jobs[index].criticality?.lowest === row.module && make("span", { class: "badge" }, "lowest")) }))] }),
  columns.length > 1 && make("p", { class: "faint" }, "Each job's bars are on its own scale: compare their order, and the numbers."), correlations(jobs, names, modules));
}

function differences(jobs, names, told) {
  if (jobs.length < 2) return card("Settings that differ", empty("One job alone differs from nothing.", "Add another above."));
  const kinds = new Set(jobs.map((job) => job.kind)).size;
  const rows = told.differences.filter((row) => kinds === 1 || row.values.filter((value) => value !== null).length > 1);
  return card("Settings that differ", table({ caption: "Settings that differ", rows, key: (row) => row.pointer,
    none: empty("All settings are the same.", "What differs then is chance, or the machine."),
    columns: [{ title: "Setting", show: (row) => make("code", {}, row.pointer.slice(1)) }, ...jobs.map((job, index) => ({ title: names[index], class: "wrap", show: (row) => setting(row, index) }))] }),
  kinds > 1 && make("p", { class: "faint small" }, "Settings that only one of these kinds of job has are left out."));
}

/* ---- the page ---- */

const idsOf = (query) => [...new Set((query.jobs || "").split(",").filter(Boolean))];

export async function show(main, params, query, page) {
  let at = query, drawn = "";
  const change = (ids) => page.navigate({ jobs: ids.join() || null });
  const add = adder((id) => {
    const ids = idsOf(at);
    if (ids.length >= JOBS_MOST) return say(`At most ${JOBS_MOST} jobs.`, "bad");
    return change([...ids, id]);
  });
  const list = make("div"), curveBox = make("div", { class: "card" }), rest = make("div", { class: "page" });
  const choose = make("select", { id: "curve", onchange: () => page.navigate({ curve: choose.value }) });
  const chart = lineChart({ title: "Curves", x: { label: "epoch", whole: true }, y: {}, height: 300 }), percents = lineChart({ title: "Curves", x: { label: "epoch", whole: true }, y: { percent: true }, height: 300 });
  const none = make("div");
  chart.element.hidden = percents.element.hidden = true; // until one has numbers
  curveBox.append(make("div", { class: "row" }, make("label", { for: "curve" }, "Curve"), choose), none, chart.element, percents.element);
  main.append(make("h1", {}, "Compare"), make("div", { class: "card" }, list, add.element), curveBox, rest);

  const curvesDraw = ({ told, curves }, name, names) => {
    const offered = curves.includes(name) || !curves.length ? curves : [...curves, name];
    renew(choose, offered.map((one) => make("option", { value: one, selected: one === name }, one.replaceAll("_", " "))));
    choose.value = name;
    const series = told.jobs.map((job, index) => ({ name: names[index], x: (job.curve?.points || []).map((one) => one.epoch ?? one.step), y: (job.curve?.points || []).map((one) => one.value) }));
    const any = series.some((one) => one.x.length), fraction = name.endsWith("accuracy");
    renew(none, !any && empty("None of these jobs has this curve yet."));
    chart.element.hidden = !any || fraction;
    percents.element.hidden = !any || !fraction;
    if (any) (fraction ? percents : chart).update(series);
  };
  const draw = async () => {
    const ids = idsOf(at), name = at.curve || CURVE;
    await add.fill(ids, page.signal);
    curveBox.hidden = !ids.length;
    if (!ids.length) {
      renew(list, empty("No job is chosen.", "Add some below, or select them on the ", make("a", { href: "#/jobs" }, "Jobs"), " page."));
      return void renew(rest);
    }
    const found = await compared(ids, name, page.signal), names = namesOf(found.jobs), now = JSON.stringify([found, name]);
    if (now === drawn) return;
    drawn = now;
    renew(list, chips(found.jobs, names, (id) => change(idsOf(at).filter((one) => one !== id))));
    curvesDraw(found, name, names);
    renew(rest, accuracies(found.jobs, names), criticality(found.jobs, names, found.told), differences(found.jobs, names, found.told));
  };
  const again = page.live(draw);
  page.onQuery((fresh) => {
    at = fresh;
    again();
  });
  await draw();
}
