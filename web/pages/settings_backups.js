/* Which copies of the database are there? */
import { ask } from "../api.js";
import { ago, button, bytes, card, confirm, empty, make, renew, say, table } from "../dom.js";

export async function show(main, who, page) {
  const list = make("div");
  const draw = async () => {
    const { backups } = await ask("v1/admin/backups", { signal: page.signal });
    renew(list, table({ caption: "Backups", rows: backups, key: (one) => one.name, none: empty("No backups yet.", "Make one now; riftd goes on working meanwhile."), columns: [
      { title: "Name", show: (one) => make("a", { href: one.href.slice(1), download: one.name }, one.name) },
      { title: "Size", number: true, show: (one) => bytes(one.size) },
      { title: "Made", show: (one) => ago(one.created_at) },
      { title: "", show: (one) => button("Delete", async () => {
        if (!await confirm(`Delete ${one.name}?`, { yes: "Delete" })) return;
        await ask(`v1/admin/backups/${one.name}`, { method: "DELETE" });
        say("It is deleted.");
        await draw();
      }, { class: "danger", "aria-label": `Delete ${one.name}` }) }] }));
  };
  main.append(card("Backups", list, make("div", { class: "row after" }, button("Back up now", async () => {
    const made = await ask("v1/admin/backups", { method: "POST" });
    say(`${made.name}: ${bytes(made.size)}, checked.`);
    await draw();
  }, { class: "primary" })), make("p", { class: "faint" }, "A copy of the database as it is at one moment, checked. ", make("code", {}, "riftd restore"),
    " puts it back. Job directories and models are files: copy them after the database.")));
  await draw();
}
