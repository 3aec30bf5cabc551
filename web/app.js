/* What is riftd doing, and what has it found out?
 *
 * Reads the public API and nothing else. One event stream tells when something
 * changed; what changed is read again from the lists, at most twice a second,
 * so a lost connection costs nothing but a moment. Text goes into the page as
 * text, never as markup. */

const PAGE = 50;
const REFRESH_MS = 500;
const RETRY_MS = 5000;

const byId = (id) => document.getElementById(id);
let cursors = [null]; // pages that are shown, the newest first
let refreshing = false;
let wanted = false;
let stream = "connecting"; // what the event stream is doing
let trouble = ""; // why the last drawing failed, "" when it didn't

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (answer.status === 401) byId("sign-in").hidden = false;
  if (!answer.ok) throw Object.assign(new Error(body.detail || body.title || answer.statusText), { status: answer.status });
  return body;
}

function showLink() {
  byId("link").textContent = stream === "live" && trouble ? trouble : stream;
}

/* An element with text or children; attributes that are null are left out. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const isNumber = (value) => typeof value === "number";
const percent = (value) => (isNumber(value) ? `${(100 * value).toFixed(2)} %` : "–");
const digits = (value) => (isNumber(value) ? value.toPrecision(4) : "–");
const moment = (text) => (text ? new Date(text).toLocaleString() : "–");

/* columns: [title, function of a row -> text or element, "number" or ""]. */
function table(title, columns, rows, chosen = () => false) {
  const head = make("tr", {}, ...columns.map(([name, , type]) => make("th", { class: type }, name)));
  const body = rows.map((row) =>
    make("tr", { class: chosen(row) ? "chosen" : "" }, ...columns.map(([, show, type]) => make("td", { class: type }, show(row))))
  );
  return [make("h3", {}, title), make("table", {}, make("thead", {}, head), make("tbody", {}, ...body))];
}

/* How far a running job is, from its newest progress event. */
function bar(progress) {
  if (!progress || !(progress.total > 0)) return "";
  const part = Math.min(1, progress.done / progress.total);
  const words = [progress.phase, isNumber(progress.eta_s) ? `${Math.round(progress.eta_s)} s left` : null];
  return make("span", {}, make("progress", { max: 1, value: part }), ` ${Math.round(100 * part)} % `,
    make("span", { class: "faint" }, words.filter(Boolean).join(", ")));
}

function state(name) {
  return make("span", { class: name }, name);
}

/* ---- the list ---- */

async function showJobs() {
  const rows = [];
  let next = null;
  for (const cursor of cursors) {
    const page = await ask(`v1/jobs?parent=&limit=${PAGE}${cursor ? `&cursor=${cursor}` : ""}`);
    rows.push(...page.jobs);
    next = page.next;
  }
  const selected = location.hash.slice(1);
  byId("jobs").tBodies[0].replaceChildren(...await Promise.all(rows.map(async (job) => {
    const running = job.state === "running";
    /* A rift job's progress is its running step's, a sweep's that of its rift jobs. */
    const steps = running && ["rift", "sweep"].includes(job.kind) ? (await ask(`v1/jobs/${job.id}`)).steps : [];
    const step = job.kind === "rift" ? steps.find((one) => one.state === "running") : null;
    const ended = steps.filter((one) => ["succeeded", "failed", "cancelled"].includes(one.state)).length;
    const runs = job.kind === "sweep" && { phase: "rift jobs", done: ended, total: steps.length };
    const progress = step ? make("span", {}, `${step.kind} `, bar(step.progress)) : bar(running && (runs || job.progress));
    return make("tr", { class: job.id === selected ? "job chosen" : "job", "data-id": job.id },
      make("td", {}, make("a", { href: `#${job.id}` }, job.label || job.id.slice(0, 18))), make("td", {}, job.kind),
      make("td", {}, state(job.state)), make("td", {}, progress),
      make("td", {}, job.device || "–"), make("td", {}, moment(job.created_at)));
  })));
  byId("no-jobs").hidden = rows.length > 0;
  byId("more").hidden = !next;
  byId("more").dataset.cursor = next || "";
}

/* ---- one job ---- */

function showBeforeAfter(job) {
  const result = job.kind === "rift" ? job.result : null;
  if (!result || !result.before) return byId("before-after").replaceChildren();
  const rows = [["AT", result.before], ["AT + RiFT", result.after || {}]];
  const title = `Before and after (${result.module || "module open"}, alpha ${result.alpha ?? "open"})`;
  byId("before-after").replaceChildren(...table(title, [
    ["", ([name]) => name, ""],
    ["Clean accuracy", ([, row]) => percent(row.clean_accuracy), "number"],
    ...(isNumber(result.before.corruption_accuracy)
      ? [["Corruption accuracy", ([, row]) => percent(row.corruption_accuracy), "number"]] : []),
    ["Robust accuracy", ([, row]) => percent(row.robust_accuracy), "number"],
  ], rows));
}

