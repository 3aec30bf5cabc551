/* Which jobs are there, and what is to happen with several at once?
 *
 * Filters are the address's query, so that links, bookmarks and the back button
 * know them. Pages go by cursors, as the API's do. */
import { ask, askFields, query as asQuery } from "../api.js";
import { ago, announce, button, confirm, digits, duration, empty, make, percent, pill, points, renew, say, table } from "../dom.js";
import { progressBar } from "../progress.js";
import { exists, link } from "../router.js";

const PAGE_JOBS = 50;
const SEEN_FIRST = 24; // rows that fill a large screen: they are drawn first, the rest a moment later
const REST_MS = 60;
const STATES = ["blocked", "queued", "running", "succeeded", "failed", "cancelled"];
const AT_ONCE = 4; // requests of one bulk action
const FILTERS = ["state", "kind", "label", "owner", "steps"];

const isEnded = (job) => ["succeeded", "failed", "cancelled"].includes(job.state);
export const nameOf = (job) => job.label || job.id.slice(0, 13);

/* What can be done with several; `fits` says with which. */
const BULK = [
  { name: "Cancel", fits: (job) => !isEnded(job) && !job.cancel_wanted, path: "/cancel", method: "POST", ask: "They write a checkpoint and stop; a retry goes on from there." },
  { name: "Retry", fits: (job) => ["failed", "cancelled"].includes(job.state), path: "/retry", method: "POST" },
  { name: "Delete", fits: isEnded, path: "", method: "DELETE", ask: "Their curves, weights and files go with them. That can't be undone." },
];

async function bulk({ name, path, method, ask: detail }, jobs, begun) {
  const many = `${jobs.length} ${jobs.length === 1 ? "job" : "jobs"}`;
  if (detail && !await confirm(`${name} ${many}?`, { yes: `${name} ${many}`, detail })) return;
  begun();
  const wrong = [], left = [...jobs];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let job = left.shift(); job; job = left.shift())
      await ask(`v1/jobs/${job.id}${path}`, { method }).catch((error) => wrong.push(`${nameOf(job)}: ${error.detail || error.message}`));
  }));
  if (wrong.length) say(`${jobs.length - wrong.length} of ${many} done. ${wrong.slice(0, 3).join("; ")}`, "bad");
  else say(`${name}: ${many} done.`);
}

function filters(query, kinds, change) {
  const choose = (name, words, options) => make("div", { class: "field" }, make("label", { for: `filter-${name}` }, words),
    make("select", { id: `filter-${name}`, onchange: (event) => change({ [name]: event.target.value }) }, make("option", { value: "" }, "any"),
      options.map((option) => make("option", { value: option, selected: query[name] === option }, option))));
  const write = (name, words, first) => make("div", { class: "field" }, make("label", { for: `filter-${name}` }, words),
    make("input", { id: `filter-${name}`, type: "search", value: query[name] || "", placeholder: "any", "data-filter": first, autocomplete: "off",
      onchange: (event) => change({ [name]: event.target.value }), onsearch: null }));
  return make("form", { class: "filters", role: "search", "aria-label": "Filter jobs", onsubmit: (event) => event.preventDefault() },
    write("label", "Label (exactly)", true), choose("state", "State", STATES), choose("kind", "Kind", kinds), write("owner", "Owner (exactly)"),
    make("label", { class: "check" }, make("input", { type: "checkbox", checked: query.steps === "1", onchange: (event) => change({ steps: event.target.checked ? "1" : null }) }), " steps, too"),
    [...FILTERS, "cursor"].some((name) => query[name]) && make("a", { class: "button quiet", href: "#/jobs" }, "Clear"));
}

/* A rift job's progress is its running step's, a sweep's that of its rift jobs. */
const isParent = (job) => job.state === "running" && ["rift", "sweep"].includes(job.kind);
async function progressOf(job, signal) {
  const { steps } = await ask(`v1/jobs/${job.id}`, { signal });
  const done = steps.filter(isEnded).length, running = steps.find((step) => step.state === "running");
  const part = running?.progress?.total > 0 ? running.progress.done / running.progress.total : 0;
  return { phase: job.kind === "rift" ? running?.kind || "" : "rift jobs", done: done + (job.kind === "rift" ? part : 0), total: steps.length, eta_s: null };
}

