"""Is a sweep what its rift jobs are, and its table what they found?"""

import json
import unittest

from daemon_test import Case
from riftd import until


class Sweeps(Case):
    def test_a_sweep_averages_what_its_rift_jobs_find_and_says_what_is_missing(self):
        riftd = self.riftd("--slots", "cpu:2")
        job = riftd.submit("@1:1:fail:nan finish", kind="sweep", sweep={"seeds": [0, 1, 2], "modules": ["lowest", "linear"]})
        body = riftd.wait(job, "failed")
        self.assertEqual(body["error"]["code"], "nan")
        self.assertEqual([run["state"] for run in body["steps"]],
                         ["succeeded", "succeeded", "failed", "cancelled", "succeeded", "succeeded"])
        # Nothing was trained or measured twice.
        kinds = [kind for kind, in riftd.rows("SELECT kind FROM job WHERE attempts > 0")]
        self.assertEqual((kinds.count("train"), kinds.count("mrc"), kinds.count("finetune")), (3, 2, 4))
        other = riftd.job(body["steps"][1]["id"])
        self.assertEqual([step["kind"] for step in other["steps"]], ["finetune", "interpolate", "evaluate"])
        first = riftd.job(body["steps"][0]["id"])
        finetune = json.loads((riftd.dir(other["steps"][0]["id"]) / "spec.json").read_text())
        self.assertEqual(finetune["model"]["weights"], f"../{first['steps'][0]['id']}/artifacts/best.safetensors")
        self.assertEqual(finetune["finetune"]["mrc_job"], f"../{first['steps'][1]['id']}")
        status, modules = riftd.ask("GET", f"/v1/jobs/{other['id']}/modules")
        self.assertEqual((status, modules["job"]), (200, first["steps"][1]["id"]))

        status, table = riftd.ask("GET", f"/v1/jobs/{job}/table")
        self.assertEqual(status, 200)
        self.assertEqual([(row["modules"], row["n"], row["seeds"]) for row in table["rows"]],
                         [("lowest", 2, [0, 2]), (["linear"], 2, [0, 2])])
        self.assertEqual(table["rows"][0]["gain"]["clean_accuracy"], {"mean": 0.125, "std": 0.0, "n": 2})
        self.assertEqual([(run["seed"], run["modules"], run["state"]) for run in table["missing"]],
                         [(1, "lowest", "failed"), (1, ["linear"], "cancelled")])
        for run in table["missing"]:
            del run["state"]
        self.assertEqual(body["result"], table)

        # Each step of seed 1 fails once. In the end the table is whole, in the job and in its files.
        for _ in range(8):
            if body["state"] == "succeeded":
                break
            self.assertEqual(riftd.ask("POST", f"/v1/jobs/{job}/retry")[0], 202)
            body = until("it has ended", lambda: riftd.job(job) if riftd.job(job)["state"] in ("succeeded", "failed") else None)
        self.assertEqual(body["state"], "succeeded")
        self.assertEqual([(row["n"], row["seeds"]) for row in body["result"]["rows"]], [(3, [0, 1, 2])] * 2)
        self.assertEqual(body["result"]["missing"], [])
        status, files = riftd.ask("GET", f"/v1/jobs/{job}/artifacts")
        self.assertEqual([one["name"] for one in files["artifacts"]], ["table.csv", "table.json", "table.md", "table.tex"])
        self.assertEqual(json.loads((riftd.dir(job) / "artifacts" / "table.json").read_text()), body["result"])
        self.assertEqual(riftd.ask("GET", f"/v1/jobs/{job}/artifacts/table.json")[1], body["result"])
        directories = {path.name for path in (riftd.state / "jobs").iterdir()}
        self.assertEqual(riftd.ask("DELETE", f"/v1/jobs/{job}")[0], 204)
        self.assertEqual(len(directories), 1 + 3 * 8)
        self.assertEqual(list((riftd.state / "jobs").iterdir()), [])
        until("their rows gone", lambda: riftd.rows("SELECT COUNT(*) FROM job")[0][0] == 0)

    def test_a_sweep_survives_kill_9_of_riftd_and_is_cancelled_as_one(self):
        riftd = self.riftd("--slots", "cpu:2")
        job = riftd.submit("hold:go finish", kind="sweep", sweep={"seeds": [0, 1]})
        until("both train", lambda: riftd.rows("SELECT COUNT(*) FROM job WHERE pid > 0")[0][0] == 2)
        self.assertEqual(riftd.job(job)["state"], "running")
        riftd.kill()
        riftd.start()
        trains = [id for id, in riftd.rows("SELECT id FROM job WHERE kind = 'train'")]
        riftd.release(trains[0])
        until("one has trained", lambda: riftd.job(trains[0])["state"] == "succeeded")
        self.assertEqual(riftd.ask("POST", f"/v1/jobs/{job}/cancel")[0], 202)
        body = riftd.wait(job, "cancelled")
        self.assertEqual([run["state"] for run in body["steps"]], ["cancelled"] * 2)
        self.assertEqual(riftd.rows("SELECT COUNT(*) FROM job WHERE state IN ('blocked','queued','running')")[0][0], 0)


if __name__ == "__main__":
    unittest.main()