/* Mean and deviation in percent; of a gain, with its sign. */
function mean(cell, sign = false) {
  if (!cell || !isNumber(cell.mean)) return "–";
  const plus = sign && cell.mean >= 0 ? "+" : "";
  return `${plus}${(100 * cell.mean).toFixed(2)}${isNumber(cell.std) ? ` ± ${(100 * cell.std).toFixed(2)}` : ""}`;
}

/* "lowest", "conv1, linear", "top 3" */
function choice(modules) {
  if (Array.isArray(modules)) return modules.join(", ");
  return typeof modules === "string" ? modules : Object.entries(modules).flat().join(" ");
}

/* The averaged table of a sweep, with what became of runs that it lacks. */
async function showAverages(job) {
  const found = job.kind === "sweep" ? await ask(`v1/jobs/${job.id}/table`) : { rows: [] };
  const rows = found.rows.flatMap((row) => [
    [row.method.toUpperCase(), row, row.before, false], [`${row.method.toUpperCase()}+RiFT`, row, row.after, false],
    ["gain", row, row.gain, true]]);
  const corrupted = rows.some(([, , side]) => side.corruption_accuracy);
  byId("averages").replaceChildren(...(!rows.length ? [] : table(`Averages in percent (protocol ${found.protocol})`, [
    ["", ([name]) => name, ""],
    ["Modules", ([, row]) => choice(row.modules), ""],
    ["Std", ([, , side, sign]) => mean(side.clean_accuracy, sign), "number"],
    ...(corrupted ? [["OOD", ([, , side, sign]) => mean(side.corruption_accuracy, sign), "number"]] : []),
    ["Adv", ([, , side, sign]) => mean(side.robust_accuracy, sign), "number"],
    ["Seeds", ([, row]) => row.seeds.join(", "), "number"],
  ], rows)), ...(!found.rows.length || !found.missing.length ? [] : [make("p", { class: "faint" },
    `Missing: ${found.missing.map((run) => `${run.method}, seed ${run.seed}, ${choice(run.modules)} (${run.state})`).join("; ")}`)]));
}

function showSteps(job) {
  if (!job.steps.length) return byId("steps").replaceChildren(...(job.state === "running" ? [bar(job.progress)] : []));
  byId("steps").replaceChildren(...table(job.kind === "sweep" ? "Rift jobs" : "Steps", [
    ["Step", (step) => make("a", { href: `#${step.id}` }, job.kind === "sweep" ? step.label || step.kind : step.kind), ""],
    ["State", (step) => state(step.state), ""],
    ["Progress", (step) => bar(step.state === "running" && step.progress), ""],
  ], job.steps));
}

async function showModules(job) {
  const found = ["mrc", "rift"].includes(job.kind) ? await ask(`v1/jobs/${job.id}/modules`).catch((error) => {
    if (error.status !== 404) throw error; // a rift job that was given a directory has no step of its own
    return { modules: [] };
  }) : { modules: [] };
  const rows = [...found.modules].sort((a, b) => a.mrc - b.mrc);
  const top = Math.max(...rows.map((row) => row.mrc), Number.MIN_VALUE);
  byId("modules").replaceChildren(...(!rows.length ? [] : table("Module robust criticality", [
    ["Module", (row) => row.module, ""],
    ["MRC", (row) => digits(row.mrc), "number"],
    ["", (row) => make("meter", { min: 0, max: top, value: isNumber(row.mrc) ? row.mrc : 0 }), ""],
    ["Robust accuracy lost", (row) => percent(row.robust_accuracy_drop), "number"],
  ], rows, (row) => row.module === found.lowest)));
}

async function showInterpolation(job) {
  const found = ["interpolate", "rift"].includes(job.kind) ? await ask(`v1/jobs/${job.id}/interpolation`) : { points: [] };
  byId("interpolation").replaceChildren(...(!found.points.length ? [] : table("Interpolation", [
    ["alpha", (row) => digits(row.alpha), "number"],
    ["Clean accuracy", (row) => percent(row.clean_accuracy), "number"],
    ["Robust accuracy", (row) => percent(row.robust_accuracy), "number"],
  ], found.points, (row) => row.alpha === found.chosen_alpha)));
}