/* What came out, in a line. */
function resultOf({ kind, result, state, error, last_failure: failure }) {
  if (state === "failed") return make("span", { class: "bad clip", title: error?.message }, error?.message);
  if (state === "queued" && failure) return make("span", { class: "faint clip", title: failure.message }, `tried again: ${failure.message}`);
  if (!result) return "";
  const number = (title, value, before) => typeof value === "number" && make("span", { class: "outcome" }, make("span", { class: "faint" }, title), " ", percent(value, 1),
    typeof before === "number" && [" ", make("span", { class: value > before ? "good" : value < before ? "bad" : "faint" }, points(value - before))]);
  const { before = {}, after, clean, attacks = [] } = result;
  if (kind === "rift" && after) return [number("Std", after.clean_accuracy, before.clean_accuracy), number("Adv", after.robust_accuracy, before.robust_accuracy)];
  if (kind === "evaluate") return [number("Std", clean?.accuracy), attacks[0] && number("Adv", attacks[0].accuracy)];
  if (kind === "mrc" && result.lowest) return [make("span", { class: "faint" }, "lowest "), make("code", {}, result.lowest)];
  if (kind === "interpolate" && typeof result.chosen_alpha === "number") return [make("span", { class: "faint" }, "alpha "), digits(result.chosen_alpha)];
  return [number("Std", result.clean_accuracy), number("Adv", result.robust_accuracy)];
}

