/* How is what an inspect job found shown?
 *
 * The job left sheets of many images and a file, inspect.json, that says which
 * image stands where. One cell of a sheet is an SVG whose view box is that cell:
 * no inline style, no canvas, and the words beside it are text. */
import { card, copy, count, empty, make, percent, renew, table } from "./dom.js";
import { className } from "./known.js";
import { barCell, shape } from "./svg.js";

const SAMPLE = 44, VARIANT = 48, ATTACKED = 88;
const MANY_CLASSES = 40;

/** One cell of a sheet as a picture of `size` pixels. */
export function cellPicture(base, sheet, row, column, alt, size) {
  const step = sheet.cell + sheet.gap;
  return shape("svg", { class: "cell-picture", role: "img", "aria-label": alt, width: size, height: size,
    viewBox: `${sheet.gap + column * step} ${sheet.gap + row * step} ${sheet.cell} ${sheet.cell}` },
  shape("image", { href: base + sheet.file, width: sheet.gap + sheet.columns * step, height: sheet.gap + sheet.rows * step }));
}

/** Where the files of a job lie. */
export const filesOf = (job) => `v1/jobs/${job.id}/artifacts/`;

/** One image of each class, side by side. */
export function strip(set, base, found, most = 10) {
  const first = (found.samples?.cells || []).filter((cell) => cell.column === 0).sort((a, b) => a.row - b.row).slice(0, most);
  return make("div", { class: "strip" }, first.map((cell) => cellPicture(base, found.samples, cell.row, 0,
    `a sample of ${className(set, found, cell.label)}`, 40)));
}

/* ---- numbers ---- */

const channels = (values) => values.map((value) => value.toFixed(4)).join(", ") || "–";

function splitsCard(found) {
  const rows = Object.entries(found.splits).map(([name, split]) => ({ name, ...split }));
  const from = rows.find((row) => row.name === "train") || rows[0];
  const normalize = from?.mean.length ? JSON.stringify({ mean: from.mean.map((v) => Number(v.toFixed(4))), std: from.std.map((v) => Number(v.toFixed(4))) }) : null;
  return card("Numbers", table({
    caption: "Images, mean and standard deviation of each split", rows, key: (row) => row.name,
    columns: [
      { title: "Split", show: (row) => row.name },
      { title: "Images", number: true, show: (row) => count(row.images) },
      { title: "Read", number: true, show: (row) => count(row.measured) },
      { title: "Mean", number: true, class: "wrap-number", show: (row) => channels(row.mean) },
      { title: "Deviation", number: true, class: "wrap-number", show: (row) => channels(row.std) },
    ],
  }), normalize && make("p", { class: "row after-table" }, make("span", { class: "faint" }, "As ", make("code", {}, "model.normalize"), ": ",
    make("code", {}, normalize)), copy("Copy", normalize)));
}

function histogramCard(set, found) {
  const names = Object.keys(found.splits), sums = Array.from({ length: found.classes }, (_, k) => k);
  const most = Math.max(1, ...names.flatMap((name) => found.splits[name].histogram));
  const spread = names.map((name) => {
    const histogram = found.splits[name].histogram, low = Math.min(...histogram), high = Math.max(...histogram);
    return `${name} ${low === high ? count(low) : `${count(low)} to ${count(high)}`}`;
  });
  return card("Images of each class", make("p", { class: "faint" }, `${spread.join(", ")} a class.`),
    make("div", { class: found.classes > MANY_CLASSES / 2 ? "tall" : null }, table({
      caption: "Images of each class and split", rows: sums, key: (label) => label,
      columns: [{ title: "Class", sort: (label) => label, show: (label) => [make("span", { class: "faint mono" }, `${label} `), className(set, found, label)] },
        ...names.map((name, index) => ({ title: name, number: true, sort: (label) => found.splits[name].histogram[label],
          show: (label) => make("span", { class: "bar-number" }, barCell(found.splits[name].histogram[label], most, { width: 48, series: index }),
            make("span", {}, count(found.splits[name].histogram[label]))) }))],
    })));
}

/* ---- pictures ---- */

function samplesCard(set, base, found) {
  const { samples } = found;
  const rows = new Map();
  for (const cell of samples.cells) rows.set(cell.row, [...(rows.get(cell.row) || []), cell]);
  return card("Samples", make("p", { class: "faint" }, `The first ${samples.columns} of each class in the ${samples.split} images`,
    found.classes > samples.rows ? `, of the first ${samples.rows} of ${found.classes} classes.` : "."),
  make("div", { class: "samples" }, [...rows.entries()].sort((a, b) => a[0] - b[0]).map(([row, cells]) => make("figure", {},
    make("figcaption", {}, className(set, found, cells[0].label)),
    make("div", { class: "strip" }, cells.map((cell) => {
      const picture = cellPicture(base, samples, row, cell.column, `${className(set, found, cell.label)}, ${samples.split} image ${cell.index}`, SAMPLE);
      picture.append(shape("title", {}, `${samples.split} image ${cell.index}`));
      return picture;
    }))))), saveLink(base, samples));
}

