/* What does a picture consist of that needs no chart library?
 *
 * SVG by attributes and classes, so that the policy against inline styles holds
 * and colours follow the theme. For leaving the page, exported() writes the
 * computed colours into a copy. */
import { make } from "./dom.js";

const NS = "http://www.w3.org/2000/svg";

/** An SVG element; attributes that are null are left out. */
export function shape(name, attributes = {}, ...children) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) element.setAttribute(key, value);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A drawing of width x height units that scales with its box; `title` is read aloud. */
export const drawing = (width, height, title, ...children) => shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height,
  role: "img", "aria-label": title }, ...children);

/** The dash pattern of the n-th series, "" for the first: colour is never all that tells them apart. */
export const dashes = (index) => ["", "6 3", "2 3", "8 3 2 3", "12 4", "4 2", "1 4", "10 2 2 2"][index % 8];
export const seriesClass = (index) => `s${index % 8 + 1}`;

/** A line of the series' colour and dash for legends. */
export const sample = (index) => shape("svg", { width: 24, height: 8, "aria-hidden": "true" },
  shape("line", { x1: 1, x2: 23, y1: 4, y2: 4, class: `stroke ${seriesClass(index)}`, "stroke-width": 2, "stroke-dasharray": dashes(index) || null }));

/**
 * One horizontal bar for a row of a table: value between 0 and most.
 * `whiskers`: [low, high] of an error bar. `series` chooses the colour.
 */
export function barCell(value, most, { width = 160, height = 12, series = 0, whiskers = null, chosen = false } = {}) {
  const x = (number) => Math.max(0, Math.min(1, number / most)) * (width - 2);
  const known = typeof value === "number" && most > 0;
  return shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", class: `bar-cell ${seriesClass(series)}${chosen ? " chosen" : ""}` },
    known && shape("rect", { x: 0, y: 1, width: Math.max(1, x(value)), height: height - 2, rx: 2, class: "fill" }),
    known && whiskers && shape("path", { d: `M${x(whiskers[0])} ${height / 2}H${x(whiskers[1])}M${x(whiskers[0])} 3V${height - 3}M${x(whiskers[1])} 3V${height - 3}`, class: "axis" }));
}

/* ---- leaving the page ---- */

const PAINTED = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity", "font-size", "font-family",
  "font-weight", "text-anchor", "dominant-baseline"];