export async function show(main, params, query, page) {
  const filterBox = make("div"), list = make("div", { class: "card" }), tools = make("div", { class: "row tools" }), more = make("div", { class: "row wide" });
  const chosen = new Map(); // by id, what the reader ticked
  let jobs = [], next = null, rest = 0;
  const parents = new Map(); // by id, how far rift jobs and sweeps are as was asked last
  const { kinds } = await askFields();
  const change = (fields) => page.navigate({ ...fields, cursor: null });
  main.append(make("div", { class: "head" }, make("h1", {}, "Jobs"), exists("new") && make("a", { class: "button primary push", href: "#/new" }, "New job")), filterBox, list, more);

  const toolsDraw = () => renew(tools, make("span", { class: "faint" },
    chosen.size ? `${chosen.size} selected` : `${jobs.length} ${jobs.length === 1 ? "job" : "jobs"}${next || query.cursor ? " on this page" : ""}, newest first`),
    chosen.size > 0 && [BULK.map((act) => {
      const fit = [...chosen.values()].filter(act.fits);
      return button(fit.length ? `${act.name} ${fit.length}` : act.name, async () => {
        await bulk(act, fit, () => {
          chosen.clear(); // at once: what is ticked meanwhile is meant for something else
          ticked();
        });
        await draw();
      }, { disabled: !fit.length, class: act.name === "Retry" ? null : "danger" });
    }), exists("compare") && chosen.size > 1 && make("a", { class: "button", href: link("compare", { jobs: [...chosen.keys()].slice(0, 20).join(",") }) }, "Compare"),
    make("button", { type: "button", class: "quiet", onclick: () => { chosen.clear(); ticked(); } }, "Select none")]);

  const tick = (job) => make("input", { type: "checkbox", checked: chosen.has(job.id), "aria-label": `Select ${nameOf(job)}`, onchange: (event) => {
    event.target.checked ? chosen.set(job.id, job) : chosen.delete(job.id);
    ticked();
  } });
  const tickAll = () => make("input", { type: "checkbox", "aria-label": "Select all on this page", checked: jobs.length > 0 && jobs.every((job) => chosen.has(job.id)),
    indeterminate: chosen.size > 0 && !jobs.every((job) => chosen.has(job.id)), onchange: (event) => {
      for (const job of jobs) event.target.checked ? chosen.set(job.id, job) : chosen.delete(job.id);
      ticked();
    } });
  /* Ticks alone change no row's words. */
  const ticked = () => {
    for (const row of list.querySelectorAll("tbody tr")) {
      row.classList.toggle("chosen", chosen.has(row.dataset.key));
      row.querySelector("input").checked = chosen.has(row.dataset.key);
    }
    const all = list.querySelector("thead input");
    if (all) Object.assign(all, { checked: jobs.every((job) => chosen.has(job.id)), indeterminate: chosen.size > 0 && !jobs.every((job) => chosen.has(job.id)) });
    toolsDraw();
    announce(`${chosen.size} selected`);
  };
  const tableOf = (rows) => {
    const owners = jobs.some((job) => job.owner);
    return table({ caption: "Jobs, newest first", rows, key: (job) => job.id, rowHeader: 1, chosen: (job) => chosen.has(job.id),
      none: FILTERS.some((name) => query[name]) ? empty("No job fits these filters.", make("a", { href: "#/jobs" }, "Show all jobs"))
        : empty("No jobs yet.", make("a", { href: "#/new" }, "Make one"), " with a form, or submit a file: ", make("code", {}, "riftctl submit docs/quickstart.json")),
      columns: [
        { title: tickAll(), class: "tick", show: tick },
        { title: "Job", class: "name", show: (job) => [make("a", { href: `#/jobs/${job.id}` }, nameOf(job)), job.pinned && make("span", { class: "badge", title: "Retention leaves it alone" }, "pinned")] },
        { title: "Kind", class: "minor", show: (job) => job.kind },
        { title: "State", show: (job) => [pill(job.held && !isEnded(job) ? "held" : job.state, job.held && !isEnded(job) ? `${job.state}, held` : job.cancel_wanted && !isEnded(job) ? "cancelling" : job.state)] },
        { title: "Progress, result", class: "outcomes", show: (job) => (job.state === "running" ? progressBar(isParent(job) ? { ...job, progress: parents.get(job.id) } : job, nameOf(job)) : resultOf(job)) },
        { title: "Device", class: "minor", show: (job) => job.device || "–" },
        owners && { title: "Owner", class: "minor", show: (job) => job.owner || "–" },
        { title: "Took", number: true, class: "minor", show: (job) => (job.started_at ? duration((new Date(job.ended_at || Date.now()) - new Date(job.started_at)) / 1000) : "–") },
        { title: "Submitted", show: (job) => ago(job.created_at) },
      ].filter(Boolean) });
  };
  const tableDraw = (rows = jobs) => {
    clearTimeout(rest);
    renew(list, tools, tableOf(rows));
    toolsDraw();
    renew(more, query.cursor ? make("a", { class: "button", href: link("jobs", { ...query, cursor: null }) }, "Newest jobs") : make("span"),
      next && make("a", { class: "button", href: link("jobs", { ...query, cursor: next }) }, "Older jobs"));
  };
  const read = async () => {
    const { steps, ...fields } = query;
    const asked = query, found = await ask(`v1/jobs${asQuery({ limit: PAGE_JOBS, ...fields })}${steps === "1" ? "" : `&parent=`}`, { signal: page.signal });
    if (asked !== query) return false; // the reader was quicker; the answer to that comes, too
    ({ jobs, next } = found);
    for (const job of jobs) if (chosen.has(job.id)) chosen.set(job.id, job);
    return true;
  };
  const parentsRead = () => Promise.all(jobs.filter(isParent).map(async (job) => parents.set(job.id, await progressOf(job, page.signal).catch(() => null))));
  const draw = async () => {
    if (!await read()) return;
    await parentsRead();
    tableDraw();
  };
  /* Other jobs than before: what can be seen at once, then what is below it and what takes more questions. */
  const drawAnew = async () => {
    if (!await read()) return;
    tableDraw(jobs.slice(0, SEEN_FIRST));
    announce(jobs.length ? `${jobs.length}${next ? " and more" : ""} jobs` : "No jobs");
    rest = setTimeout(() => {
      if (jobs.length > SEEN_FIRST) list.querySelector("tbody").append(...tableOf(jobs.slice(SEEN_FIRST)).querySelectorAll("tbody tr"));
      if (jobs.some(isParent)) parentsRead().then(() => tableDraw(), () => {});
    }, REST_MS);
  };
  const filtersDraw = () => renew(filterBox, filters(query, kinds.map((kind) => kind.name), change));
  filtersDraw();
  await drawAnew();
  page.live(draw);
  page.onQuery((now) => {
    if (now.cursor !== query.cursor) scrollTo(0, 0);
    query = now;
    chosen.clear();
    const drawn = drawAnew(); // asks; meanwhile:
    filtersDraw();
    drawn.catch((error) => error.name !== "AbortError" && page.told(error));
  });
}
