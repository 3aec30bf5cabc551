/* Who changed what? */
import { ask, query } from "../api.js";
import { card, empty, make, moment, renew, table } from "../dom.js";

const ROWS = 50;

export async function show(main, who, page) {
  const list = make("div"), more = make("div", { class: "row after" });
  let rows = [], next = null;
  const draw = () => {
    renew(list, table({ caption: "Audit, newest first", rows, key: (row) => row.id, none: empty("Nothing has been changed yet."), columns: [
      { title: "When", show: (row) => make("time", { datetime: row.time, title: row.time }, moment(row.time)) },
      { title: "Who", show: (row) => row.owner || "–" },
      { title: "Role", show: (row) => row.role },
      { title: "From", show: (row) => row.address },
      { title: "What", class: "wrap", show: (row) => make("code", {}, `${row.method} ${row.path}`) },
      { title: "Answer", number: true, show: (row) => make("span", { class: row.status >= 400 ? "bad" : null }, row.status) }] }));
    renew(more, next && make("button", { type: "button", onclick: () => load(next).catch((error) => page.told(error)) }, "Older ones"));
  };
  const load = async (cursor) => {
    const found = await ask(`v1/audit${query({ limit: ROWS, cursor })}`, { signal: page.signal });
    rows = [...(cursor ? rows : []), ...found.audit];
    next = found.next;
    draw();
  };
  main.append(card("Audit", list, more, make("p", { class: "faint" }, "Every request that changed something or was refused. Rows come within about a second.")));
  await load(null);
}
