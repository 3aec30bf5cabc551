/* What are the paper's figures made of?
 *
 * Drawings of report and comparison that aren't curves: bars of criticality, heat maps
 * of corruptions, the walk in the plane of clean and robust accuracy. figure() puts a
 * caption, the same numbers as a table, and SVG and PNG to take away around each. */
import { digits, make, points as signed, renew } from "./dom.js";
import { ticks } from "./chart_svg.js";
import { drawing, saveButtons, shape } from "./svg.js";

const text = (x, y, words, attributes = {}) => shape("text", { x, y, ...attributes }, words);
const known = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * A framed drawing. `draw()` makes it anew, `twin()` is the same as a table; extra: more buttons; broad: it scrolls where it hasn't room.
 * @returns {{element: HTMLElement, update: function(): void}}
 */
export function figure({ title, draw, twin, extra = [], broad = false }) {
  const box = make("div", { class: broad ? "drawn broad" : "drawn", tabindex: 0, role: "group", "aria-label": title }), table = make("div");
  const tableButton = make("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => {
    shown = !shown;
    update();
  } }, "Table");
  let shown = false;
  function update() {
    box.replaceChildren(draw());
    tableButton.setAttribute("aria-pressed", String(shown));
    renew(table, shown && twin());
  }
  update();
  return { update, element: make("figure", { class: "chart", "data-whole": true }, make("div", { class: "chart-head" }, make("figcaption", {}, title),
    extra, tableButton, saveButtons(title, draw)), box, table) };
}

/* ---- bars of criticality ---- */

const ROW = 20, NAMES = 156, BARS_WIDTH = 900, BARS_TOP = 26, NUMBER = 64;

/** One row a module: MRC, and the drop of robust accuracy there. rows: [{module, mrc, drop, chosen}] */
export function modulesDrawing(rows) {
  const half = (BARS_WIDTH - NAMES) / 2, room = half - NUMBER, height = BARS_TOP + ROW * rows.length + 4;
  const most = (pick) => Math.max(1e-12, ...rows.map(pick).filter(known));
  const bar = (x, y, value, top, words, chosen) => known(value) && [
    shape("rect", { x, y: y + 3, width: Math.max(1, room * Math.max(0, value) / top), height: ROW - 6, rx: 2, class: "fill s1", "fill-opacity": chosen ? 1 : 0.45 }),
    text(x + Math.max(1, room * Math.max(0, value) / top) + 6, y + 14, words, { class: chosen ? "strong" : null })];
  const mostMrc = most((row) => row.mrc), mostDrop = most((row) => row.drop);
  return drawing(BARS_WIDTH, height, "Module Robust Criticality and the drop of robust accuracy, by module",
    text(NAMES, 14, "MRC", { class: "strong" }), text(NAMES + half, 14, "Robust-accuracy drop, points", { class: "strong" }),
    rows.map((row, index) => {
      const y = BARS_TOP + ROW * index - 4;
      return [text(NAMES - 8, y + 14, row.module, { "text-anchor": "end", class: row.chosen ? "name strong" : "name" }),
        bar(NAMES, y, row.mrc, mostMrc, digits(row.mrc), row.chosen),
        bar(NAMES + half, y, row.drop, mostDrop, known(row.drop) ? (100 * row.drop).toFixed(2) : "", row.chosen)];
    }));
}

/* ---- heat ---- */

const CELL = 40, CELL_HIGH = 22, HEAT_NAMES = 118, HEAT_TOP = 24;

/**
 * rows: [{name, values: [...]}], columns: names. change: values are differences, else fractions.
 * `most` is the value of full strength.
 */
