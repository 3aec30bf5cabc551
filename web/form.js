/* How does a row of the field table become something to fill in?
 *
 * One control a row, chosen by the row's type; sections by the first word of the
 * pointer. The form writes into a spec and is brought up to date from it, so
 * that the JSON beside it may be edited as well. Rows that another choice makes
 * meaningless (PGD has no queries) are hidden until something is said there. */
import { make } from "./dom.js";
import { textOf, textRead, valueAt, valuePut } from "./spec.js";
import { weightsOptions } from "./weights.js";

/* Where fields of the first level belong, and what a section is called. */
const GENERAL = ["label", "seed", "protocol", "device", "priority", "after", "memory", "time_limit_s"];
const SECTIONS = [["general", "Job"], ["dataset", "Data"], ["model", "Model"], ["train", "Training"], ["optimizer", "Optimizer"],
  ["attack", "Attack"], ["mrc", "Criticality (MRC)"], ["finetune", "Fine-tuning"], ["interpolate", "Interpolation"], ["evaluate", "Evaluation"],
  ["corrupt", "Corruptions"], ["inspect", "What is shown"], ["sweep", "Sweep"], ["computation", "Computation"]];
const OPEN = new Set(["general", "dataset", "model", "sweep"]);
const WITH_MEMBERS = SECTIONS.map(([name]) => name).filter((name) => name !== "general" && name !== "computation");

const sectionOf = (pointer) => {
  const [name] = pointer.split("/").slice(1);
  return WITH_MEMBERS.includes(name) ? name : GENERAL.includes(name) ? "general" : "computation";
};
const idOf = (pointer) => `f${pointer.replaceAll("/", "-")}`;
/* "/train/evaluate_every" -> "Evaluate every", and the unit that a name ends with stands beside it. */
function words(pointer) {
  const names = pointer.split("/").slice(1), short = (WITH_MEMBERS.includes(names[0]) && names.length > 1 ? names.slice(1) : names).join(" ").replaceAll("_", " ").replace(/ s$/, "");
  return short[0].toUpperCase() + short.slice(1);
}
const NO_UNIT = new Set(["characters", "threads"]);
const isWhole = (row) => row.type === "object" || row.type === "attack";
/* The object that may be missing as a whole, with its required members. */
const ownerOf = (row, rows) => rows.find((other) => isWhole(other) && row.pointer.startsWith(`${other.pointer}/`));
const defaultWords = (row) => (row.default === null || row.default === undefined ? "" : textOf(row, row.default));

/* ---- which rows mean something now ---- */

const METHOD_PARTS = ["trades", "mart", "awp", "score"];

/** "apgd-t, fab-t: how many ..." belongs to those types only. */
function meant(row, rows, spec) {
  if (valueAt(spec, row.pointer) !== undefined) return true;
  const now = (pointer) => valueAt(spec, pointer) ?? rows.find((one) => one.pointer === pointer)?.default;
  const only = /^([a-z-]+(?:, [a-z-]+)*): /.exec(row.meaning);
  if (row.pointer.startsWith("/attack/") && only) {
    const type = String(now("/attack/type"));
    return only[1].split(", ").some((word) => type.startsWith(word)) || type === "autoattack";
  }
  const wide = now("/model/arch") === "wideresnet";
  if (["/model/depth", "/model/widen_factor"].includes(row.pointer)) return wide;
  if (row.pointer === "/model/width") return !wide;
  if (["/dataset/format", "/dataset/path", "/dataset/test_path"].includes(row.pointer)) return !now("/dataset/name");
  const [, above, part] = row.pointer.split("/");
  if (above === "train" && METHOD_PARTS.includes(part) && row.pointer.split("/").length > 3 && !spec.sweep?.methods) {
    const method = now("/train/method");
    return method === part || (part === "trades" && ["awp", "score"].includes(method) && now(`/train/${method}/base`) === "trades");
  }
  return true;
}

/* ---- controls ---- */

const choose = (row, attributes) => make("select", attributes,
  make("option", { value: "" }, row.default === null || row.default === undefined ? (row.required ? "choose" : "not set") : `${defaultWords(row)} (default)`),
  (row.type === "bool" ? ["true", "false"] : row.values).map((value) => make("option", { value }, value)));