async function showEvaluations(job) {
  const found = ["evaluate", "rift"].includes(job.kind) ? await ask(`v1/jobs/${job.id}/evaluations`) : { evaluations: [] };
  byId("evaluations").replaceChildren(...(!found.evaluations.length ? [] : table("Measurements", [
    ["Name", (row) => row.name, ""],
    ["Loss", (row) => digits(row.loss), "number"],
    ["Accuracy", (row) => percent(row.accuracy), "number"],
    ["Worst case", (row) => percent(row.worst_case_accuracy), "number"],
  ], found.evaluations)));
}

async function showArtifacts(job) {
  const { artifacts } = await ask(`v1/jobs/${job.id}/artifacts`);
  byId("artifacts").replaceChildren(...(!artifacts.length ? [] : table("Files", [
    ["Name", (file) => make("a", { href: file.href.slice(1), download: "" }, file.name), ""],
    ["Bytes", (file) => file.size.toLocaleString(), "number"],
    ["SHA-256", (file) => file.sha256.slice(0, 16), ""],
  ], artifacts)));
}

async function showSelected() {
  const id = location.hash.slice(1);
  if (!id) return (byId("detail").hidden = true);
  try {
    await showDetail(id);
  } catch (error) {
    if (error.status !== 404) throw error;
    /* It was deleted: nothing is selected any more, unless something else is by now. */
    if (location.hash.slice(1) !== id) return;
    history.replaceState(null, "", location.pathname);
    byId("detail").hidden = true;
  }
}

async function showDetail(id) {
  const job = await ask(`v1/jobs/${encodeURIComponent(id)}`);
  byId("detail").hidden = false;
  byId("detail-title").replaceChildren(`${job.kind} ${job.label || ""} ${job.id}: `, state(job.state));
  byId("error").hidden = !job.error;
  byId("error").textContent = job.error ? job.error.message : "";
  byId("spec").textContent = JSON.stringify(job.spec, null, 2);
  showSteps(job);
  showBeforeAfter(job);
  await Promise.all([showAverages(job), showModules(job), showInterpolation(job), showEvaluations(job), showArtifacts(job)]);
}

/* ---- keeping up ---- */

/* Draw now, and once more after REFRESH_MS if something happened meanwhile. */
async function refresh() {
  wanted = true;
  if (refreshing) return;
  refreshing = true;
  while (wanted) {
    wanted = false;
    try {
      await Promise.all([showJobs(), showSelected()]);
      trouble = "";
    } catch (error) {
      trouble = error.message;
      setTimeout(refresh, RETRY_MS); // there may be no event for long
    }
    showLink();
    await new Promise((done) => setTimeout(done, REFRESH_MS));
  }
  refreshing = false;
}

const EVENTS = ["message", "state", "started", "progress", "metric", "module", "alpha", "evaluation", "artifact",
  "checkpoint", "finished", "failed", "interrupted"];

function watch() {
  const source = new EventSource("v1/events?after=now");
  source.onopen = () => {
    stream = "live";
    showLink();
    refresh();
  };
  source.onerror = () => {
    stream = "reconnecting";
    showLink();
    /* Refused rather than lost: EventSource gives up, we don't. */
    if (source.readyState === EventSource.CLOSED) {
      ask("v1/session").catch(() => {}); // it may be that it doesn't know us
      setTimeout(watch, RETRY_MS);
    }
  };
  for (const name of EVENTS) source.addEventListener(name, refresh);
}

/* ---- who we are: a token is shown once, a cookie that scripts can't read stands for it ---- */

async function signIn(event) {
  event.preventDefault();
  const answer = await fetch("v1/session", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: byId("token").value.trim() }) });
  byId("token").value = "";
  if (answer.ok) return location.reload();
  byId("sign-in-trouble").textContent = (await answer.json()).detail;
}

function showWho(who) {
  byId("who").textContent = who.owner ? `${who.owner}, ${who.role}` : "";
  byId("sign-out").hidden = !who.session;
}

byId("sign-in").addEventListener("submit", signIn);
byId("sign-out").addEventListener("click", () => fetch("v1/session", { method: "DELETE" }).then(() => location.reload()));
ask("v1/session").then(showWho, () => {});
byId("jobs").addEventListener("click", (event) => {
  const row = event.target.closest("tr.job");
  if (row) location.hash = row.dataset.id;
});
byId("more").addEventListener("click", () => {
  cursors.push(byId("more").dataset.cursor);
  refresh();
});
addEventListener("hashchange", refresh);
ask("v1/version").then((about) => { byId("version").textContent = about.version; }, () => {});
watch();
