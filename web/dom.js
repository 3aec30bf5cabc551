/* How does something get onto the page?
 *
 * Through make(): text enters as text nodes, never as markup. renew() brings
 * what is shown up to date without touching what stayed the same, so that
 * focus, selection and scrolling survive a job's progress. */

/* Not attributes but properties of elements: they change while people use them. */
const PROPERTIES = new Set(["checked", "disabled", "indeterminate", "value", "selected", "open"]);
const HANDLERS = ["onclick", "onchange", "oninput", "onsubmit", "onkeydown", "ontoggle"];

/**
 * An element. Attributes that are null, undefined or false are left out; functions
 * (onclick: ...) become its handlers. Children: nodes, text, lists of them; null and false are skipped.
 * @param {string} name
 * @param {Object<string, *>} [attributes]
 * @param {...*} children
 * @returns {HTMLElement}
 */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const key in attributes) {
    const value = attributes[key];
    if (value === null || value === undefined) continue;
    if (typeof value === "function" || PROPERTIES.has(key)) element[key] = value;
    else if (value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...nodes(children));
  return element;
}

/* What children there are, in one flat list: a table makes thousands. */
function nodes(children, list = []) {
  for (const child of children) {
    if (Array.isArray(child)) nodes(child, list);
    else if (child !== null && child !== undefined && child !== false) list.push(child instanceof Node ? child : String(child));
  }
  return list;
}

/* ---- keeping up with what changes ---- */

function attributesCopy(old, fresh) {
  const readers = (name) => name === "open" && old.nodeName === "DETAILS"; // whether it is open is the reader's
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !readers(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
  if (old.type === "file" || (old === document.activeElement && old.matches("input:not([type=checkbox]), select, textarea"))) return;
  for (const name of ["checked", "disabled", "indeterminate", "value"])
    if (name in old && old[name] !== fresh[name]) old[name] = fresh[name];
}

const keyOf = (node) => (node instanceof Element ? node.getAttribute("data-key") : null);
const alike = (old, fresh) => old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh)
  && !(old instanceof Element && old.hasAttribute("data-whole"));

