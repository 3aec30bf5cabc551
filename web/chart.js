/* How does a curve get drawn so that it can be read by anybody?
 *
 * uPlot draws (npm, pinned; build/web/vendor). Around it: caption, legend with
 * colour and dash, drag to zoom, a log switch, a cursor for the keyboard whose
 * values are read aloud, the same numbers as a table, and SVG and PNG to take
 * away. Where npm was missing at build time there is no uPlot: then the drawing
 * of chart_svg.js stands still in its place, with the table. */
import { draw as drawStill } from "./chart_svg.js";
import { digits, make, percent, renew, table } from "./dom.js";
import { dashes, sample, saveButtons } from "./svg.js";

const TABLE_ROWS = 2000;
const ZOOM_STEP = 0.7;
const WHOLE = [1, 2, 5].flatMap((one) => [0, 1, 2, 3, 4, 5, 6].map((power) => one * 10 ** power)).sort((a, b) => a - b); // ticks of what is counted

/* Once for all charts: the class, or null. */
let library = null;
function libraryLoad() {
  library ??= import("./vendor/uPlot.esm.js").then((module) => {
    document.head.append(make("link", { rel: "stylesheet", href: new URL("./vendor/uPlot.min.css", import.meta.url).href }));
    return module.default;
  }, () => null);
  return library;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const seriesColor = (index) => color(`--series-${index % 8 + 1}`);
const words = (axis) => (value) => (axis.percent ? percent(value) : digits(value));

/* Ticks need fewer digits than values. */
const tick = (axis) => (value) => (value === null ? "" : axis.percent ? `${Number((100 * value).toPrecision(6))} %`
  : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? Number(value.toPrecision(3)).toExponential().replace("e+", "e") : String(Number(value.toPrecision(6))));

/** All series on one list of x, as uPlot wants it; what isn't positive can't be on a log scale. */
export function aligned(series, log) {
  const clean = (list) => (log ? list.map((value) => (value > 0 ? value : null)) : list);
  const same = series.every((one) => one.x === series[0].x || (one.x.length === series[0].x.length && one.x.every((x, i) => x === series[0].x[i])));
  const columns = series.flatMap((one) => [one.y, ...(one.low ? [one.low, one.high] : [])].map((values) => ({ x: one.x, values: clean(values) })));
  if (!series.length) return [[]];
  if (same) return [series[0].x, ...columns.map((column) => column.values)];
  const all = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
  const place = new Map(all.map((x, index) => [x, index]));
  return [all, ...columns.map(({ x, values }) => {
    const list = new Array(all.length).fill(undefined); // undefined: not measured there, the line goes on
    x.forEach((at, index) => { list[place.get(at)] = values[index]; });
    return list;
  })];
}

/* Charts of a page that was left would listen for ever, and hold their points: they end
 * with the next page, once the old one is off the screen. */
const alive = new Set();
addEventListener("riftd-page", () => {
  for (const chart of alive) if (!chart.element.isConnected) chart.end();
});

/** How many charts listen. */
export const chartsAlive = () => alive.size;

class Chart {
  constructor({ title, x = {}, y = {}, series = [], bands = [], marks = [], height = 240, onZoom = null }) {
    Object.assign(this, { title, x, y, series, bands, marks, height, onZoom, log: Boolean(y.log), zoom: null, plot: null, at: null });
    this.logButton = make("button", { type: "button", class: "quiet", "aria-pressed": String(this.log), onclick: () => this.logSet(!this.log) }, "Log");
    this.resetButton = make("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.zoomSet(null) }, "Reset zoom");
    this.tableButton = make("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.tableSet(!this.twin.childElementCount) }, "Table");
    this.legend = make("ul", { class: "legend" });
    this.box = make("div", { class: "plot", tabindex: 0, role: "group", "aria-roledescription": "chart",
      "aria-label": `${title}. Arrow keys move the cursor, plus and minus zoom, 0 shows all.`, onkeydown: (event) => this.key(event) });
    this.box.style.height = `${height}px`;
    this.readout = make("p", { class: "readout", "aria-live": "off" });
    this.box.onfocus = () => this.readout.setAttribute("aria-live", "polite"); // read aloud to who moves the cursor, and nobody else
    this.box.onblur = () => this.readout.setAttribute("aria-live", "off");
    this.box.onpointerleave = () => this.tell(this.lastIndex());
    this.twin = make("div");
    this.element = make("figure", { class: "chart", "data-whole": true }, make("div", { class: "chart-head" }, make("figcaption", {}, title), this.resetButton,
      !y.percent && this.logButton, this.tableButton, saveButtons(title, () => this.still())), this.legend, this.box, this.readout, this.twin);
    this.legendDraw();
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.box);
    this.over = new AbortController();
    const redraw = () => this.plot?.redraw(), until = { signal: this.over.signal };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, until);
    addEventListener("riftd-theme", redraw, until);
    alive.add(this);
  }

  end() {
    alive.delete(this);
    this.over.abort();
    this.sizes.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  still() {
    return drawStill({ title: this.title, x: this.x, y: { ...this.y, log: this.log }, series: this.series, bands: this.bands, marks: this.marks, zoom: this.zoom });
  }

  async resize() {
    const width = Math.floor(this.box.clientWidth);
    if (!width) return;
    if (this.plot) return this.plot.setSize({ width, height: this.height });
    const Plot = await libraryLoad();
    if (this.over.signal.aborted) return;
    if (!this.plot && Plot) this.build(Plot);
    else if (!Plot) this.buildStill();
  }

  buildStill() {
    renew(this.box, this.still());
    this.readout.textContent = "This riftd was built without npm, so charts stand still: the table has the numbers.";
    if (!this.twin.childElementCount) this.tableSet(true);
  }

  build(Plot) {
    this.plot?.destroy();
    this.Plot = Plot;
    this.plot = new Plot(this.options(), aligned(this.series, this.log), this.box);
    if (this.zoom) this.plot.setScale("x", { min: this.zoom[0], max: this.zoom[1] });
    this.tell(this.lastIndex());
  }

  options() {
    const axis = (what, size) => ({ stroke: () => color("--faint"), grid: { stroke: () => color("--line"), width: 1 }, ticks: { stroke: () => color("--line"), size: 4 },
      font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 18, labelGap: 0, label: what.label || null, size, values: (plot, ticks) => ticks.map(tick(what)), ...(what.whole ? { incrs: WHOLE } : {}) });
    const lines = [], bands = [];
    this.series.forEach((one, index) => {
      lines.push({ label: one.name, stroke: () => seriesColor(index), width: 1.75, dash: dashes(index) ? dashes(index).split(" ").map(Number) : null,
        points: { show: one.x.length < 40, size: 5, fill: () => seriesColor(index) } });
      if (!one.low) return;
      const at = lines.length + 1;
      lines.push(...["low", "high"].map((side) => ({ label: `${one.name} ${side}`, stroke: "transparent", width: 0, points: { show: false } })));
      bands.push({ series: [at + 1, at], fill: () => `${seriesColor(index)}2e` });
    });
    return { width: Math.floor(this.box.clientWidth), height: this.height, series: [{}, ...lines], bands, padding: [10, 12, 0, 0], legend: { show: false },
      scales: { x: { time: false, distr: this.x.log ? 3 : 1 }, y: { distr: this.log ? 3 : 1, range: this.log ? undefined : (plot, low, high) => this.range(low, high) } },
      axes: [axis(this.x, this.x.label ? 26 : 30), axis(this.y, (plot, values) => 18 + 7 * Math.max(3, ...(values || []).map((one) => one.length)))],
      cursor: { drag: { x: true, y: false, uni: 8 }, points: { size: 7 } },
      hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx)], setScale: [(plot, key) => key === "x" && this.zoomed(plot)],
        drawAxes: [(plot) => this.bandsDraw(plot)], draw: [(plot) => this.marksDraw(plot)] } };
  }

  /* Some room above and below; percentages stay within 0 and 1 and don't blow noise up. */
  range(low, high) {
    if (low === null || high === null) return [0, 1];
    for (const { from, to } of this.bands) [low, high] = [Math.min(low, from), Math.max(high, to)]; // bands are seen whole
    const room = Math.max((high - low) * 0.08, this.y.percent ? 0.005 : high > low ? Math.abs(high) * 1e-3 : Math.abs(high) / 4 || 0.5);
    return this.y.percent ? [Math.max(0, low - room), Math.min(1, high + room)] : [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  }

  /* Tolerance bands: { from, to, label } in y. */
  bandsDraw({ ctx, bbox, valToPos }) {
    ctx.save();
    for (const { from, to } of this.bands) {
      const top = valToPos.call(this.plot, to, "y", true), bottom = valToPos.call(this.plot, from, "y", true);
      ctx.fillStyle = `${color("--good")}26`;
      ctx.fillRect(bbox.left, Math.max(bbox.top, top), bbox.width, Math.min(bbox.top + bbox.height, bottom) - Math.max(bbox.top, top));
    }
    ctx.restore();
  }

  /* Marks: { x, y?, label }: a line, or a ring around a point. */
  marksDraw({ ctx, bbox, valToPos, pxRatio }) {
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = color("--text");
    ctx.font = `${12 * (pxRatio || devicePixelRatio)}px system-ui, sans-serif`;
    for (const mark of this.marks) {
      const x = valToPos.call(this.plot, mark.x, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      if (typeof mark.y === "number") ctx.arc(x, valToPos.call(this.plot, mark.y, "y", true), 6 * devicePixelRatio, 0, 7);
      else {
        ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
      }
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.stroke();
      const right = x > bbox.left + bbox.width * 0.8;
      ctx.textAlign = right ? "right" : "left";
      if (mark.label) ctx.fillText(mark.label, x + (right ? -8 : 8) * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
    }
    ctx.restore();
  }

  legendDraw() {
    renew(this.legend, this.series.length > 1 || this.series.some((one) => one.low) ? this.series.map((one, index) => make("li", {}, sample(index), one.name, one.low && " (± range)")) : null,
      this.bands.filter((one) => one.label).map((one) => make("li", {}, make("span", { class: "pill", "data-state": "ok" }, one.label))));
  }

  /* ---- what the reader does ---- */

  lastIndex() {
    return this.plot ? this.plot.data[0].length - 1 : null;
  }

  tell(index) {
    if (index === -1) this.readout.textContent = "Nothing was measured yet.";
    if (index === null || index === -1 || index === undefined || !this.plot) return;
    this.at = index;
    const at = this.plot.data[0][index];
    const near = (one) => { // the newest value at or before the cursor
      let low = 0, high = one.x.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        one.x[middle] <= at ? low = middle : high = middle - 1;
      }
      return one.x[low] <= at ? one.y[low] : null;
    };
    this.readout.textContent = `${this.x.label || "x"} ${digits(at)}: ${this.series.map((one) => `${one.name} ${words(this.y)(near(one))}`).join(", ")}`;
  }

  zoomed(plot) {
    const { min, max } = plot.scales.x, xs = plot.data[0];
    if (min === null || min === undefined || !xs.length) return;
    const whole = min <= xs[0] && max >= xs[xs.length - 1] && !(this.zoom && this.onZoom);
    const zoom = whole ? null : [min, max];
    if (JSON.stringify(zoom) === JSON.stringify(this.zoom)) return;
    this.zoom = zoom;
    this.resetButton.hidden = whole;
    this.onZoom?.(zoom);
  }

  /** Show only x from zoom[0] to zoom[1]; null shows all. */
  zoomSet(zoom) {
    if (!this.plot) return;
    const had = this.zoom;
    this.zoom = zoom;
    this.resetButton.hidden = !zoom;
    if (zoom) this.plot.setScale("x", { min: zoom[0], max: zoom[1] });
    else this.plot.setData(this.plot.data, true);
    if (JSON.stringify(had) !== JSON.stringify(zoom)) this.onZoom?.(zoom);
  }

  logSet(log) {
    this.log = log;
    this.logButton.setAttribute("aria-pressed", String(log));
    if (this.plot) this.build(this.Plot);
    else this.resize();
  }

  key(event) {
    if (!this.plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const xs = this.plot.data[0], last = xs.length - 1, { min, max } = this.plot.scales.x;
    const move = (to) => {
      this.at = Math.max(0, Math.min(last, to));
      this.plot.setCursor({ left: this.plot.valToPos(xs[this.at], "x"), top: this.plot.over.clientHeight / 2 });
      this.tell(this.at);
    };
    const scale = (factor) => {
      const middle = this.at === null ? (min + max) / 2 : xs[this.at], half = (max - min) * factor / 2;
      this.zoomSet([Math.max(xs[0], middle - half), Math.min(xs[last], middle + half)]);
    };
    const big = event.shiftKey ? 10 : 1;
    const acts = { ArrowLeft: () => move((this.at ?? last + 1) - big), ArrowRight: () => move((this.at ?? -1) + big), Home: () => move(0), End: () => move(last),
      "+": () => scale(ZOOM_STEP), "-": () => scale(1 / ZOOM_STEP), 0: () => this.zoomSet(null) };
    if (!acts[event.key] || last < 0) return;
    event.preventDefault();
    acts[event.key]();
  }

  tableSet(shown) {
    this.tableButton.setAttribute("aria-pressed", String(shown));
    if (!shown) return renew(this.twin);
    const [xs, ...columns] = aligned(this.series, false);
    const names = this.series.flatMap((one) => [one.name, ...(one.low ? [`${one.name}, low`, `${one.name}, high`] : [])]);
    const rows = xs.slice(0, TABLE_ROWS).map((x, index) => ({ x, index }));
    renew(this.twin, table({ caption: `${this.title}: the numbers`, rows, key: (row) => row.x, columns: [
      { title: this.x.label || "x", number: true, show: (row) => digits(row.x) },
      ...names.map((name, column) => ({ title: name, number: true, show: (row) => words(this.y)(columns[column][row.index]) }))] }));
  }

  /** Other numbers, and perhaps other marks; zoom and cursor stay. */
  update(series, { bands = this.bands, marks = this.marks } = {}) {
    const shape = (list) => list.map((one) => [one.name, Boolean(one.low), one.x.length < 40]).join();
    const same = shape(series) === shape(this.series);
    Object.assign(this, { series, bands, marks });
    this.legendDraw();
    if (!this.plot) this.Plot === undefined && this.twin.childElementCount ? this.buildStill() : this.resize();
    else if (!same) this.build(this.Plot);
    else {
      this.plot.setData(aligned(series, this.log), !this.zoom);
      if (this.zoom) this.plot.setScale("x", { min: this.zoom[0], max: this.zoom[1] });
      if (!this.box.matches(":hover, :focus-within")) this.tell(this.lastIndex());
    }
    if (this.twin.childElementCount) this.tableSet(true);
  }
}

/**
 * A chart of lines.
 * @param {{title: string, x: {label: string, log?: boolean, whole?: boolean}, y: {label: string, percent?: boolean, log?: boolean},
 *          series: Array<{name: string, x: number[], y: number[], low?: number[], high?: number[]}>,
 *          bands?: Array<{from: number, to: number, label?: string}>, marks?: Array<{x: number, y?: number, label?: string}>,
 *          height?: number, onZoom?: function}} what
 * @returns {{element: HTMLElement, update: function(Array, Object=): void}}
 */
export function lineChart(what) {
  const chart = new Chart(what);
  return { element: chart.element, update: (series, more) => chart.update(series, more), zoom: (range) => chart.zoomSet(range) };
}
