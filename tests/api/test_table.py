#!/usr/bin/env python3
"""Sweeps over HTTP, and the averaged table in every format."""
import csv
import io
import unittest

import server
from server import DATASET, RIFT

NOBODY = "01a20937-f9c1-7b10-b840-187126c7c986"


def found(clean, robust, after, protocol="validation"):
    return {"module": "conv1", "modules": ["conv1"], "alpha": 0.5, "protocol": protocol, "attack": "pgd-10",
            "before": {"clean_accuracy": clean, "robust_accuracy": robust},
            "after": {"clean_accuracy": after, "robust_accuracy": robust}}


class Sweeps(server.Case):
    def setUp(self):
        self.drain()

    def sweep(self, sweep, **spec):
        return self.expect(self.server.ask("POST", "/v1/jobs", {"kind": "sweep", "dataset": DATASET, "sweep": sweep, **spec}),
                           201).json

    def wrong(self, sweep, **spec):
        answer = self.server.ask("POST", "/v1/jobs", {"kind": "sweep", "dataset": DATASET, "sweep": sweep, **spec})
        return self.expect(answer, 422, "bad-spec").json["errors"]

    def test_a_sweep_becomes_rift_jobs_that_share_what_they_begin_with(self):
        job = self.sweep({"seeds": [3, 4], "methods": ["pgd-at", "trades"], "modules": ["lowest", "last"]}, label="grid")
        self.assertEqual((job["state"], job["kind"], job["queue_position"]), ("queued", "sweep", None))
        self.assertEqual([run["label"] for run in job["steps"]][:3],
                         ["grid: pgd-at, seed 3, lowest", "grid: pgd-at, seed 3, last", "grid: pgd-at, seed 4, lowest"])
        self.assertEqual(len(job["steps"]), 8)
        first, second = [self.server.get(f"/v1/jobs/{run['id']}").json for run in job["steps"][:2]]
        self.assertEqual((first["parent"], first["step"]), (job["id"], 0))
        self.assertEqual([step["kind"] for step in first["steps"]], ["train", "mrc", "finetune", "interpolate", "evaluate"])
        self.assertEqual([(step["step"], step["kind"]) for step in second["steps"]],
                         [(2, "finetune"), (3, "interpolate"), (4, "evaluate")])
        train, mrc = first["steps"][0]["id"], first["steps"][1]["id"]
        self.assertEqual(second["spec"]["train"]["weights"], {"job": train})
        self.assertEqual(second["spec"]["finetune"]["mrc_job"], {"job": mrc})
        finetune = self.server.get(f"/v1/jobs/{second['steps'][0]['id']}").json
        self.assertEqual((sorted(finetune["after"]), finetune["state"]), (sorted([train, mrc]), "blocked"))
        self.assertEqual(finetune["label"], "grid: pgd-at, seed 3, last")
        # Asked for what it shares it answers with that; a spec that is sent again names the same jobs.
        self.assertEqual(self.server.get(f"/v1/jobs/{second['id']}/modules").json["job"], mrc)
        self.assertEqual(self.server.get(f"/v1/jobs/{second['id']}/metrics").json["job"], train)
        self.expect(self.server.get(f"/v1/jobs/{second['id']}/metrics?step=0"), 404, "no-such-job")
        again = self.expect(self.server.ask("POST", "/v1/jobs", second["spec"]), 201).json
        self.assertEqual(again["spec"], second["spec"])
        queue = [one["kind"] for one in self.server.get("/v1/queue").json["jobs"]]
        self.assertNotIn("sweep", queue)
        self.assertNotIn("rift", queue)
        self.assertEqual(queue.count("train"), 4)
        waiting = {"kind": "mrc", "dataset": DATASET, "model": {"weights": {"job": second["id"]}}}
        self.assertEqual(self.expect(self.server.ask("POST", "/v1/jobs", waiting), 201).json["after"],
                         [second["steps"][1]["id"]])
        self.expect(self.server.ask("POST", f"/v1/jobs/{again['id']}/cancel"), 202)
        self.expect(self.server.ask("DELETE", f"/v1/jobs/{job['id']}"), 409, "wrong-state")
        gone = self.expect(self.server.ask("POST", f"/v1/jobs/{job['id']}/cancel"), 202).json
        self.assertEqual((gone["state"], {run["state"] for run in gone["steps"]}), ("cancelled", {"cancelled"}))
        self.expect(self.server.ask("POST", f"/v1/jobs/{job['id']}/retry"), 202)
        self.assertEqual(self.server.get(f"/v1/jobs/{train}").json["state"], "queued")
        self.expect(self.server.ask("POST", f"/v1/jobs/{job['id']}/cancel"), 202)
        self.expect(self.server.ask("DELETE", f"/v1/jobs/{job['id']}"), 204)
        for id in (first["id"], train, finetune["id"]):
            self.expect(self.server.get(f"/v1/jobs/{id}"), 404, "no-such-job")

    def test_mistakes_of_a_sweep_are_named(self):
        methods = self.wrong({"methods": ["pgd-at", "tradse"]})
        self.assertEqual(methods[0]["pointer"], "/sweep/methods")
        self.assertIn('did you mean "trades"?', methods[0]["message"])
        self.assertIn("none twice", self.wrong({"seeds": [1, 1]})[0]["message"])
        many = self.wrong({"seeds": list(range(30)), "modules": ["lowest", "last", "all", "highest"]})
        self.assertEqual(many[0]["pointer"], "/sweep")
        self.assertIn("120 rift jobs (30 seeds, 1 methods, 4 module choices), more than the 100", many[0]["message"])
        absolute = self.wrong({}, dataset={"format": "idx", "path": "here"})
        self.assertEqual([one["pointer"] for one in absolute], ["/dataset/path"])

    def rift(self, result, seed, **spec):
        job = self.expect(self.server.ask("POST", "/v1/jobs", {**RIFT, "seed": seed, **spec}), 201).json["id"]
        if result:
            self.server.do("result", job=job, result=result)
        return job

    def table(self, first, *others, **query):
        if others:
            query["with"] = ",".join(others)
        return self.server.get(f"/v1/jobs/{first}/table" + ("?" if query else "") +
                               "&".join(f"{name}={value}" for name, value in query.items()))

    def test_rift_jobs_are_averaged_in_every_format(self):
        jobs = [self.rift(found(0.80, 0.5, 0.82), 0), self.rift(found(0.82, 0.5, 0.85), 1), self.rift(None, 2)]
        table = self.expect(self.table(*jobs), 200).json
        row = table["rows"][0]
        self.assertEqual((len(table["rows"]), row["n"], row["seeds"], table["protocol"]), (1, 2, [0, 1], "validation"))
        self.assertAlmostEqual(row["before"]["clean_accuracy"]["mean"], 0.81)
        self.assertAlmostEqual(row["before"]["clean_accuracy"]["std"], 0.0002 ** 0.5)
        self.assertAlmostEqual(row["gain"]["clean_accuracy"]["mean"], 0.025)
        self.assertEqual([(run["job"], run["seed"], run["state"]) for run in table["missing"]], [(jobs[2], 2, "queued")])
        self.assertEqual(self.table(*jobs, format="json").json, table)

        answer = self.table(*jobs, format="csv")
        self.assertEqual(answer.headers["Content-Type"], "text/csv; charset=utf-8")
        rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
        self.assertEqual([one["weights"] for one in rows], ["before", "after", "gain"])
        self.assertAlmostEqual(float(rows[0]["clean_mean"]), 0.81)
        self.assertEqual((rows[1]["seeds"], rows[1]["chosen_modules"], rows[1]["alphas"]), ("0 1", "conv1 (2)", "0.5 0.5"))
        answer = self.table(*jobs, format="markdown")
        self.assertEqual(answer.headers["Content-Type"], "text/markdown; charset=utf-8")
        self.assertIn("| PGD-AT+RiFT | 83.50 ± 2.12 |", answer.body.decode())
        self.assertIn(f"missing: PGD-AT, seed 2, lowest: queued (job {jobs[2]})", answer.body.decode())
        answer = self.table(*jobs, format="latex")
        self.assertEqual(answer.headers["Content-Type"], "application/x-latex")
        self.assertIn(r"$83.50 \pm 2.12$", answer.body.decode())
        self.assertEqual(self.server.ask("HEAD", f"/v1/jobs/{jobs[0]}/table").status, 200)

    def test_what_is_not_alike_is_refused_unless_it_is_kept_apart(self):
        one, other = self.rift(found(0.8, 0.5, 0.8), 0), self.rift(found(0.8, 0.5, 0.8, "paper"), 1, protocol="paper")
        problem = self.expect(self.table(one, other), 409, "not-comparable").json
        for word in (one, other, "protocol", '"validation"', '"paper"'):
            self.assertIn(word, problem["detail"])
        for format in ("csv", "markdown", "latex"):
            self.expect(self.table(one, other, format=format), 409, "not-comparable")
        table = self.expect(self.table(one, other, group_by="protocol"), 200).json
        self.assertEqual([(row["protocol"], row["group"], row["n"]) for row in table["rows"]],
                         [("validation", {"protocol": "validation"}, 1), ("paper", {"protocol": "paper"}, 1)])
        wide = self.rift(None, 2, model={"width": 32})
        self.assertIn("model.width", self.expect(self.table(one, wide), 409, "not-comparable").json["detail"])
        self.assertIn("twice", self.expect(self.table(one, one), 409, "not-comparable").json["detail"])
        same = self.rift(None, 0, label="again")
        self.assertIn("same run", self.expect(self.table(one, same), 409, "not-comparable").json["detail"])

    def test_questions_that_cannot_be_answered_are_refused(self):
        one = self.rift(None, 0)
        train = self.submit()["id"]
        self.expect(self.server.get(f"/v1/jobs/{NOBODY}/table"), 404, "no-such-job")
        self.expect(self.server.get("/v1/jobs/nonsense/table"), 404, "no-such-job")
        self.expect(self.table(one, NOBODY), 404, "no-such-job")
        self.assertIn("only rift and sweep", self.expect(self.table(train), 400, "bad-query").json["detail"])
        self.assertNotIn("table", self.server.get(f"/v1/jobs/{train}").json["links"])
        self.expect(self.table(one, train), 400, "bad-query")
        self.expect(self.table(one, "nonsense"), 400, "bad-query")
        self.assertIn("json, csv", self.expect(self.table(one, format="pdf"), 400, "bad-query").json["detail"])
        self.assertIn('did you mean "protocol"?', self.expect(self.table(one, group_by="protocl"), 400, "bad-query").json["detail"])
        self.expect(self.table(one, colour="red"), 400, "bad-query")
        self.expect(self.server.ask("POST", f"/v1/jobs/{one}/table", {}), 405, "method-not-allowed")

    def test_a_sweep_and_a_rift_job_stand_in_one_table(self):
        sweep = self.sweep({"seeds": [5, 6]})
        for run in sweep["steps"]:
            self.server.do("result", job=run["id"], result=found(0.7, 0.4, 0.7))
        other = self.rift(found(0.7, 0.4, 0.7), 7)
        row = self.expect(self.table(sweep["id"], other), 200).json["rows"][0]
        self.assertEqual((row["seeds"], row["before"]["clean_accuracy"]), ([5, 6, 7], {"mean": 0.7, "std": 0.0, "n": 3}))


if __name__ == "__main__":
    unittest.main()
