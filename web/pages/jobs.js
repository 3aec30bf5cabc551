/* Which jobs are there? */
import { ask, query as asQuery } from "../api.js";
import { ago, bar, empty, make, pill, renew, table } from "../dom.js";

const PAGE_JOBS = 50;

export async function show(main, params, query, page) {
  const list = make("div", { class: "card" });
  main.append(make("h1", {}, "Jobs"), list);
  const draw = async () => {
    const found = await ask(`v1/jobs${asQuery({ parent: "", limit: PAGE_JOBS, ...query })}`, { signal: page.signal });
    renew(list, table({
      caption: "Jobs, newest first", rows: found.jobs, key: (job) => job.id,
      none: empty("No job fits.", "Submit one: ", make("code", {}, "riftctl submit FILE")),
      columns: [
        { title: "Job", show: (job) => make("a", { href: `#/jobs/${job.id}` }, job.label || job.id.slice(0, 13)) },
        { title: "Kind", show: (job) => job.kind },
        { title: "State", show: (job) => pill(job.state) },
        { title: "Progress", show: (job) => (job.state === "running" && bar(job.progress)) || "–" },
        { title: "Submitted", show: (job) => ago(job.created_at) },
      ],
    }));
  };
  await draw();
  page.live(draw);
}
