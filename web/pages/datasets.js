/* Which data sets are there, and what do they look like? */
import { ask } from "../api.js";
import { ago, count, empty, make, renew } from "../dom.js";
import { filesOf, strip } from "../look.js";

const looks = new Map(); // inspect.json by job: they never change

async function latest(set, signal) {
  const { jobs } = await ask(`v1/jobs?kind=inspect&state=succeeded&limit=1&dataset=${encodeURIComponent(set.name)}`, { signal });
  if (!jobs.length || jobs[0].purged.includes("artifacts")) return null;
  const [job] = jobs;
  if (!looks.has(job.id)) looks.set(job.id, await ask(`${filesOf(job)}inspect.json`, { signal }));
  return { job, found: looks.get(job.id) };
}

function setCard({ set, look }) {
  const images = look && Object.values(look.found.splits).reduce((sum, split) => sum + split.images, 0);
  return make("article", { class: "card set", "data-key": set.name },
    make("div", { class: "row wide" }, make("h2", {}, make("a", { class: "plain-link", href: `#/datasets/${encodeURIComponent(set.name)}` }, set.name)),
      make("span", { class: "badge" }, set.format)),
    look ? strip(set, filesOf(look.job), look.found) : make("div", { class: "strip blank" }, make("span", { class: "faint" }, "Nobody has looked at it yet.")),
    look && make("p", {}, `${count(images)} images of ${look.found.shape.slice(1).join(" × ")} pixels, ${look.found.shape[0] === 1 ? "gray" : "colour"}, ${count(look.found.classes)} classes`),
    make("p", { class: "faint mono path" }, set.path),
    look && make("p", { class: "faint" }, "Looked at ", ago(look.job.ended_at)));
}

export async function show(main, params, query, page) {
  const list = make("div", { class: "grid" });
  main.append(make("div", {}, make("h1", {}, "Data sets"), make("p", { class: "faint" }, "What riftd knows by name. A look at one is a job of kind ", make("code", {}, "inspect"), ".")), list);
  const draw = async () => {
    const { datasets } = await ask("v1/datasets", { signal: page.signal });
    const rows = await Promise.all(datasets.map(async (set) => ({ set, look: await latest(set, page.signal) })));
    renew(list, rows.length ? rows.map(setCard) : empty("No data set is registered.", "Start riftd with ", make("code", {}, "--dataset NAME=FORMAT:PATH"),
      "; ", make("code", {}, "riftctl dataset fetch"), " downloads the published ones."));
  };
  await draw();
  page.live(draw, { when: (event) => event.type === "state" || event.type === "changed" });
}
