/* How did the numbers develop?
 *
 * Curves are thinned by riftd to what a screen shows. Zooming asks for the part
 * that is wanted, thinned for itself, so a million points cost what a thousand do. */
import { ask, query } from "../api.js";
import { lineChart } from "../chart.js";
import { card, make } from "../dom.js";

const MAX_POINTS = 1000;
const REFRESH_MS = 1500; // curves of a running job, at most so often
const ZOOM_WAIT_MS = 120;

/* Which curves go together; what fits none gets a chart of its own. */
const GROUPS = [
  { title: "Accuracy", y: { label: "accuracy", percent: true }, fits: (name) => /accuracy/.test(name) },
  { title: "Loss", y: { label: "loss" }, fits: (name) => /loss/.test(name) },
  { title: "Learning rate", y: { label: "learning rate" }, fits: (name) => name === "lr" },
];
const wordsOf = (name) => name.replace(/_/g, " ");
const groupOf = (name) => GROUPS.find((group) => group.fits(name)) || { title: wordsOf(name), y: { label: wordsOf(name) } };

/** A list of {step, value} as columns. */
const columns = (name, points) => ({ name: wordsOf(name), x: points.map((point) => point.step), y: points.map((point) => point.value) });

/* The points outside of [from, to] of the whole curve, and those within it of the finer one. */
const spliced = (whole, part, from, to) => [...whole.filter((point) => point.step < from), ...part, ...whole.filter((point) => point.step > to)];

class Group {
  constructor(job, { title, y }, names, signal) {
    Object.assign(this, { job, names, signal, whole: [], zoom: null, timer: 0 });
    this.chart = lineChart({ title, x: { label: "step", whole: true }, y, series: [], onZoom: (range) => this.zoomed(range) });
  }

  points(name, range = {}) {
    return ask(`v1/jobs/${this.job}/metrics${query({ name, max_points: MAX_POINTS, ...range })}`, { signal: this.signal }).then((found) => found.points);
  }

  async update() {
    this.whole = await Promise.all(this.names.map((name) => this.points(name)));
    await this.draw();
  }

  async draw() {
    const zoom = this.zoom;
    const from = zoom && Math.max(0, Math.floor(zoom[0])), to = zoom && Math.ceil(zoom[1]);
    const parts = zoom ? await Promise.all(this.names.map((name) => this.points(name, { since: from - 1, until: Math.max(0, to) }))) : null;
    if (zoom !== this.zoom) return; // the reader was quicker
    this.chart.update(this.names.map((name, index) => columns(name, parts ? spliced(this.whole[index], parts[index], from, to) : this.whole[index])));
  }

  zoomed(range) {
    this.zoom = range;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.draw().catch(() => {}), ZOOM_WAIT_MS);
  }
}

/** Charts of all curves that the job has; of a rift job its train step's. */
export function curvesOf(state, page) {
  const element = card("Curves");
  element.hidden = true;
  const groups = new Map();
  let source = null, drawn = -Infinity, counts = "";
  const update = async () => {
    const { job } = state;
    if (job.kind === "sweep" || !job.started_at || performance.now() - drawn < REFRESH_MS) return;
    drawn = performance.now();
    const found = await ask(`v1/jobs/${job.id}/metrics`, { signal: page.signal }).catch((error) => {
      if (error.status !== 404) throw error; // a rift job that was given weights has no train step of its own
      return { series: [] };
    });
    const now = JSON.stringify(found.series.map((one) => [one.name, one.count, one.last_step]));
    if (now === counts) return;
    counts = now;
    source = found.job;
    const wanted = new Map();
    for (const { name } of found.series) {
      const group = groupOf(name);
      wanted.set(group.title, { group, names: [...(wanted.get(group.title)?.names || []), name] });
    }
    for (const { group, names } of [...wanted.values()].sort((a, b) => GROUPS.findIndex((one) => one === a.group) - GROUPS.findIndex((one) => one === b.group))) {
      const known = groups.get(group.title);
      if (known) known.names = names;
      else {
        groups.set(group.title, new Group(source, group, names, page.signal));
        element.append(groups.get(group.title).chart.element);
      }
    }
    element.hidden = !groups.size;
    await Promise.all([...groups.values()].map((group) => group.update()));
  };
  /* What came while we waited is drawn in the end, too. */
  const late = setInterval(() => update().catch(() => {}), 2 * REFRESH_MS);
  page.signal.addEventListener("abort", () => clearInterval(late));
  element.append(make("p", { class: "faint" }, "Drag to zoom; riftd then sends that part in full detail."));
  return { element, update, place: "curves" };
}