/* A reference: where from, and which one there. It reads and writes as one control. */
function reference(row, attributes, there) {
  const from = make("select", { "aria-label": `${words(row.pointer)}: where from` },
    [["", row.required ? "choose" : "none"], ["there", "a model or job"], ["path", "a path"]].map(([value, text]) => make("option", { value }, text)));
  const pick = make("select", { ...attributes }, make("option", { value: "" }, "choose"), weightsOptions(row.pointer === "/finetune/mrc_job" ? { models: [], jobs: there.mrc } : there));
  const path = make("input", { "aria-label": `${words(row.pointer)}: path`, placeholder: "/absolute/path.safetensors", hidden: true });
  const box = make("div", { class: "reference" }, from, pick, path);
  let extra = {}; // what a reference says beside the id: which artifact
  const show = () => {
    pick.hidden = from.value === "path";
    pick.disabled = from.value !== "there";
    path.hidden = from.value !== "path";
  };
  from.addEventListener("change", show);
  return { box, input: pick,
    read: () => (from.value === "there" ? (pick.value ? { value: { ...extra, [pick.value.split(":")[0]]: pick.value.split(":")[1] } } : { value: undefined })
      : from.value === "path" ? { value: path.value || undefined } : { value: undefined }),
    write(value) {
      extra = value?.artifact ? { artifact: value.artifact } : {};
      const key = value?.job ? `job:${value.job}` : value?.model ? `model:${value.model}` : "";
      if (key && ![...pick.querySelectorAll("option")].some((option) => option.value === key)) pick.append(make("option", { value: key }, key.replace(":", " ")));
      from.value = typeof value === "string" ? "path" : key ? "there" : "";
      pick.value = key;
      path.value = typeof value === "string" ? value : "";
      show();
    } };
}
function plain(row, input) {
  return { box: input, input, read: () => textRead(row, input.value), write: (value) => { input.value = textOf(row, value); } };
}

function control(row, attributes, there) {
  if (row.type === "weights") return reference(row, attributes, there);
  if (row.pointer === "/dataset/name") return plain(row, make("select", attributes, make("option", { value: "" }, "–"), there.datasets.map((set) => make("option", { value: set.name }, set.name))));
  if (row.type === "enum" || row.type === "bool") return plain(row, choose(row, attributes));
  if (row.type === "job") return plain(row, make("select", attributes, make("option", { value: "" }, "none"), there.corrupt.map((job) => make("option", { value: job.id }, job.label || job.id.slice(0, 13)))));
  const numeric = row.type === "int" || row.type === "real";
  return plain(row, make("input", { ...attributes, placeholder: defaultWords(row) || (row.required ? "" : "not set"), inputmode: numeric ? "decimal" : null, autocomplete: "off", spellcheck: "false" }));
}

const UNLIMITED = new Set(["string", "weights", "modules", "modules-list", "string-list", "string-lists", "after", "attack-list"]);
const limits = (row) => (row.values && row.type !== "enum" ? row.values.join(", ") : row.min === null || UNLIMITED.has(row.type) || row.max > 1e9 ? null : `${row.min} to ${row.max}`);

/* ---- the form ---- */

/**
 * The form of one kind's rows. `spec()` is what it writes into; `changed()` is called after each change.
 * there: {datasets, models, jobs, mrc, corrupt}.
 * @returns {{box: HTMLElement, fill: function, tell: function}}
 */
