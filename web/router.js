/* Which page is shown?
 *
 * The hash says it: #/jobs/ID?x=1. Each page is a module of its own, loaded when
 * it is first wanted. A page draws into the element it is given, and is told
 * through page.signal when it is left; what it subscribed to ends with it. */
import { GONE, Problem } from "./api.js";
import { announce, empty, make, trouble } from "./dom.js";
import { subscribe } from "./live.js";

const REFRESH_MS = 500;
const RETRY_MS = 4000;
const SWAP_MS = 250; // how long the old page stays while the new one loads

/* One row a page. `nav` puts it into the navigation; the first row that fits wins. */
export const pages = [
  { path: "", title: "Overview", nav: "Overview", module: () => import("./pages/overview.js") },
  { path: "jobs", title: "Jobs", nav: "Jobs", module: () => import("./pages/jobs.js") },
  { path: "jobs/:id/report", title: "Report", module: () => import("./pages/report.js") },
  { path: "jobs/:id", title: "Job", module: () => import("./pages/job.js") },
  { path: "compare", title: "Compare", nav: "Compare", module: () => import("./pages/compare.js") },
  { path: "new", title: "New job", nav: "New job", module: () => import("./pages/new.js") },
  { path: "models", title: "Models", nav: "Models", module: () => import("./pages/models.js") },
  { path: "models/:id", title: "Model", module: () => import("./pages/model.js") },
  { path: "datasets", title: "Data sets", nav: "Data sets", module: () => import("./pages/datasets.js") },
  { path: "datasets/:name", title: "Data set", module: () => import("./pages/dataset.js") },
  { path: "settings", title: "Settings", nav: "Settings", module: () => import("./pages/settings.js") },
];

const known = pages.map((row) => ({ ...row, segments: row.path.split("/") }));

/* What isn't encoded well means itself. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function match(path) {
  const parts = path.split("/").map(decoded);
  for (const row of known) {
    if (row.segments.length !== parts.length) continue;
    const params = {};
    const fits = row.segments.every((segment, index) => (segment.startsWith(":")
      ? (params[segment.slice(1)] = parts[index]) : segment === parts[index]));
    if (fits) return { row, params };
  }
  return null;
}

/** Is there such a page? */
export const exists = (path) => match(path) !== null;

function where() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.replace(/\/$/, ""), query: Object.fromEntries(new URLSearchParams(search)) };
}

/** The address of a page with a query: link("jobs", {state: "running"}). */
export function link(path, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#/${path}${kept.length ? `?${new URLSearchParams(kept)}` : ""}`;
}

/* Call fn now and then: at most twice a second, never twice at once, and again
 * when it failed. */
function keepUp(fn, page) {
  let running = false, wanted = false;
  const run = async () => {
    wanted = true;
    if (running) return;
    running = true;
    while (wanted && !page.signal.aborted) {
      wanted = false;
      try {
        await fn();
        page.told(null);
      } catch (error) {
        if (error.name === "AbortError" || page.signal.aborted) return;
        if (error.status !== 0) page.told(error); // that riftd is gone is said above the page
        if (error.status !== 404) setTimeout(run, RETRY_MS);
      }
      await new Promise((done) => setTimeout(done, REFRESH_MS));
    }
    running = false;
  };
  return run;
}

let current = null; // the page that is shown

class Page {
  constructor(path, main) {
    this.path = path;
    this.main = main;
    this.leaving = new AbortController();
    this.signal = this.leaving.signal;
    this.queryChanged = null;
    this.trouble = null;
  }

  /** Call fn when something changed (of `job`, or where `when(event)` holds; event null: anything). */
  live(fn, { job, when } = {}) {
    const run = keepUp(fn, this);
    const end = subscribe((event) => (!event || !when || when(event)) && run(), { job });
    this.signal.addEventListener("abort", end);
    return run;
  }

  /** Change the query of this page's address; null takes a name out. */
  navigate(query, { replace = false } = {}) {
    const address = link(this.path, { ...where().query, ...query });
    if (!replace) location.hash = address.slice(1);
    else {
      history.replaceState(null, "", address);
      changed();
    }
  }

  /** Be called with the new query instead of being shown anew. */
  onQuery(fn) {
    this.queryChanged = fn;
  }

  title(words) {
    if (!this.signal.aborted) document.title = `${words} · riftd`;
  }

  /** Say what is wrong above the page, or (null) no more. */
  told(error) {
    this.trouble?.remove();
    this.trouble = error && trouble(error);
    if (this.trouble) this.main.prepend(this.trouble);
  }
}

/* A page's code comes when it is first wanted, and riftd may be away just then. */
const moduleOf = (row) => row.module().catch((error) => {
  if (error instanceof SyntaxError) throw error;
  throw new Problem(0, GONE);
});

/* What the address names isn't there: say so, and where the others are. */
function missing(box, path, error) {
  const list = pages.find((row) => row.path === path.split("/")[0]);
  box.replaceChildren(make("h1", {}, error.title || "Nothing here"), empty("Nothing has this id; it may have been deleted.",
    list && make("a", { href: `#/${list.path}` }, `All ${list.title.toLowerCase()}`)));
}

async function open(path, query) {
  const found = match(path), before = current;
  current?.leaving.abort();
  const box = make("div", { class: "page" });
  const page = current = new Page(path, box);
  const main = document.getElementById("main");
  const swap = () => {
    if (page !== current || box.isConnected) return;
    const inside = main.contains(document.activeElement) || document.activeElement === document.body;
    main.replaceChildren(box);
    if (inside && before) main.focus({ preventScroll: true }); // what had the focus is gone: go on from here, and not from the top
    if (before) announce(document.title.replace(" · riftd", ""));
    scrollTo(0, 0);
  };
  const timer = setTimeout(swap, SWAP_MS);
  page.title(found ? found.row.title : "Nothing here");
  dispatchEvent(new CustomEvent("riftd-page", { detail: { path } }));
  try {
    if (!found) box.append(make("h1", {}, "Nothing here"), make("p", {}, "There is no such page. ", make("a", { href: "#/" }, "Overview")));
    else await (await moduleOf(found.row)).show(box, found.params, query, page);
  } catch (error) {
    if (error.name === "AbortError" || page.signal.aborted) return;
    if (error.status === 404 && !box.querySelector("h1")) return missing(box, path, error);
    if (!box.querySelector("h1")) box.prepend(make("h1", {}, found.row.title));
    page.told(error);
    if (error.status !== 404) setTimeout(() => page === current && changed(true), RETRY_MS);
  } finally {
    clearTimeout(timer);
    swap();
  }
}

function changed(again = false) {
  const { path, query } = where();
  if (!again && current && current.path === path && current.queryChanged) return current.queryChanged(query);
  return open(path, query);
}

/** Show what the address says, and follow it. */
export function start() {
  addEventListener("hashchange", () => changed());
  changed();
}

/** Show the page anew. */
export const reload = () => changed(true);
