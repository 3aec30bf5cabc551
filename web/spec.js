/* How does a spec look to a form?
 *
 * A spec holds only what somebody said; everything else has its default. The
 * field table (GET /v1/fields) says what may be said: this file reads values
 * from texts, checks them against their rows, and takes out of a job's whole
 * spec what is a default anyway. What needs several fields at once only riftd
 * judges, in a dry run. */

/** JSON for people: lists of plain values on one line. */
export const specText = (spec) => JSON.stringify(spec, null, 2).replace(/\[\n\s+([^[\]{}]*?)\n\s*\]/g, (all, inner) => `[${inner.replace(/\n\s*/g, " ")}]`);

const segments = (pointer) => pointer.split("/").slice(1);

/** The value at a pointer; undefined: nobody said. */
export const valueAt = (spec, pointer) => segments(pointer).reduce((value, name) => (value && typeof value === "object" ? value[name] : undefined), spec);

/** Put a value there; undefined takes it out, and objects that are empty then. */
export function valuePut(spec, pointer, value) {
  const names = segments(pointer), last = names.pop(), chain = [spec];
  for (const name of names) {
    let next = chain.at(-1)[name];
    if (next === null || typeof next !== "object") {
      if (value === undefined) return;
      next = chain.at(-1)[name] = {};
    }
    chain.push(next);
  }
  if (value !== undefined) {
    chain.at(-1)[last] = value;
    return;
  }
  delete chain.at(-1)[last];
  for (let i = chain.length - 1; i > 0 && !Object.keys(chain[i]).length; i--) delete chain[i - 1][names[i - 1]];
}

/* ---- texts ---- */

const LISTS = { "int-list": "int", "real-list": "real", "string-list": "string" };
const AS_JSON = new Set(["string-lists", "after", "attack-list", "modules-list"]);

function json(text) {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { error: "isn't JSON" };
  }
}

function number(text) {
  const value = Number(text);
  return text.trim() === "" || Number.isNaN(value) ? { error: `must be a number, is "${text}"` } : { value };
}

function list(kind, text) {
  const parts = text.split(/[\s,]+/).filter(Boolean);
  if (kind === "string") return { value: parts };
  const read = parts.map(number), wrong = read.find((one) => one.error);
  return wrong || { value: read.map((one) => one.value) };
}