/** The drawing as a document of its own: text of an SVG file, colours as they are on the page. */
export function exported(svg) {
  const away = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [away, ...away.querySelectorAll("*")];
  from.forEach((element, index) => {
    const style = getComputedStyle(element);
    if (element instanceof SVGGraphicsElement) for (const name of PAINTED) to[index].setAttribute(name, style.getPropertyValue(name));
    to[index].removeAttribute("class");
  });
  const [, , width, height] = (svg.getAttribute("viewBox") || "0 0 600 300").split(" ").map(Number);
  away.prepend(shape("rect", { width, height, fill: getComputedStyle(document.documentElement).getPropertyValue("--raised").trim() }));
  away.setAttribute("xmlns", NS);
  away.setAttribute("width", width);
  away.setAttribute("height", height);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(away)}\n`;
}

/** Hand a file to the reader. */
export function download(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const anchor = make("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** An SVG file's text as a PNG of twice its size. */
export async function rasterized(text, width, height, scale = 2) {
  const image = new Image(width * scale, height * scale);
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = make("canvas", { width: width * scale, height: height * scale });
  canvas.getContext("2d").drawImage(image, 0, 0, width * scale, height * scale);
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("the picture is too large"))), "image/png"));
}

const fileName = (title) => title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "chart";

/** Two buttons that save what `svg()` gives as SVG and as PNG. */
export function saveButtons(title, svg) {
  const save = (type, act) => make("button", { type: "button", class: "quiet", "aria-label": `Save ${title} as ${type}`, onclick: act }, type);
  const boxed = (drawn) => drawn.getAttribute("viewBox").split(" ").slice(2).map(Number);
  /* Colours are computed only of what is in the document. */
  const within = async (use) => {
    const drawn = svg(), mine = !drawn.isConnected;
    if (mine) document.body.append(make("div", { class: "unseen", "aria-hidden": "true" }, drawn));
    const text = exported(drawn), size = boxed(drawn);
    if (mine) drawn.parentNode.remove();
    await use(text, ...size);
  };
  return [save("SVG", () => within((text) => download(`${fileName(title)}.svg`, text, "image/svg+xml"))),
    save("PNG", () => within(async (text, width, height) => download(`${fileName(title)}.png`, await rasterized(text, width, height))))];
}

/* ---- graphs ---- */

const NODE_WIDTH = 172, NODE_HEIGHT = 44, GAP_X = 24, GAP_Y = 14;
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/**
 * Boxes in columns with lines from left to right.
 * @param {{title: string, nodes: Array<{id, column, title, words, state, href, here?}>, edges: Array<[string, string, string]>}} what
 */
export function graph({ title, nodes, edges }) {
  const rows = new Map(), places = new Map();
  for (const node of nodes) {
    const row = rows.get(node.column) || 0;
    rows.set(node.column, row + 1);
    places.set(node.id, { x: 1 + node.column * (NODE_WIDTH + GAP_X), y: 1 + row * (NODE_HEIGHT + GAP_Y) });
  }
  const width = Math.max(...[...places.values()].map(({ x }) => x)) + NODE_WIDTH + 1, height = Math.max(...[...places.values()].map(({ y }) => y)) + NODE_HEIGHT + GAP_Y / 2 + 1;
  const lines = edges.filter(([from, to]) => places.has(from) && places.has(to)).map(([from, to, words]) => {
    const a = places.get(from), b = places.get(to), x0 = a.x + NODE_WIDTH, y0 = a.y + NODE_HEIGHT / 2, x1 = b.x, y1 = b.y + NODE_HEIGHT / 2, half = GAP_X / 2;
    const lane = x1 - x0 > GAP_X ? Math.min(a.y, b.y) + NODE_HEIGHT + GAP_Y / 2 : null; // past boxes: between two rows, not behind them
    const d = lane === null ? `M${x0} ${y0}C${x0 + half} ${y0} ${x1 - half} ${y1} ${x1 - 6} ${y1}`
      : `M${x0} ${y0}C${x0 + half} ${y0} ${x0 + half} ${lane} ${x0 + GAP_X} ${lane}H${x1 - GAP_X}C${x1 - half} ${lane} ${x1 - half} ${y1} ${x1 - 6} ${y1}`;
    return [shape("path", { d, class: "edge" }),
      shape("path", { d: `M${x1 - 7} ${y1 - 4}L${x1} ${y1}L${x1 - 7} ${y1 + 4}Z`, class: "edge-head" }),
      words && shape("text", { x: (x0 + x1) / 2, y: (y0 + y1) / 2 - 4, "text-anchor": "middle" }, words)];
  });
  const boxes = nodes.map((node) => {
    const { x, y } = places.get(node.id);
    return shape("a", { href: node.href, class: `node${node.here ? " here" : ""}`, "data-state": node.state || null },
      shape("rect", { x, y, width: NODE_WIDTH, height: NODE_HEIGHT, rx: 6 }),
      shape("circle", { cx: x + 14, cy: y + 15, r: 4, class: "dot" }),
      shape("text", { x: x + 24, y: y + 19, class: "node-title" }, `${cut(node.title, 12)} `, shape("tspan", { class: "node-state" }, `${node.state || ""} `)),
      shape("text", { x: x + 10, y: y + 36 }, cut(node.words, 24)));
  });
  const drawn = drawing(width, height, title, lines, boxes);
  drawn.setAttribute("role", "group"); // it has links
  return drawn;
}