function childrenRenew(old, fresh) {
  const known = new Map([...old.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let at = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const same = keyOf(node) ? known.get(keyOf(node)) : at;
    if (same && same !== at && alike(same, node)) old.insertBefore(same, at);
    if (same && alike(same, node)) {
      if (same === at) at = at.nextSibling;
      nodeRenew(same, node);
    } else {
      old.insertBefore(node, at);
      if (at && !keyOf(at) && !keyOf(node)) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function nodeRenew(old, fresh) {
  if (!(old instanceof Element)) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  attributesCopy(old, fresh);
  childrenRenew(old, fresh);
}

/**
 * Let `box` contain `children`, changing only what differs. Children that carry
 * `data-key` are told apart by it; an element with `data-whole` is replaced as one.
 * @param {Element} box
 * @param {...*} children
 */
export function renew(box, ...children) {
  const fresh = box.cloneNode(false);
  fresh.append(...nodes(children));
  childrenRenew(box, fresh);
  return box;
}

/* ---- numbers and times in words ---- */

const NONE = "–";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
/** 0.7631 -> "76.31 %" */
export const percent = (value, places = 2) => (isNumber(value) ? `${(100 * value).toFixed(places)} %` : NONE);
/** From one fraction to another in points, so that it is what the two differ by as `percent` writes them. */
export const between = (before, after) => (isNumber(before) && isNumber(after) ? (Number((100 * after).toFixed(2)) - Number((100 * before).toFixed(2))) / 100 : null);
/** The same of the gain of a row of averages; where that is known of other runs than the means, it is itself. */
export const gained = ({ before, after, gain }, key) => (Math.abs(after[key]?.mean - before[key]?.mean - gain[key]?.mean) < 1e-9 ? between(before[key].mean, after[key].mean) : gain[key]?.mean);
/** 0.0123 -> "+1.23": percentage points, of a difference */
export const points = (value) => (isNumber(value) ? `${value >= 0 ? "+" : "−"}${Math.abs(100 * value).toFixed(2)}` : NONE);
/** Four digits that count. */
export const digits = (value) => (isNumber(value) ? (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-4)
  ? value.toExponential(3) : String(Number(value.toPrecision(4)))) : NONE);
export const count = (value) => (isNumber(value) ? value.toLocaleString("en") : NONE);
/* Made once: making one takes longer than a row of a table. */
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
/** "2026-11-28T04:44:09.000Z" -> "28 Nov 2026, 04:44" of where the reader is */
export const moment = (text) => (text ? MOMENT.format(new Date(text)) : NONE);
/** The same to the second: "28 Nov, 04:44:09" */
const EXACTLY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const momentExactly = (text) => (text ? make("time", { datetime: text, title: moment(text) }, EXACTLY.format(new Date(text))) : NONE);
/** 3725 -> "1 h 2 min" */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return seconds < 10 && seconds !== whole ? `${seconds.toFixed(1)} s` : `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}
/** 3725 -> "1 h": of what isn't known exactly. */
export const roughly = (seconds) => duration(seconds).replace(/ \d+ s$| \d+ min$| \d+ h$/, "");
const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
export function bytes(value) {
  if (!isNumber(value)) return NONE;
  let unit = 0;
  for (; value >= 1024 && unit < BYTE_UNITS.length - 1; unit++) value /= 1024;
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${BYTE_UNITS[unit]}`;
}
/** A <time> that says how long ago; its title says when, to who points at it (a list has a hundred). */
export function ago(text) {
  if (!text) return make("span", { class: "faint" }, NONE);
  const seconds = (Date.now() - new Date(text)) / 1000;
  const words = seconds < 5 ? "just now" : seconds < 86400 * 7 ? `${roughly(Math.round(seconds))} ago`
    : moment(text);
  return make("time", { datetime: text }, words);
}
document.addEventListener("pointerover", ({ target }) => {
  if (target instanceof HTMLTimeElement && target.dateTime && !target.title) target.title = moment(target.dateTime);
});

/* ---- pieces that every page has ---- */

/** A coloured pill with the state's name. */
export const pill = (state, words = state) => make("span", { class: "pill", "data-state": state }, words);

/** Progress from an event: a bar, the part, phase and time left. */
export function bar(progress, { name = "progress" } = {}) {
  if (!progress || !(progress.total > 0)) return null;
  const part = Math.min(1, progress.done / progress.total);
  const words = [progress.phase, isNumber(progress.eta_s) ? `${roughly(progress.eta_s)} left` : null].filter(Boolean).join(", ");
  return make("span", { class: "bar" }, make("progress", { max: 1, value: part, "aria-label": name }),
    make("span", { class: "bar-part" }, `${Math.floor(100 * part)} %`), words && make("span", { class: "faint" }, words));
}

/** What to show where there is nothing: a sentence, and what to do next. */
export const empty = (sentence, ...next) => make("div", { class: "empty" }, make("p", {}, sentence), next.length ? make("p", { class: "faint" }, ...next) : null);

/** An error where it happened. */
export function trouble(error) {
  const title = error.title || "That didn't work", detail = error.detail || error.message;
  const same = detail.toLowerCase() === title.toLowerCase();
  return make("div", { class: "trouble", role: "alert" }, make("strong", {}, same ? `${title}.` : `${title}:`), !same && ` ${detail}`);
}

/** A titled part of a page. */
export function card(title, ...children) {
  return make("section", { class: "card" }, title && make("h2", {}, title), ...children);
}

/**
 * A table in a box of its own that scrolls sideways where it must.
 * columns: [{title, show: (row) => text or node, number: true?, sort: (row) => value?, class?}]
 * @param {{caption: string, columns: Array, rows: Array, key?: function, chosen?: function, none?: *,
 *          showCaption?: boolean, rowHeader?: number}} what
 */
export function table({ caption, columns, rows, key, chosen, none, showCaption = false, rowHeader = 0 }) {
  if (!rows.length && none) return none instanceof Node ? none : empty(none);
  const place = `${location.hash.split("?")[0]} ${caption}`;
  const cell = (row) => (column, index) => make(index === rowHeader ? "th" : "td",
    { class: [column.number && "number", column.class].filter(Boolean).join(" ") || null, scope: index === rowHeader ? "row" : null },
    column.show(row));
  const draw = (box) => {
    const sorted = sorts.get(place);
    const order = sorted ? [...rows].sort((a, b) => compare(columns[sorted.index].sort(a), columns[sorted.index].sort(b))
      * (sorted.down ? -1 : 1)) : rows;
    const head = columns.map((column, index) => make("th", { scope: "col",
      class: [column.number && "number", column.class].filter(Boolean).join(" ") || null,
      "aria-sort": sorted && sorted.index === index ? (sorted.down ? "descending" : "ascending") : null },
    column.sort ? make("button", { type: "button", class: "sort", onclick: (event) => {
      sorts.set(place, { index, down: sorted && sorted.index === index ? !sorted.down : Boolean(column.number) });
      draw(event.currentTarget.closest(".table-box"));
    } }, column.title) : column.title));
    return renew(box, make("table", {}, make("caption", { class: showCaption ? null : "unseen" }, caption),
      make("thead", {}, make("tr", {}, head)),
      make("tbody", {}, order.map((row) => make("tr", { "data-key": key ? key(row) : null,
        class: chosen && chosen(row) ? "chosen" : null }, columns.map(cell(row)))))));
  };
  return draw(make("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": caption }));
}

const sorts = new Map(); // how the reader wants each table, by page and caption: { index, down }
const compare = (a, b) => (a === b ? 0 : a === null || a === undefined ? 1 : b === null || b === undefined ? -1 : a < b ? -1 : 1);

/** A button that does something once at a time and says when it fails. */
export function button(words, act, attributes = {}) {
  return make("button", { type: "button", ...attributes, onclick: async (event) => {
    const self = event.currentTarget;
    self.disabled = true;
    try {
      await act(event);
    } catch (error) {
      say(`${error.title || "That didn't work"}: ${error.detail || error.message}`, "bad");
    } finally {
      self.disabled = false;
    }
  } }, words);
}

/** A word to the reader that goes away by itself; read aloud once. */
export function say(words, mood = "good") {
  const line = make("p", { "data-mood": mood }, words);
  document.getElementById("said").append(line);
  setTimeout(() => line.remove(), mood === "bad" ? 9000 : 4500);
}

/** Read aloud, not shown: what the reader's own doing changed elsewhere on the page. */
export function announce(words) {
  document.getElementById("heard").textContent = words;
}

/** Ask before what can't be taken back. Resolves to true or false. */
export function confirm(question, { yes = "Yes", detail = null } = {}) {
  return new Promise((done) => {
    const dialog = make("dialog", { class: "dialog" }, make("form", { method: "dialog" },
      make("h2", {}, question), detail && make("p", { class: "faint" }, detail),
      make("div", { class: "row end" }, make("button", { value: "no", autofocus: true }, "No"),
        make("button", { value: "yes", class: "danger" }, yes))));
    dialog.addEventListener("close", () => {
      done(dialog.returnValue === "yes");
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A button that puts text into the clipboard. */
export function copy(words, text) {
  return button(words, async () => {
    await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
    say("Copied.");
  }, { class: "quiet" });
}