export function heatDrawing(title, columns, rows, { change = false, most = 1 } = {}) {
  const cell = (value, x, y) => known(value) && [
    shape("rect", { x, y, width: CELL - 2, height: CELL_HIGH - 2, class: `heat ${change ? (value < 0 ? "loss" : "gain") : ""}`,
      "fill-opacity": (0.05 + 0.4 * Math.min(1, Math.abs(value) / (most || 1))).toFixed(3) }),
    text(x + CELL / 2 - 1, y + 14, change ? signed(value).slice(0, -1) : (100 * value).toFixed(1), { "text-anchor": "middle", class: "on" })];
  return drawing(HEAT_NAMES + CELL * columns.length, HEAT_TOP + CELL_HIGH * rows.length, title,
    columns.map((name, index) => text(HEAT_NAMES + CELL * (index + 0.5) - 1, 14, name, { "text-anchor": "middle" })),
    rows.map((row, index) => [text(HEAT_NAMES - 8, HEAT_TOP + CELL_HIGH * index + 14, row.name, { "text-anchor": "end" }),
      row.values.map((value, column) => cell(value, HEAT_NAMES + CELL * column, HEAT_TOP + CELL_HIGH * index))]));
}

/* ---- the walk in the plane ---- */

const PLANE = { width: 360, height: 300, left: 58, right: 14, top: 12, bottom: 44 };
const EDGE = 32, LINE = 16; // what a label takes

/** The paper's Figure 1: walk: [{alpha, clean, robust, chosen}], robust accuracy across, clean accuracy up. */
export function planeDrawing(walk, tolerance) {
  const { width, height, left, right, top, bottom } = PLANE;
  if (!walk.length) return drawing(width, height, "Nothing is measured yet");
  const floor = walk[0].robust - tolerance;
  const range = (values) => {
    const low = Math.min(...values), high = Math.max(...values), room = (high - low) * 0.08 || 0.005;
    return [low - room, high + room];
  };
  const [x0, x1] = range([...walk.map((one) => one.robust), floor]), [y0, y1] = range(walk.map((one) => one.clean));
  const toX = (value) => left + (value - x0) / (x1 - x0) * (width - left - right), toY = (value) => height - bottom - (value - y0) / (y1 - y0) * (height - top - bottom);
  const label = (value) => `${Number((100 * value).toPrecision(4))}`;
  const named = walk.filter((one, index) => index === 0 || index === walk.length - 1); // its ends
  const points = walk.map((one) => `${toX(one.robust).toFixed(1)} ${toY(one.clean).toFixed(1)}`);
  return drawing(width, height, "Clean against robust accuracy along the walk",
    shape("rect", { x: toX(floor), y: top, width: Math.max(0, width - right - toX(floor)), height: height - top - bottom, class: "band" }),
    ticks(x0, x1, 5).map((value) => [shape("line", { x1: toX(value), x2: toX(value), y1: top, y2: height - bottom, class: "gridline" }),
      text(toX(value), height - bottom + 16, label(value), { "text-anchor": "middle" })]),
    ticks(y0, y1, 5).map((value) => [shape("line", { x1: left, x2: width - right, y1: toY(value), y2: toY(value), class: "gridline" }),
      text(left - 8, toY(value) + 4, label(value), { "text-anchor": "end" })]),
    shape("path", { d: `M${points.join("L")}`, class: "stroke s3", "stroke-width": 1.75 }),
    walk.map((one) => shape("circle", { cx: toX(one.robust), cy: toY(one.clean), r: 3, class: "fill s3" })),
    named.map((one, index) => {
      const atEdge = toX(one.robust) > width - right - EDGE, close = index > 0 && Math.abs(toX(one.robust) - toX(named[0].robust)) < EDGE && Math.abs(toY(one.clean) - toY(named[0].clean)) < 2 * LINE;
      return text(toX(one.robust) + (atEdge ? -9 : 9), toY(one.clean) + (close ? LINE : -6), `α ${one.alpha}`, { "text-anchor": atEdge ? "end" : "start" });
    }),
    walk.filter((one) => one.chosen).map((one) => shape("circle", { cx: toX(one.robust), cy: toY(one.clean), r: 7, class: "mark" })),
    text((left + width - right) / 2, height - 8, "robust accuracy, %", { "text-anchor": "middle" }),
    shape("text", { transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "clean accuracy, %"));
}

