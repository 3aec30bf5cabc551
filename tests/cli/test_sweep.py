"""A sweep and its table the way a person uses them: riftctl, riftd, rift-worker."""
import json
import os
import shutil
import unittest

from client import Case, ROOT
from real import Daemon, rift_spec, skip_unless_built


class Sweep(Case):
    @classmethod
    def setUpClass(cls):
        cls.riftd = Daemon()
        cls.riftd.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.riftd.__exit__(None)

    def ctl(self, code, *arguments, **options):
        return self.run_ctl(code, "--state", self.riftd.state, *arguments, **options)[0]

    def test_the_example_is_a_good_spec(self):
        spec = json.loads(self.run_ctl(0, "submit", os.path.join(ROOT, "docs", "sweep.json"), "--dry-run")[0])
        self.assertEqual(len(spec["sweep"]["methods"]) * len(spec["sweep"]["seeds"]), 15)

    def test_a_sweep_is_watched_to_its_table_and_what_is_not_alike_is_refused(self):
        spec = rift_spec(self.riftd.data, kind="sweep", train={"epochs": 1}, interpolate={"alphas": [0, 1]},
                         sweep={"seeds": [1, 2], "modules": ["lowest", "linear"]})
        out = self.ctl(0, "submit", "-", "--watch", stdin=json.dumps(spec))
        sweep = out.splitlines()[0]
        self.assertRegex(out, r"(?m)^sweep +4 of 4 ended")
        self.assertRegex(out, r"(?m)^PGD-AT\+RiFT \(linear\) +\d")
        self.assertNotIn("missing", out)
        table = self.ctl(0, "table", sweep)
        self.assertIn(table.splitlines()[0], out)
        document = json.loads(self.ctl(0, "table", sweep, "--format", "json"))
        self.assertEqual([row["n"] for row in document["rows"]], [2, 2])
        self.assertEqual(document, json.loads(self.ctl(0, "show", sweep, "--json"))["result"])
        self.assertTrue(self.ctl(0, "table", sweep, "--format", "csv").startswith("method,modules,"))
        self.assertIn(r"\begin{tabular}", self.ctl(0, "table", sweep, "--format", "latex"))
        self.assertIn("|---|", self.ctl(0, "table", sweep, "--format", "markdown"))
        names = [one["name"] for one in json.loads(self.ctl(0, "artifacts", sweep, "--json"))["artifacts"]]
        self.assertEqual(names, ["table.csv", "table.json", "table.md", "table.tex"])
        self.ctl(2, "table", sweep, "--format", "pdf")

        # The runs alone, and one more under the other protocol.
        runs = [step["id"] for step in json.loads(self.ctl(0, "show", sweep, "--json"))["steps"]]
        self.assertEqual(json.loads(self.ctl(0, "table", *runs, "--format", "json"))["rows"], document["rows"])
        self.assertIn("AT+RiFT", self.ctl(0, "table", runs[1]))
        paper = self.ctl(0, "submit", "-", stdin=json.dumps(
            rift_spec(self.riftd.data, train={"epochs": 1}, interpolate={"alphas": [0, 1]}, protocol="paper", seed=9))).strip()
        err = self.run_ctl(1, "--state", self.riftd.state, "table", runs[0], paper)[1]
        for word in (runs[0], paper, "protocol", '"paper"'):
            self.assertIn(word, err)
        out = self.ctl(0, "table", runs[0], paper, "--group-by", "protocol")
        self.assertIn("missing: PGD-AT, seed 9", out)
        self.ctl(0, "cancel", paper)
        train = json.loads(self.ctl(0, "show", runs[0], "--json"))["steps"][0]["id"]
        self.ctl(2, "table", train)

        # Given by directories, there is no job that could tell of criticality: the rift job succeeds without.
        # They are copies: what lies in riftd's state goes by {"job": ID} alone.
        jobs = self.riftd.data + "-copies"
        self.addCleanup(shutil.rmtree, jobs, ignore_errors=True)
        mrc = json.loads(self.ctl(0, "show", runs[0], "--json"))["steps"][1]["id"]
        for job in (train, mrc):
            shutil.copytree(os.path.join(self.riftd.state, "jobs", job), os.path.join(jobs, job))
        given = rift_spec(self.riftd.data, train={"weights": f"{jobs}/{train}/artifacts/best.safetensors"}, interpolate={"alphas": [0, 1]},
                          finetune={"epochs": 1, "mrc_job": f"{jobs}/{mrc}"})
        out = self.ctl(0, "submit", "-", "--watch", stdin=json.dumps(given))
        self.assertIn("AT+RiFT", out)
        self.assertNotIn("Criticality", out)


if __name__ == "__main__":
    skip_unless_built("riftctl", "riftd", "rift-worker")
    unittest.main()
