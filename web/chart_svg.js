/* What does a chart look like that leaves the page, or that nothing moves in?
 *
 * The same lines, bands and marks as chart.js, as one SVG with axes and legend. */
import { drawing, dashes, seriesClass, shape } from "./svg.js";

const WIDTH = 720, HEIGHT = 360;
const LEFT = 64, RIGHT = 16, TOP = 56, BOTTOM = 48;

/** Round numbers that divide low..high into about `count` parts. */
export function ticks(low, high, count = 6) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= raw) || 10 * power;
  const list = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) list.push(Number(at.toPrecision(12)));
  return list;
}

function logTicks(low, high) {
  const list = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high) + 1e-9; power++) list.push(10 ** power);
  return list.length > 1 ? list : [low, high];
}

function extent(values, { percent, log }) {
  const known = values.filter((value) => typeof value === "number" && Number.isFinite(value) && (!log || value > 0));
  if (!known.length) return log ? [0.1, 1] : [0, 1];
  const low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b));
  if (log) return [low / 1.1, high * 1.1];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 0.5;
  return percent ? [Math.max(0, low - room), Math.min(1, high + room)] : [low - room, high + room];
}

const label = ({ percent }, value) => (percent ? `${Number((100 * value).toPrecision(4))} %` : Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3)
  ? Number(value.toPrecision(3)).toExponential().replace("e+", "e") : String(Number(value.toPrecision(5))));

/* "M..L.." of the points that are there; gaps where one isn't. */
function path(xs, ys, toX, toY) {
  let pen = "M", text = "";
  xs.forEach((x, index) => {
    const at = typeof ys[index] === "number" ? [toX(x), toY(ys[index])] : [NaN];
    if (!at.every(Number.isFinite)) pen = "M";
    else {
      text += `${pen}${at[0].toFixed(1)} ${at[1].toFixed(1)}`;
      pen = "L";
    }
  });
  return text;
}

/** The chart as one <svg>; arguments as of lineChart, `zoom` [from, to] in x. */
export function draw({ title, x, y, series, bands = [], marks = [], zoom = null }) {
  const within = (at) => !zoom || (at >= zoom[0] && at <= zoom[1]);
  const shown = series.map((one) => {
    const keep = one.x.map((at, index) => index).filter((index) => within(one.x[index]));
    const part = (list) => list && keep.map((index) => list[index]);
    return { ...one, x: part(one.x), y: part(one.y), low: part(one.low), high: part(one.high) };
  });
  const xs = shown.flatMap((one) => one.x);
  const [x0, x1] = zoom || (xs.length ? [xs.reduce((a, b) => Math.min(a, b)), xs.reduce((a, b) => Math.max(a, b))] : [0, 1]);
  const [y0, y1] = extent(shown.flatMap((one) => [...one.y, ...(one.low || []), ...(one.high || [])]).concat(bands.flatMap((band) => [band.from, band.to])), y);
  const line = (log) => (log ? Math.log10 : Number);
  const scale = (from, to, a, b, f) => (value) => a + (f(value) - f(from)) / (f(to) - f(from) || 1) * (b - a);
  const toX = scale(x0, x1, LEFT, WIDTH - RIGHT, line(x.log)), toY = scale(y0, y1, HEIGHT - BOTTOM, TOP, line(y.log));
  const text = (at, down, words, anchor, extra = {}) => shape("text", { x: at, y: down, "text-anchor": anchor, ...extra }, words);
  const grid = [
    ...(y.log ? logTicks(y0, y1) : ticks(y0, y1)).flatMap((value) => [shape("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: toY(value), y2: toY(value), class: "gridline" }),
      text(LEFT - 8, toY(value) + 4, label(y, value), "end")]),
    ...(x.log ? logTicks(x0, x1) : ticks(x0, x1, 8)).flatMap((value) => [shape("line", { x1: toX(value), x2: toX(value), y1: TOP, y2: HEIGHT - BOTTOM, class: "gridline" }),
      text(toX(value), HEIGHT - BOTTOM + 18, label(x, value), "middle")]),
  ];
  const lines = shown.flatMap((one, index) => [
    one.low && shape("path", { d: `${path(one.x, one.high, toX, toY)}${path([...one.x].reverse(), [...one.low].reverse(), toX, toY).replace(/^M/, "L")}Z`, class: `fill ${seriesClass(index)}`, "fill-opacity": 0.18 }),
    shape("path", { d: path(one.x, one.y, toX, toY), class: `stroke ${seriesClass(index)}`, "stroke-width": 1.75, "stroke-dasharray": dashes(index) || null })]);
  let across = LEFT;
  const legend = series.flatMap((one, index) => {
    const at = across;
    across += 40 + one.name.length * 7;
    return [shape("line", { x1: at, x2: at + 24, y1: 40, y2: 40, class: `stroke ${seriesClass(index)}`, "stroke-width": 2, "stroke-dasharray": dashes(index) || null }), text(at + 30, 44, one.name, "start")];
  });
  const clamp = (at) => Math.max(TOP, Math.min(HEIGHT - BOTTOM, at));
  return drawing(WIDTH, HEIGHT, title,
    text(LEFT, 20, title, "start", { "font-weight": 600 }), grid,
    bands.map((band) => shape("rect", { x: LEFT, width: WIDTH - RIGHT - LEFT, y: clamp(toY(band.to)), height: Math.max(0, clamp(toY(band.from)) - clamp(toY(band.to))), class: "band" })),
    lines,
    marks.filter((mark) => within(mark.x)).flatMap((mark) => [typeof mark.y === "number"
      ? shape("circle", { cx: toX(mark.x), cy: toY(mark.y), r: 6, class: "mark" })
      : shape("line", { x1: toX(mark.x), x2: toX(mark.x), y1: TOP, y2: HEIGHT - BOTTOM, class: "mark", "stroke-dasharray": "4 4" }),
    mark.label && text(toX(mark.x) + (toX(mark.x) > WIDTH * 0.8 ? -8 : 8), TOP + 14, mark.label, toX(mark.x) > WIDTH * 0.8 ? "end" : "start")]),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x.label || "", "middle"),
    shape("text", { transform: `translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label || ""), legend);
}
