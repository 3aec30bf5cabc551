/* What was the job told, and what of it is a default?
 *
 * The field table says which fields a kind has and what they are when nobody says
 * anything; what somebody chose stands out. The same knowledge makes the short
 * spec that is copied as a command. */
import { card, make, renew } from "../dom.js";

/** What `pointer` (RFC 6901) names in `value`; undefined when there is nothing. */
export function at(value, pointer) {
  for (const step of pointer.split("/").slice(1)) value = value?.[step.replace(/~1/g, "/").replace(/~0/g, "~")];
  return value;
}

const same = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const fieldsOf = (job, fields) => fields.fields.filter((field) => field.pointer.split("/").length <= 3 && field.kinds.includes(job.kind)
  && at(job.spec, field.pointer) !== undefined && !(isRecord(at(job.spec, field.pointer)) && fields.fields.some((other) => other.pointer.startsWith(`${field.pointer}/`))));

/** The spec without what is as it would be anyway. */
export function shortSpec(job, fields) {
  const short = { kind: job.kind };
  for (const field of fieldsOf(job, fields)) {
    const value = at(job.spec, field.pointer);
    if (field.pointer === "/kind" || same(value, field.default)) continue;
    const steps = field.pointer.split("/").slice(1), last = steps.pop();
    steps.reduce((place, step) => (place[step] ??= {}), short)[last] = value;
  }
  /* Objects whose fields lie deeper than the table's two levels are taken whole. */
  for (const [name, part] of Object.entries(job.spec))
    for (const [key, value] of Object.entries(part && typeof part === "object" && !Array.isArray(part) ? part : {}))
      if (value && typeof value === "object" && !Array.isArray(value) && short[name]?.[key] === undefined) (short[name] ??= {})[key] = value;
  return short;
}

const quoted = (text) => `'${text.replace(/'/g, `'\\''`)}'`;
export const asCurl = (job, fields) => `curl -sf -X POST ${quoted(new URL("v1/jobs", document.baseURI).href)} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(shortSpec(job, fields)))}`;
export const asRiftctl = (job, fields) => `riftctl submit - --watch <<'END'\n${JSON.stringify(shortSpec(job, fields), null, 2)}\nEND`;

function shown(value) {
  if (value && typeof value === "object" && !Array.isArray(value) && typeof value.job === "string") return make("a", { href: `#/jobs/${value.job}` }, `job ${value.job.slice(0, 13)}${value.artifact ? `, ${value.artifact}` : ""}`);
  if (value && typeof value === "object" && !Array.isArray(value) && typeof value.model === "string") return make("a", { href: `#/models/${value.model}` }, `model ${value.model.slice(0, 13)}`);
  if (value === null || value === undefined) return "none";
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.length ? value.join(", ") : "none";
  if (Array.isArray(value) && value.every((one) => one?.name)) return value.map((one) => one.name).join(", "); // attacks
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The settings, by their part of the spec; defaults are dimmed. */
export function settings(state) {
  const element = card("Settings");
  let all = false;
  const list = make("div", { class: "settings" });
  const draw = () => {
    const groups = new Map();
    for (const field of fieldsOf(state.job, state.fields)) {
      const value = at(state.job.spec, field.pointer), steps = field.pointer.split("/").slice(1);
      const isDefault = same(value, field.default) && field.pointer !== "/kind";
      if (isDefault && !all) continue;
      const group = steps.length > 1 ? steps[0] : "job";
      groups.set(group, [...(groups.get(group) || []), { name: steps.at(-1), value, field, isDefault }]);
    }
    renew(list, [...groups].map(([group, rows]) => [make("h3", {}, group), make("dl", { class: "facts" }, rows.map(({ name, value, field, isDefault }) => [
      make("dt", { class: isDefault ? "default" : null, title: field.meaning }, name),
      make("dd", { class: isDefault ? "default" : null, title: isDefault ? "the default" : null }, shown(value), isDefault && make("span", { class: "unseen" }, " (default)"))]))]));
  };
  const toggle = make("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => {
    all = !all;
    toggle.setAttribute("aria-pressed", String(all));
    toggle.textContent = all ? "Only what was chosen" : "Defaults, too";
    draw();
  } }, "Defaults, too");
  element.firstChild.replaceWith(make("div", { class: "chart-head" }, make("h2", {}, "Settings"), toggle));
  element.append(list);
  draw();
  return { element, place: "settings" };
}