const saveLink = (base, sheet) => make("p", { class: "row end after-table" }, make("a", { class: "button quiet", href: base + sheet.file, download: sheet.file }, "Save the sheet"));

function corruptionsCard(set, base, found) {
  const sheet = found.corruptions, steps = 1 + sheet.severities.length, box = make("div");
  const rowsAll = sheet.names.map((name, row) => ({ name, row })), middle = Math.ceil(rowsAll.length / 2);
  const halves = [rowsAll.slice(0, middle), rowsAll.slice(middle)].filter((rows) => rows.length);
  let shown = 0;
  const nameOf = (image) => `${className(set, found, image.label)}, ${sheet.split} image ${image.index}`;
  const draw = () => renew(box,
    make("div", { class: "chooser", role: "group", "aria-label": "Which image" }, sheet.images.map((image, index) => make("button", {
      type: "button", "aria-pressed": String(index === shown), title: nameOf(image), onclick: () => {
        shown = index;
        draw();
      } }, cellPicture(base, sheet, 0, index * steps, nameOf(image), 48)))),
    make("div", { class: "variants" }, halves.map((rows, half) => table({
      caption: `${nameOf(sheet.images[shown])} in each corruption and severity, part ${half + 1}`, rows, key: ({ name }) => name,
      columns: [{ title: "Corruption", show: ({ name }) => [name.replaceAll("_", " "), sheet.unlike.includes(name) && make("div", { class: "bad" }, "other images")] },
        { title: "0", show: ({ name, row }) => cellPicture(base, sheet, row, shown * steps, `as it is, beside ${name}`, VARIANT) },
        ...sheet.severities.map((severity, index) => ({ title: String(severity), show: ({ name, row }) => cellPicture(base, sheet, row, shown * steps + 1 + index,
          `${name.replaceAll("_", " ")}, severity ${severity}`, VARIANT) }))],
    }))));
  draw();
  return card("Corrupted variants", make("p", { class: "faint" }, sheet.source === "read" ? "Copies that were there already." : `Made with seed ${found.seed} and the published numbers for ${sheet.parameters === "tiny" ? 64 : 32} pixels.`,
    " Columns are severities; 0 is the image as it is.", sheet.names.includes("frost") && sheet.source === "made" ? " Frost is like the published one, which has photographs." : ""),
  box, saveLink(base, sheet));
}

const guess = (set, found, told, label) => make("span", { class: told.class === label ? "good" : "bad" },
  `${className(set, found, told.class)} (${percent(told.probability, 0).replace(" ", "\u00a0")})`);

function adversarialCard(set, base, found) {
  const sheet = found.adversarial, all = sheet.images.length;
  const size = Math.round(sheet.epsilon * 255 * 100) / 100;
  const column = (image, row, at, words, below) => make("figure", {}, cellPicture(base, sheet, row, at, `${words} of ${sheet.split} image ${image.index}, ${className(set, found, image.label)}`, ATTACKED),
    make("figcaption", {}, make("span", { class: "faint" }, words), below));
  return card("Adversarial examples", make("p", { class: "faint" }, `${sheet.attack} within ${size}/255 of each pixel. Right before: ${sheet.right_before} of ${all}, after: ${sheet.right_after} of ${all}. `
    + `The third picture is what was changed, magnified ${sheet.factor} times; gray is unchanged.`),
  make("div", { class: "attacked" }, sheet.images.map((image, row) => make("article", {},
    make("h3", {}, className(set, found, image.label), make("span", { class: "faint" }, ` ${sheet.split} image ${image.index}`)),
    make("div", { class: "triple" },
      column(image, row, 0, "image", guess(set, found, image.before, image.label)),
      column(image, row, 1, "attacked", guess(set, found, image.after, image.label)),
      column(image, row, 2, `change × ${sheet.factor}`, make("span", {}, `up to ${Math.round(image.largest_change * 255 * 10) / 10}/255`)))))), saveLink(base, sheet));
}

/** All that a look found; `set`: the data set. */
export function lookShow(set, job, found) {
  const base = filesOf(job);
  return [
    make("div", { class: "grid numbers" }, splitsCard(found), histogramCard(set, found)),
    found.samples && samplesCard(set, base, found),
    found.corruptions && corruptionsCard(set, base, found),
    found.adversarial ? adversarialCard(set, base, found) : card("Adversarial examples", empty("This look had no model to attack.",
      "Choose one above, under What to show, and look again.")),
  ].filter(Boolean);
}