export function formMake(rows, there, spec, changed) {
  const fields = new Map(), sections = new Map(), unread = new Map(); // unread: pointer -> why its text means nothing
  const one = (row) => {
    const id = idOf(row.pointer), error = make("p", { class: "field-error", id: `${id}-error` });
    const made = control(row, { id, "aria-describedby": `${id}-error ${id}-help` }, there);
    const box = make("div", { class: "field form-field" },
      make("label", { for: id }, words(row.pointer), row.required && !ownerOf(row, rows) && make("span", { class: "bad" }, " *"), row.unit && !NO_UNIT.has(row.unit) && make("span", { class: "unit" }, row.unit)),
      made.box, error, make("p", { class: "hint faint", id: `${id}-help` }, row.meaning, limits(row) && make("span", { class: "limits" }, ` ${limits(row)}.`)));
    box.addEventListener("input", () => {
      const read = made.read();
      read.error ? unread.set(row.pointer, read.error) : unread.delete(row.pointer);
      if (!read.error) valuePut(spec(), row.pointer, read.value);
      changed(row.pointer);
    });
    fields.set(row.pointer, { ...made, row, box, error });
    return box;
  };
  /* An object that may be null as a whole: a box to tick. */
  const whole = (row) => {
    const id = idOf(row.pointer), input = make("input", { type: "checkbox", id });
    const box = make("div", { class: "field form-field whole" }, make("label", { for: id }, input, ` No ${words(row.pointer).toLowerCase()}`), make("p", { class: "hint faint" }, row.meaning));
    input.addEventListener("change", () => {
      valuePut(spec(), row.pointer, input.checked ? null : undefined);
      fill();
      changed(row.pointer);
    });
    fields.set(row.pointer, { row, box, error: make("p"), input, whole: true, read: () => ({}), write: (value) => { input.checked = value === null; } });
    return box;
  };
  for (const [name, title] of SECTIONS) {
    const mine = rows.filter((row) => row.pointer !== "/kind" && sectionOf(row.pointer) === name);
    if (name === "general") mine.sort((one, other) => GENERAL.indexOf(one.pointer.slice(1)) - GENERAL.indexOf(other.pointer.slice(1)));
    if (!mine.length) continue;
    const note = make("span", { class: "faint" });
    const box = make("details", { class: "card fold", open: OPEN.has(name) || name === spec().kind || mine.some((row) => row.required && !ownerOf(row, rows)) }, make("summary", {}, make("h2", {}, title), note), make("div", { class: "form-grid" },
      mine.map((row) => (isWhole(row) ? (row.nullable && row.default !== null && whole(row)) : one(row)))));
    sections.set(name, { box, note, rows: mine, error: make("p", { class: "field-error" }) });
    box.firstChild.after(sections.get(name).error);
  }
  const notes = () => {
    for (const { note, rows: mine } of sections.values()) {
      const said = mine.filter((row) => !isWhole(row) && valueAt(spec(), row.pointer) !== undefined).length;
      note.textContent = said ? `${said} set` : "";
    }
    for (const { row, box } of fields.values()) {
      const above = ownerOf(row, rows);
      box.hidden = (above && valueAt(spec(), above.pointer) === null) || !meant(row, rows, spec());
    }
  };
  function fill() {
    unread.clear();
    for (const field of fields.values()) field.write(valueAt(spec(), field.row.pointer));
    notes();
  }
  /* Show what is wrong where it is; returns what has no place here. */
  function tell(errors) {
    const at = new Map();
    for (const error of [...[...unread].map(([pointer, message]) => ({ pointer, message })), ...errors]) {
      const pointer = [error.pointer, error.pointer.replace(/\/\d+(\/.*)?$/, ""), error.pointer.replace(/\/[^/]*$/, "")].find((one) => fields.has(one) && !fields.get(one).whole);
      at.set(pointer || error.pointer, [...(at.get(pointer || error.pointer) || []), error]);
    }
    for (const [pointer, { error, input, box }] of fields) {
      const told = at.get(pointer);
      error.textContent = told ? told.map((one) => one.message).join("; ") : "";
      input.setAttribute("aria-invalid", told ? "true" : "false");
      if (told) box.closest("details").open = true;
    }
    const homeless = [];
    for (const section of sections.values()) section.error.textContent = "";
    for (const [pointer, told] of at) {
      const section = sections.get(pointer.slice(1));
      if (fields.has(pointer) && !fields.get(pointer).whole) continue;
      if (section) section.error.textContent = told.map((one) => one.message).join("; ");
      else homeless.push(...told);
    }
    return homeless;
  }
  const box = make("form", { class: "page job-form", novalidate: true }, [...sections.values()].map((section) => section.box));
  box.addEventListener("submit", (event) => event.preventDefault());
  fill();
  return { box, fill, tell, notes, unread };
}