function modules(text) {
  if (/^[[{]/.test(text)) return json(text);
  if (["lowest", "highest", "last", "all"].includes(text)) return { value: text };
  return { value: text.split(/[\s,]+/).filter(Boolean) };
}

/** What a text in a field means: {value} (undefined: nothing was said) or {error}. */
export function textRead(field, text) {
  const trimmed = text.trim();
  if (trimmed === "") return { value: undefined };
  if (trimmed === "null" && field.nullable) return { value: null };
  if (AS_JSON.has(field.type)) return json(trimmed);
  if (LISTS[field.type]) return /^\[/.test(trimmed) ? json(trimmed) : list(LISTS[field.type], trimmed);
  if (field.type === "modules") return modules(trimmed);
  if (field.type === "bool") return { value: trimmed === "true" };
  if (field.type === "int" || field.type === "real") return number(trimmed);
  if (field.type === "pixel" || field.type === "bytes") return /^[-\d.e+]+$/.test(trimmed) ? number(trimmed) : { value: trimmed };
  return { value: text };
}

/** And the text of a value. */
export function textOf(field, value) {
  if (value === undefined) return "";
  if (value === null) return field.type === "enum" || field.type === "bool" ? "" : "null";
  if (LISTS[field.type] && Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ");
  if (field.type === "modules" && Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/* ---- checks ---- */

const UNLIMITED = 2 ** 53;
const within = (field, value, what = "") => (field.min !== null && (value < field.min || value > field.max)
  ? `must be ${what}${field.max >= UNLIMITED ? `at least ${field.min}` : `from ${field.min} to ${field.max}`}, is ${value}` : null);
const length = (field, value) => (field.min !== null && ([...value].length < field.min || [...value].length > field.max)
  ? `must have ${field.min} to ${field.max} characters, has ${[...value].length}` : null);
const oneOf = (field, value) => (field.values.includes(value) ? null : `must be ${field.values.join(", ")}; is "${value}"`);
const first = (values, check) => values.map(check).find(Boolean) || null;

const CHECKS = {
  int: (field, value) => (Number.isInteger(value) ? within(field, value) : `must be a whole number, is ${value}`),
  real: (field, value) => (typeof value === "number" ? within(field, value) : `must be a number, is ${JSON.stringify(value)}`),
  pixel(field, value) {
    const [above, below = 1] = String(value).split("/").map(Number), size = above / below;
    return Number.isFinite(size) ? within(field, size) && `must be from ${field.min} to ${field.max} like 8/255 or 0.03, is ${value}` : `must be a number or a fraction like 8/255, is "${value}"`;
  },
  bytes: (field, value) => (typeof value === "number" || /^[\d.]+[KMGT]iB$/.test(value) ? null : `must be a whole number or like 4GiB, is "${value}"`),
  string: (field, value) => (typeof value === "string" ? length(field, value) : "must be a text"),
  enum: oneOf,
  bool: (field, value) => (typeof value === "boolean" ? null : "must be true or false"),
  "int-list": (field, value) => (Array.isArray(value) ? first(value, (one) => CHECKS.int(field, one)) : "must be a list of whole numbers"),
  "real-list": (field, value) => (Array.isArray(value) ? first(value, (one) => CHECKS.real(field, one)) : "must be a list of numbers"),
  "string-list": (field, value) => (Array.isArray(value) ? first(value, (one) => (field.values ? oneOf(field, one) : null)) : "must be a list of names"),
  "attack-list": (field, value) => (Array.isArray(value) ? null : "must be a list of attacks like [{\"type\": \"autoattack\"}]"),
  "string-lists": (field, value) => (Array.isArray(value) ? null : "must be a list of lists of names"),
  after: (field, value) => (Array.isArray(value) ? null : "must be a list like [{\"job\": ID}]"),
};

/** What is wrong with a value, as far as its row tells; null: nothing. */
export function valueCheck(field, value) {
  if (value === undefined) return field.required ? "is required" : null;
  if (value === null) return field.nullable ? null : "must not be null";
  return CHECKS[field.type]?.(field, value) ?? null;
}

/* ---- rows ---- */

/** The rows of a kind, in the table's order; an attack's rows only where the kind has one. */
export const rowsOf = (table, kind) => table.fields.filter((field) => field.kinds.includes(kind));

/** Every problem that the table alone can tell: [{pointer, message}]. */
export function specCheck(rows, spec) {
  const optional = rows.filter((row) => row.type === "object" || row.type === "attack").map((row) => row.pointer);
  return rows.filter((row) => row.type !== "object" && row.type !== "attack").map((row) => {
    const above = optional.find((pointer) => row.pointer.startsWith(`${pointer}/`));
    if (above && (valueAt(spec, above) === undefined || valueAt(spec, above) === null)) return null; // nothing is there that could lack it
    const message = valueCheck(row, valueAt(spec, row.pointer));
    return message && { pointer: row.pointer, message };
  }).filter(Boolean);
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/* What riftd fills in from other fields, so that a copy whose epochs are changed gets its own. */
function filledTaken(spec) {
  const schedules = [["/optimizer/schedule/milestones", "/train/epochs", (n) => [Math.floor((n * 100 + 55) / 110), Math.floor((n * 105 + 55) / 110)]],
    ["/optimizer/schedule/milestones", "/finetune/epochs", (n) => [Math.floor(n / 2)]],
    ["/finetune/optimizer/schedule/milestones", "/finetune/epochs", (n) => [Math.floor(n / 2)]]];
  for (const [at, epochs, make] of schedules) {
    const filled = make(valueAt(spec, epochs) || 0).filter((one, index, all) => one > 0 && one > (all[index - 1] || 0));
    if (valueAt(spec, at) && (same(valueAt(spec, at), filled) || !valueAt(spec, at).length)) valuePut(spec, at, undefined);
  }
  if (spec.evaluate?.attacks && same(spec.evaluate.attacks, [spec.attack])) valuePut(spec, "/evaluate/attacks", undefined);
  for (const attack of [spec.attack, ...(spec.evaluate?.attacks || [])])
    if (attack && (attack.name === attack.type || attack.name === `${attack.type}-${attack.steps}`)) delete attack.name;
  if (spec.attack && spec.attack.steps === (spec.attack.type === "pgd" ? 10 : 100)) delete spec.attack.steps;
}

/** A job's whole spec without what is a default anyway. */
export function specPruned(rows, whole) {
  const spec = structuredClone(whole);
  filledTaken(spec);
  for (const row of rows)
    if (row.pointer !== "/kind" && row.type !== "object" && row.type !== "attack" && same(valueAt(spec, row.pointer), row.default)) valuePut(spec, row.pointer, undefined);
  for (const row of rows)
    if (row.type === "object" && valueAt(spec, row.pointer) === null && row.default === null) valuePut(spec, row.pointer, undefined);
  return spec;
}
