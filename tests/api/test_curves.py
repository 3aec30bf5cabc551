#!/usr/bin/env python3
"""Curves as JSON, CSV and NDJSON, and jobs side by side."""
import csv
import io
import json
import unittest

import server
from server import DATASET, RIFT

NOBODY = "018bcfe5-6800-7000-8000-000000000000"


class Curves(server.Case):
    def setUp(self):
        self.drain()
        self.id = self.submit()["id"]
        self.path = f"/v1/jobs/{self.id}/metrics"
        self.server.start(self.id)

    def curve(self, job, name, count, value=float):
        for step in range(count):
            self.server.event(job, "metric", name=name, step=step, epoch=step / 4, value=value(step))

    def rows(self, path, **headers):
        answer = self.expect(self.server.get(path, **headers), 200)
        self.assertEqual(answer.headers["Content-Type"], "text/csv; charset=utf-8")
        return list(csv.reader(io.StringIO(answer.body.decode())))

    def test_csv_and_lines_have_the_points_that_json_has(self):
        self.curve(self.id, "loss", 7, lambda step: 1 / (step + 3))
        self.curve(self.id, "accuracy", 3)
        points = {name: self.server.get(f"{self.path}?name={name}").json["points"] for name in ("accuracy", "loss")}
        rows = self.rows(f"{self.path}?format=csv")
        self.assertEqual(rows[0], ["name", "step", "epoch", "time", "value"])
        self.assertEqual([(row[0], int(row[1]), float(row[2]), float(row[4])) for row in rows[1:]],
                         [(name, one["step"], one["epoch"], one["value"]) for name in points for one in points[name]])
        self.assertRegex(rows[1][3], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        lines = self.expect(self.server.get(f"{self.path}?format=ndjson"), 200)
        self.assertEqual([json.loads(line) for line in lines.body.splitlines()],
                         [{"name": name, **one} for name in points for one in points[name]])
        self.assertEqual(self.rows(f"{self.path}?format=csv&name=loss")[1:], [row for row in rows if row[0] == "loss"])

    def test_accept_chooses_the_format_and_the_parameter_wins(self):
        self.curve(self.id, "loss", 2)
        self.assertEqual(len(self.rows(self.path, Accept="text/csv")), 3)
        self.assertEqual(len(self.server.get(self.path, Accept="application/x-ndjson").body.splitlines()), 2)
        self.assertIn("series", self.server.get(f"{self.path}?format=json", Accept="text/csv").json)
        self.assertIn("series", self.server.get(self.path, Accept="*/*").json)
        self.expect(self.server.get(f"{self.path}?format=xml"), 400, "bad-query")

    def test_long_curves_are_thinned_each_for_itself(self):
        self.curve(self.id, "a", 40)
        self.curve(self.id, "b", 3)
        rows = self.rows(f"{self.path}?format=csv&max_points=6")
        self.assertEqual([row[1] for row in rows if row[0] == "b"], ["0", "1", "2"])
        thinned = [int(row[1]) for row in rows if row[0] == "a"]
        self.assertLessEqual(len(thinned), 6)
        self.assertEqual((thinned[0], thinned[-1]), (0, 39))
        self.assertEqual([row[1] for row in self.rows(f"{self.path}?format=csv&since=37&name=a")[1:]], ["38", "39"])

    def test_a_name_that_needs_quotes_gets_them_and_what_is_not_finite_is_empty(self):
        self.server.event(self.id, "metric", name='a,"b"', step=1, value=None)
        self.assertEqual([row[:3] + row[4:] for row in self.rows(f"{self.path}?format=csv")[1:]], [['a,"b"', "1", "", ""]])
        line = json.loads(self.server.get(f"{self.path}?format=ndjson").body)
        self.assertEqual((line["name"], line["value"], line["epoch"]), ('a,"b"', None, None))

    def test_a_job_without_points_has_a_head_and_nothing_below(self):
        self.assertEqual(len(self.rows(f"{self.path}?format=csv")), 1)
        self.assertEqual(len(self.rows(f"{self.path}?format=csv&name=none")), 1)
        self.assertEqual(self.server.get(f"{self.path}?format=ndjson").body, b"")


class Comparisons(server.Case):
    def setUp(self):
        self.drain()

    def compare(self, jobs, rest=""):
        return self.expect(self.server.get(f"/v1/compare?jobs={','.join(jobs)}{rest}"), 200).json

    def train(self, points, **spec):
        job = self.submit(**spec)["id"]
        self.server.start(job)
        for step, value in enumerate(points):
            self.server.event(job, "metric", name="loss", step=step, value=value)
        self.server.do("move", job=job, state="succeeded", result={})
        return job

    def mrc(self, train, values):
        job = self.submit(kind="mrc", model={"weights": {"job": train}})["id"]
        self.server.start(job)
        for module, value in values.items():
            self.server.event(job, "module", module=module, mrc=value)
        self.server.do("move", job=job, state="succeeded", result={"lowest": min(values, key=values.get)})
        return job

    def test_the_same_curve_of_several_jobs_comes_in_one_answer_in_the_order_asked_for(self):
        jobs = [self.train([1.0, 0.5], label="first"), self.train([2.0], seed=1), self.train([])]
        answer = self.compare([jobs[1], jobs[0].upper(), jobs[2]], "&name=loss")
        self.assertEqual([one["id"] for one in answer["jobs"]], [jobs[1], jobs[0], jobs[2]])
        self.assertEqual([[point["value"] for point in one["curve"]["points"]] for one in answer["jobs"]],
                         [[2.0], [1.0, 0.5], []])
        self.assertEqual([one["label"] for one in answer["jobs"]], [None, "first", None])
        self.assertEqual(answer["name"], "loss")
        self.assertTrue(all(one["curve"] is None for one in self.compare(jobs)["jobs"]))
        points = self.compare([jobs[0]], "&name=loss&max_points=2")["jobs"][0]["curve"]["points"]
        self.assertEqual(len(points), 2)

    def test_only_settings_that_differ_are_told(self):
        jobs = [self.train([], seed=1), self.train([], seed=2, train={"epochs": 3}), self.train([], seed=1)]
        differences = {one["pointer"]: one["values"] for one in self.compare(jobs)["differences"]}
        # Where the learning rate falls follows from the number of epochs, unless the spec says otherwise.
        self.assertEqual(differences, {"/seed": [1, 2, 1], "/train/epochs": [110, 3, 110],
                                       "/optimizer/schedule/milestones": [[100, 105], [3], [100, 105]]})
        self.assertEqual(self.compare([jobs[0], jobs[2]])["differences"], [])

    def test_criticality_stands_side_by_side(self):
        train = self.train([])
        jobs = [self.mrc(train, {"conv1": 1.5, "linear": 0.25}), self.mrc(train, {"conv1": 0.5, "extra": 2.0}), train]
        answer = self.compare(jobs)
        self.assertEqual({one["module"]: one["mrc"] for one in answer["modules"]},
                         {"conv1": [1.5, 0.5, None], "linear": [0.25, None, None], "extra": [None, 2.0, None]})
        self.assertEqual([one["criticality"] and one["criticality"]["lowest"] for one in answer["jobs"]],
                         ["linear", "conv1", None])
        kinds = next(one for one in answer["differences"] if one["pointer"] == "/kind")
        self.assertEqual(kinds["values"], ["mrc", "mrc", "train"])

    def test_a_rift_job_answers_with_the_step_that_knows(self):
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        steps = [one["id"] for one in rift["steps"]]
        self.server.start(steps[0])
        self.server.event(steps[0], "metric", name="loss", step=0, value=1.0)
        self.server.do("move", job=steps[0], state="succeeded", result={})
        self.server.start(steps[1])
        self.server.event(steps[1], "module", module="conv1", mrc=3.0)
        self.server.do("move", job=steps[1], state="succeeded", result={"lowest": "conv1"})
        self.server.start(steps[2])
        self.server.event(steps[2], "metric", name="tuned", step=0, value=7.0)
        for name, step in (("loss", 0), ("tuned", 2)):
            one = self.compare([rift["id"]], f"&name={name}")["jobs"][0]
            self.assertEqual(one["curve"]["job"], steps[step])
            self.assertEqual(one["criticality"], {"job": steps[1], "complete": True, "lowest": "conv1"})
        self.assertIsNone(self.compare([rift["id"]], "&name=none")["jobs"][0]["curve"])
        sweep = self.expect(self.server.ask("POST", "/v1/jobs", {"kind": "sweep", "dataset": DATASET, "sweep": {
            "seeds": [0]}}), 201).json
        one = self.compare([sweep["id"]], "&name=loss")["jobs"][0]
        self.assertEqual((one["curve"]["points"], one["criticality"]), ([], None))

    def test_what_cannot_be_compared_is_refused(self):
        job = self.train([])
        for wrong in ("", "?jobs=", "?jobs=x", f"?jobs={job},", f"?jobs=,{job}", f"?jobs={job},,{job}",
                      "?jobs=" + ",".join([job] * 21), f"?jobs={job}&max_points=1"):
            status = self.server.get(f"/v1/compare{wrong}").status
            self.assertEqual(status, 200 if wrong == f"?jobs={job}," else 400, wrong)
        self.assertEqual(len(self.compare([job] * 20)["jobs"]), 20)
        self.expect(self.server.get(f"/v1/compare?jobs={job},{NOBODY}"), 404, "no-such-job")


if __name__ == "__main__":
    unittest.main()
