#!/usr/bin/env python3
"""Jobs over HTTP, from submission to deletion, with the test as the daemon."""
import json
import os
import socket
import sqlite3
import struct
import unittest
import urllib.parse

import server
from refusals import Refusals
from server import DATASET, RIFT, TRAIN


class Strangers(Refusals, server.Case):
    pass


class Jobs(server.Case):
    def setUp(self):
        self.drain()

    def test_a_job_is_created_with_its_location_and_read_back_whole(self):
        answer = self.expect(self.server.ask("POST", "/v1/jobs", {**TRAIN, "label": "näme", "priority": 3}), 201)
        job = answer.json
        self.assertEqual(answer.headers["Location"], f"/v1/jobs/{job['id']}")
        self.assertEqual(job["id"][14], "7")
        self.assertEqual((job["state"], job["label"], job["priority"]), ("queued", "näme", 3))
        self.assertEqual((job["queue_position"], job["after"], job["steps"], job["parent"]), (1, [], [], None))
        self.assertEqual(job["spec"]["batch_size"], 128)
        self.assertEqual(self.server.get(answer.headers["Location"]).json, job)
        self.assertEqual(self.server.get(f"/v1/jobs/{job['id'].upper()}").json, job)

    def test_the_longest_label_comes_back_whole_whatever_its_characters(self):
        for label in ("x" * 100, "\u20ac" * 100, "\u5b9e\u9a8c" * 22, "\U0001f600" * 100):
            job = self.submit(label=label)
            self.assertEqual(job["label"], label)
            self.assertEqual(self.server.get(f"/v1/jobs/{job['id']}").json["label"], label)
            found = self.server.get("/v1/jobs?label=" + urllib.parse.quote(label)).json["jobs"]
            self.assertEqual([(one["id"], one["label"]) for one in found], [(job["id"], label)])
            self.assertIn(label, [one["label"] for one in self.server.get("/v1/queue").json["jobs"]])

    def test_a_label_that_would_steer_a_terminal_is_refused(self):
        for label in ("\x1b[2J", "a\x7f", "\x80", "a\x9b2J", "\u00c2\x85"):
            answer = self.expect(self.server.ask("POST", "/v1/jobs", {**TRAIN, "label": label}), 422, "bad-spec")
            self.assertEqual([one["pointer"] for one in answer.json["errors"]], ["/label"], ascii(label))
        self.submit(label="\u00a0\u00c2\u00e9")

    def test_a_job_that_cannot_be_shown_is_a_failure_and_not_left_out(self):
        job = self.submit(label="damaged")["id"]
        other = sqlite3.connect(os.path.join(self.server.dir, "riftd.db"), isolation_level=None)
        other.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            other.execute("UPDATE job SET label = CAST(X'FF' AS TEXT) WHERE id = ?", (job,))
            self.server.may_fail = True
            for path in (f"/v1/jobs/{job}", "/v1/jobs", "/v1/queue"):
                self.expect(self.server.get(path), 500, "internal")
        finally:
            self.server.may_fail = False
            other.execute("UPDATE job SET label = 'mended' WHERE id = ?", (job,))
            other.close()
        self.assertEqual(self.server.get(f"/v1/jobs/{job}").json["label"], "mended")

    def test_everything_wrong_with_a_spec_is_said_at_once(self):
        wrong = {"kind": "train", "dataset": DATASET, "seed": -1, "attack": {"epsilon": 7}, "colour": 1}
        errors = self.expect(self.server.ask("POST", "/v1/jobs", wrong), 422, "bad-spec").json["errors"]
        self.assertEqual({one["pointer"] for one in errors}, {"/seed", "/attack/epsilon", "/colour"})

    def test_a_dry_run_returns_the_normalised_spec_and_stores_nothing(self):
        before = self.server.get("/v1/jobs").json
        spec = self.expect(self.server.ask("POST", "/v1/jobs?dry_run=1", TRAIN), 200).json
        self.assertEqual(spec["train"]["epochs"], 110)
        self.assertEqual(self.expect(self.server.ask("POST", "/v1/jobs?dry_run=1", spec), 200).json, spec)
        self.expect(self.server.ask("POST", "/v1/jobs?dry_run=1", {"kind": "train"}), 422, "bad-spec")
        self.assertEqual(self.server.get("/v1/jobs").json, before)

    def test_an_idempotency_key_makes_repeating_safe(self):
        key = {"Idempotency_Key": '"the-key"'}
        first = self.expect(self.server.ask("POST", "/v1/jobs", RIFT, **key), 201)
        again = self.expect(self.server.ask("POST", "/v1/jobs", RIFT, Idempotency_Key="the-key"), 200)
        self.assertEqual(again.json["id"], first.json["id"])
        self.assertEqual(again.headers["Location"], first.headers["Location"])
        self.assertEqual(again.headers["Idempotency-Replayed"], "true")
        self.expect(self.server.ask("POST", "/v1/jobs", TRAIN, **key), 422, "key-reused")
        self.assertEqual(len(self.server.get(f"/v1/jobs?parent={first.json['id']}").json["jobs"]), 5)

    def test_a_repeat_is_answered_though_what_its_spec_names_is_gone(self):
        key = {"Idempotency_Key": "outlives-its-source"}
        train = self.submit()["id"]
        self.server.run(train, result={})
        spec = {"kind": "mrc", "dataset": DATASET, "model": {"weights": {"job": train}}}
        first = self.expect(self.server.ask("POST", "/v1/jobs", spec, **key), 201).json
        self.expect(self.server.ask("POST", f"/v1/jobs/{first['id']}/cancel"), 202)
        self.expect(self.server.ask("DELETE", f"/v1/jobs/{train}"), 204)
        again = self.expect(self.server.ask("POST", "/v1/jobs", spec, **key), 200)
        self.assertEqual((again.json["id"], again.headers["Idempotency-Replayed"]), (first["id"], "true"))
        # A new key is a new job, and that one can't be; another body under the key is no repeat, good or bad.
        self.expect(self.server.ask("POST", "/v1/jobs", spec, Idempotency_Key="new"), 422, "bad-spec")
        self.expect(self.server.ask("POST", "/v1/jobs", {**spec, "seed": -1}, **key), 422, "key-reused")
        # A dry run submits nothing, so it repeats nothing.
        self.expect(self.server.ask("POST", "/v1/jobs?dry_run=1", spec, **key), 422, "bad-spec")
        # The key goes with its job.
        self.expect(self.server.ask("DELETE", f"/v1/jobs/{first['id']}"), 204)
        self.expect(self.server.ask("POST", "/v1/jobs", TRAIN, **key), 201)

    def test_a_path_that_depends_on_where_jobs_are_kept_is_refused_at_its_pointer(self):
        specs = {kind: {"kind": kind, "dataset": {**DATASET, "test_path": "/t"}} for kind in
                 ("train", "mrc", "finetune", "interpolate", "evaluate", "rift", "corrupt", "sweep", "inspect")}
        weights = "/w.safetensors"
        for kind in ("train", "mrc", "finetune", "evaluate", "rift", "sweep", "inspect"):
            specs[kind]["model"] = {"weights": weights}
        specs["finetune"]["finetune"] = {"modules": "lowest", "mrc_job": "/mrc"}
        for kind in ("rift", "sweep"):
            specs[kind].update(train={"weights": weights}, finetune={}, evaluate={"corruptions": {"path": "/c"}})
        specs["interpolate"]["interpolate"] = {"from": weights, "to": weights}
        specs["evaluate"]["evaluate"] = {"baseline": weights, "corruptions": {"path": "/c"}}
        specs["inspect"]["inspect"] = {"corruptions": {}}
        tried = set()
        for field in self.server.get("/v1/fields").json["fields"]:
            pointer = field["pointer"]
            if field["type"] != "weights" and not pointer.endswith("path"):
                continue
            *above, name = pointer.strip("/").split("/")
            for kind in field["kinds"]:
                for path in ("data", "./data", "../../elsewhere", "~/data"):
                    spec = json.loads(json.dumps(specs[kind]))
                    self.expect(self.server.ask("POST", "/v1/jobs?dry_run=1", spec), 200)
                    part = spec
                    for step in above:
                        part = part[step]
                    part[name] = path
                    with self.subTest(kind=kind, pointer=pointer, path=path):
                        answer = self.expect(self.server.ask("POST", "/v1/jobs", spec), 422, "bad-spec")
                        self.assertEqual([one["pointer"] for one in answer.json["errors"]], [pointer])
                        self.assertIn("absolute", answer.json["errors"][0]["message"])
                        tried.add(pointer)
        self.assertEqual(tried, {"/dataset/path", "/dataset/test_path", "/model/weights", "/train/weights",
                                 "/finetune/mrc_job", "/interpolate/from", "/interpolate/to", "/evaluate/baseline",
                                 "/evaluate/toward", "/evaluate/corruptions/path", "/inspect/corruptions/path"})

    def test_a_rift_job_becomes_five_jobs_that_wait_for_each_other(self):
        job = self.expect(self.server.ask("POST", "/v1/jobs", {**RIFT, "label": "all"}), 201).json
        steps = job["steps"]
        self.assertEqual([one["kind"] for one in steps], ["train", "mrc", "finetune", "interpolate", "evaluate"])
        self.assertEqual([one["state"] for one in steps], ["queued"] + ["blocked"] * 4)
        ids = [one["id"] for one in steps]
        whole = [self.server.get(f"/v1/jobs/{one}").json for one in ids]
        self.assertEqual([one["step"] for one in whole], [0, 1, 2, 3, 4])
        self.assertTrue(all(one["parent"] == job["id"] and one["label"] == "all" for one in whole))
        self.assertEqual(whole[0]["after"], [])
        self.assertEqual(whole[1]["after"], [ids[0]])
        self.assertEqual(set(whole[2]["after"]), {ids[0], ids[1]})
        self.assertEqual(set(whole[3]["after"]), {ids[0], ids[2]})
        self.assertIn(ids[3], whole[4]["after"])
        self.assertEqual(whole[1]["spec"]["model"]["weights"]["job"], ids[0])
        self.assertEqual(whole[2]["spec"]["finetune"]["mrc_job"]["job"], ids[1])
        self.assertNotIn("step:", json.dumps([one["spec"] for one in whole]))

    def test_a_reference_makes_a_job_wait(self):
        train = self.submit()
        mrc = self.submit(kind="mrc", model={"weights": {"job": train["id"]}})
        self.assertEqual((mrc["state"], mrc["after"]), ("blocked", [train["id"]]))
        self.server.run(train["id"], result={})
        self.assertEqual(self.server.get(f"/v1/jobs/{mrc['id']}").json["state"], "queued")

    def test_a_reference_to_a_rift_job_means_the_step_that_has_what_is_wanted(self):
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        ids = [one["id"] for one in rift["steps"]]
        job = self.submit(kind="finetune", model={"weights": {"job": rift["id"]}},
                          finetune={"modules": "lowest", "mrc_job": {"job": rift["id"]}})
        self.assertEqual(job["spec"]["model"]["weights"]["job"], ids[3])
        self.assertEqual(job["spec"]["finetune"]["mrc_job"]["job"], ids[1])
        self.assertEqual(set(job["after"]), {ids[1], ids[3]})
        named = self.submit(kind="mrc", model={"weights": {"job": rift["id"], "artifact": "train/last.safetensors"}})
        self.assertEqual(named["spec"]["model"]["weights"], {"job": ids[0], "artifact": "last.safetensors"})

    def test_a_rift_job_that_makes_copies_has_a_sixth_step_that_its_evaluation_waits_for(self):
        spec = {**RIFT, "evaluate": {"generate_corruptions": True, "corruptions": {"severities": [5]}}}
        job = self.expect(self.server.ask("POST", "/v1/jobs", spec), 201).json
        steps = {step["kind"]: self.server.get(f"/v1/jobs/{step['id']}").json for step in job["steps"]}
        self.assertEqual(len(job["steps"]), 6)
        self.assertEqual(steps["corrupt"]["state"], "queued")
        self.assertIn(steps["corrupt"]["id"], steps["evaluate"]["after"])
        self.assertEqual(steps["evaluate"]["spec"]["evaluate"]["corruptions"]["job"], steps["corrupt"]["id"])
        self.assertEqual(steps["corrupt"]["spec"]["corrupt"]["severities"], [5])

    def test_an_evaluation_waits_for_the_job_that_corrupts_its_images(self):
        train = self.submit()
        copies = self.submit(kind="corrupt")
        job = self.submit(kind="evaluate", model={"weights": {"job": train["id"]}},
                          evaluate={"corruptions": {"job": copies["id"], "names": ["fog"]}})
        self.assertEqual(set(job["after"]), {train["id"], copies["id"]})
        self.assertEqual(job["state"], "blocked")
        self.assertEqual(job["spec"]["evaluate"]["corruptions"]["job"], copies["id"])

    def test_a_reference_that_makes_no_sense_is_refused_at_its_pointer(self):
        train = self.submit()
        mrc = self.submit(kind="mrc", model={"weights": {"job": train["id"]}})
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        cases = [
            ({"kind": "mrc", "model": {"weights": {"job": mrc["id"]}}}, "/model/weights", "no weights"),
            ({"kind": "finetune", "model": {"weights": {"job": train["id"]}},
              "finetune": {"modules": "lowest", "mrc_job": {"job": train["id"]}}}, "/finetune/mrc_job", "not an mrc job"),
            ({"kind": "mrc", "model": {"weights": {"model": train["id"]}}}, "/model/weights", "no model of this id"),
            ({"kind": "mrc", "model": {"weights": {"job": rift["id"], "artifact": "last.safetensors"}}},
             "/model/weights", "step in front"),
            ({"kind": "evaluate", "model": {"weights": {"job": train["id"]}},
              "evaluate": {"corruptions": {"job": train["id"]}}}, "/evaluate/corruptions/job",
             "this is a train job, not a corrupt job"),
        ]
        for spec, pointer, words in cases:
            with self.subTest(words):
                answer = self.expect(self.server.ask("POST", "/v1/jobs", {"dataset": DATASET, **spec}), 422, "bad-spec")
                self.assertEqual([one["pointer"] for one in answer.json["errors"]], [pointer])
                self.assertIn(words, answer.json["errors"][0]["message"])

    def test_a_jobs_spec_handed_in_again_is_the_same_spec(self):
        for spec in (TRAIN, RIFT):
            job = self.submit(**spec)
            for id in [job["id"], *(step["id"] for step in job["steps"])]:
                spec = self.server.get(f"/v1/jobs/{id}").json["spec"]
                self.assertEqual(self.expect(self.server.ask("POST", "/v1/jobs?dry_run=1", spec), 200).json, spec)

    def test_a_registered_data_set_may_be_named(self):
        self.server.do("set", datasets=[{"name": "fashion", "format": "idx", "path": "/data/fashion"}])
        self.expect(self.server.ask("POST", "/v1/jobs?dry_run=1", {"kind": "train", "dataset": {"name": "fashion"}}), 200)
        self.assertEqual(self.server.get("/v1/datasets").json["datasets"][0]["name"], "fashion")
        self.server.do("set", datasets=[{"name": "digits", "format": "idx", "path": "/data/digits"},
                                        {"name": "fashion", "format": "idx", "path": "/data/fashion"}])
        for wanted, listed in (("fashoin", "registered are: fashion, digits"), ("zz", "registered are: digits, fashion")):
            answer = self.server.ask("POST", "/v1/jobs", {"kind": "train", "dataset": {"name": wanted}})
            message = self.expect(answer, 422, "bad-spec").json["errors"][0]["message"]
            self.assertEqual(message, f'no data set is registered as "{wanted}"; {listed}')
        self.server.do("set", datasets=[])
        answer = self.server.ask("POST", "/v1/jobs", {"kind": "train", "dataset": {"name": "zz"}})
        self.assertIn("riftd's setting `dataset` does that", self.expect(answer, 422, "bad-spec").json["errors"][0]["message"])

    def test_lists_page_by_cursor_and_filter(self):
        ids = [self.submit(label="paged")["id"] for _ in range(7)]
        seen, path = [], "/v1/jobs?label=paged&limit=3"
        while path:
            answer = self.expect(self.server.get(path), 200)
            seen += [job["id"] for job in answer.json["jobs"]]
            link, cursor = answer.headers["Link"], answer.json["next"]
            self.assertEqual(link is None, cursor is None)
            path = link and link[1:link.index(">")]
            self.assertTrue(not path or cursor in path)
        self.assertEqual(seen, ids[::-1])
        self.assertEqual(len(self.server.get("/v1/jobs?label=paged&state=queued&kind=train").json["jobs"]), 7)
        self.assertEqual(self.server.get("/v1/jobs?label=paged&state=failed").json, {"jobs": [], "next": None})
        self.assertEqual(self.server.get("/v1/jobs?label=no+such%20label%26").json["jobs"], [])

    def test_jobs_are_found_by_the_beginning_of_their_ids(self):
        def found(query):
            return [job["id"] for job in self.expect(self.server.get(f"/v1/jobs?{query}"), 200).json["jobs"]]
        shared = label = ""
        while len(shared) < 8:  # once a minute they begin otherwise
            label += "begins"
            ids = [self.submit(label=label, kind=kind)["id"] for kind in ("train", "inspect", "train")]
            shared = os.path.commonprefix(ids)
        for job in ids:
            self.assertEqual(found(f"id={job}"), [job])
            self.assertEqual(found(f"id={job[:35]}"), [job])
        self.assertEqual(found(f"id={shared}&label={label}"), ids[::-1])
        self.assertEqual(found(f"id={shared}&label={label}&kind=train"), [ids[2], ids[0]])
        page = self.server.get(f"/v1/jobs?id={shared}&label={label}&limit=2").json
        self.assertEqual(found(f"id={shared}&label={label}&cursor={page['next']}"), [ids[0]])
        self.assertEqual(found(f"id={ids[0][:-1]}{'0' if ids[0][-1] != '0' else '1'}"), [])
        for wrong in (ids[0] + "0", ids[0][:7], "0190A0000", "%2500000000", "0123456g", ""):
            self.assertIn("id must be", self.expect(self.server.get(f"/v1/jobs?id={wrong}"), 400, "bad-query").json["detail"])

    def test_jobs_are_found_by_the_data_set_that_they_are_on(self):
        self.server.do("set", datasets=[{"name": "seen", "format": "idx", "path": "/data/seen"}])
        looks = [self.submit(kind="inspect", dataset={"name": "seen"})["id"] for _ in range(2)]
        self.server.do("set", datasets=[])
        self.submit(kind="inspect")
        found = self.server.get("/v1/jobs?dataset=seen&kind=inspect").json["jobs"]
        self.assertEqual([job["id"] for job in found], looks[::-1])
        self.assertEqual(self.server.get("/v1/jobs?dataset=none&kind=inspect").json["jobs"], [])
        self.expect(self.server.get("/v1/jobs?dataset=seen"), 400, "bad-query")

    def test_a_list_can_be_without_steps(self):
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        top = [job["id"] for job in self.server.get("/v1/jobs?parent=&limit=200").json["jobs"]]
        self.assertIn(rift["id"], top)
        self.assertFalse(set(top) & {one["id"] for one in rift["steps"]})

    def test_a_waiting_job_is_cancelled_at_once_and_can_be_retried(self):
        job = self.submit()
        path = f"/v1/jobs/{job['id']}"
        bells = self.server.do("calls")["bells"]
        self.assertEqual(self.expect(self.server.ask("POST", path + "/cancel"), 202).json["state"], "cancelled")
        self.expect(self.server.ask("POST", path + "/cancel"), 409, "wrong-state")
        self.assertEqual(self.expect(self.server.ask("POST", path + "/retry", {}), 202).json["state"], "queued")
        self.expect(self.server.ask("POST", path + "/retry"), 409, "wrong-state")
        self.assertEqual(self.server.do("calls")["bells"], bells + 2)

    def test_cancelling_a_running_job_asks_the_daemon_to_stop_its_worker(self):
        job = self.submit()
        self.server.start(job["id"])
        bells = self.server.do("calls")["bells"]
        answer = self.expect(self.server.ask("POST", f"/v1/jobs/{job['id']}/cancel"), 202).json
        self.assertEqual((answer["state"], answer["cancel_wanted"], answer["device"]), ("running", True, "cpu"))
        self.assertEqual(self.server.do("calls")["bells"], bells + 1)

    def test_cancelling_a_rift_job_stops_its_running_step_and_cancels_the_others(self):
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        first = rift["steps"][0]["id"]
        self.server.start(first)
        bells = self.server.do("calls")["bells"]
        answer = self.expect(self.server.ask("POST", f"/v1/jobs/{rift['id']}/cancel"), 202).json
        self.assertEqual([one["state"] for one in answer["steps"]], ["running"] + ["cancelled"] * 4)
        self.assertTrue(self.expect(self.server.get(f"/v1/jobs/{first}"), 200).json["cancel_wanted"])
        self.assertEqual(self.server.do("calls")["bells"], bells + 1)

    def test_an_ended_job_is_deleted_with_its_files_and_a_live_one_is_not(self):
        job = self.submit()
        path = f"/v1/jobs/{job['id']}"
        self.expect(self.server.ask("DELETE", path), 409, "wrong-state")
        directory = self.server.job_dir(job["id"])
        os.symlink("/etc", os.path.join(directory, "artifacts", "link"))
        self.server.run(job["id"], result={})
        answer = self.expect(self.server.ask("DELETE", path), 204)
        self.assertEqual(answer.body, b"")
        self.assertFalse(os.path.exists(directory))
        self.assertTrue(os.path.exists("/etc/passwd"))
        self.expect(self.server.get(path), 404, "no-such-job")
        self.expect(self.server.ask("DELETE", path), 404, "no-such-job")

    def test_a_failed_job_says_why(self):
        job = self.submit()
        self.server.run(job["id"], "failed", error={"code": "bad-data", "message": "no such file"})
        answer = self.server.get(f"/v1/jobs/{job['id']}").json
        self.assertEqual((answer["state"], answer["error"]["message"]), ("failed", "no such file"))
        self.assertIsNotNone(answer["ended_at"])

    def test_the_queue_shows_the_order_and_the_reasons(self):
        low, high = self.submit(priority=-5), self.submit(priority=5)
        after = self.submit(kind="mrc", model={"weights": {"job": low["id"]}})
        running = self.submit(priority=100)
        self.server.start(running["id"])
        queue = self.server.get("/v1/queue").json["jobs"]
        self.assertEqual([one["id"] for one in queue], [running["id"], high["id"], low["id"], after["id"]])
        self.assertEqual([one["queue_position"] for one in queue], [None, 1, 2, None])
        self.assertEqual(queue[3]["waiting_for"], [low["id"]])
        self.assertEqual([one["reason"] for one in queue],
                         ["runs on cpu", "is next when a device is free", "waits for a device; 1 before it",
                          f"waits for 1 other job: {low['id']} to succeed"])
        self.assertEqual(self.server.get(f"/v1/jobs/{low['id']}").json["queue_position"], 2)

    def test_a_reason_that_was_cut_within_a_character_is_told_all_the_same(self):
        job = self.submit()["id"]
        other = sqlite3.connect(os.path.join(self.server.dir, "riftd.db"), isolation_level=None)
        other.execute("PRAGMA wal_autocheckpoint = 0")
        for message in ("ä" * 200, "a" + "ä" * 200):
            other.execute("UPDATE job SET not_before_ms = 99999999999999, failure = json_object('code', 'start_failed',"
                          " 'message', ?) WHERE id = ?", (message, job))
            [reason] = [one["reason"] for one in self.server.get("/v1/queue").json["jobs"] if one["id"] == job]
            self.assertIn("after a start that failed: " + message[:50], reason)

    def test_who_leaves_before_he_is_answered_is_no_failure_of_ours(self):
        before = self.server.do("calls")["failures"]
        for _ in range(200):
            with socket.create_connection(("127.0.0.1", self.server.port)) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.sendall(b"GET /v1/version HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % self.server.port)
        self.server.get("/v1/version")
        self.assertEqual(self.server.do("calls")["failures"], before)

    def patch(self, job, change, status=200, code=None):
        return self.expect(self.server.ask("PATCH", f"/v1/jobs/{job['id']}", change), status, code).json

    def test_priority_label_hold_and_pin_are_changed_by_a_merge_patch(self):
        first, second = self.submit(), self.submit()
        bells = self.server.do("calls")["bells"]
        after = self.patch(second, {"priority": 7, "label": "näme", "pinned": True})
        self.assertEqual((after["priority"], after["label"], after["pinned"], after["held"]), (7, "näme", True, False))
        self.assertEqual(after["queue_position"], 1)
        self.assertEqual(self.server.do("calls")["bells"], bells + 1)
        after = self.patch(second, {"held": True, "label": None})
        self.assertEqual((after["held"], after["label"], after["queue_position"]), (True, None, None))
        queue = self.server.get("/v1/queue").json["jobs"]
        self.assertEqual([(one["id"], one["reason"]) for one in queue],
                         [(first["id"], "is next when a device is free"),
                          (second["id"], "is held until somebody releases it")])
        self.assertEqual(self.patch(second, {"held": False, "priority": None})["priority"], 0)
        events = self.server.get(f"/v1/jobs/{second['id']}/events?wait=0").json["events"]
        self.assertEqual([one.get("priority") for one in events if one["type"] == "changed"], [7, None, 0])

    def test_a_merge_patch_may_be_called_by_its_own_type(self):
        job = self.submit()
        answer = self.server.ask("PATCH", f"/v1/jobs/{job['id']}", {"priority": 1},
                                 **{"Content-Type": "application/merge-patch+json"})
        self.assertEqual(self.expect(answer, 200).json["priority"], 1)

    def test_all_that_is_wrong_with_a_change_is_told_and_nothing_is_changed(self):
        job = self.submit()
        wrong = self.patch(job, {"priority": 101, "label": "", "held": "yes", "state": "running", "pinned": True}, 422,
                           "bad-members")
        self.assertEqual(sorted(one["pointer"] for one in wrong["errors"]), ["/held", "/label", "/priority", "/state"])
        self.patch(job, [], 422, "bad-members")
        self.assertFalse(self.server.get(f"/v1/jobs/{job['id']}").json["pinned"])
        self.server.run(job["id"], result={})
        self.patch(job, {"held": True}, 409, "wrong-state")
        self.assertTrue(self.patch(job, {"pinned": True})["pinned"])
        self.patch({"id": "01a20937-f9c1-7b10-b840-187126c7c986"}, {}, 404, "no-such-job")

    def test_a_rift_job_hands_a_change_on_to_its_steps(self):
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        self.patch(rift, {"priority": 3, "held": True, "label": "mine"})
        steps = [self.server.get(f"/v1/jobs/{one['id']}").json for one in rift["steps"]]
        self.assertEqual({(one["priority"], one["held"]) for one in steps}, {(3, True)})
        self.assertNotIn("mine", [one["label"] for one in steps])

    def test_a_job_waits_for_another_to_end_as_it_says(self):
        first = self.submit()
        waits = {on: self.submit(after=[{"job": first["id"], "on": on}]) for on in ("success", "failure", "any")}
        self.assertEqual(waits["any"]["needs"], [{"job": first["id"], "on": "any", "state": "queued"}])
        users = self.server.get(f"/v1/jobs/{first['id']}").json["used_by"]
        self.assertEqual([(one["job"], one["kind"], one["state"]) for one in users],
                         [(job["id"], "train", "blocked") for job in waits.values()])
        self.assertEqual(waits["any"]["used_by"], [])
        self.assertEqual(waits["any"]["spec"]["after"], [{"job": first["id"], "on": "any"}])
        reasons = {one["id"]: one["reason"] for one in self.server.get("/v1/queue").json["jobs"]}
        self.assertEqual(reasons[waits["failure"]["id"]], f"waits for 1 other job: {first['id']} to fail")
        many = self.submit(after=[{"job": job["id"], "on": "any"} for job in (first, *waits.values())])
        reason = next(one["reason"] for one in self.server.get("/v1/queue").json["jobs"] if one["id"] == many["id"])
        self.assertRegex(reason, r"^waits for 4 other jobs: \S{36} to end, \S{36} to end and 2 more$")
        self.server.run(first["id"], "failed", error={"code": "x", "message": "y"})
        states = {on: self.server.get(f"/v1/jobs/{job['id']}").json["state"] for on, job in waits.items()}
        self.assertEqual(states, {"success": "cancelled", "failure": "queued", "any": "queued"})

    def test_the_steps_of_a_rift_job_wait_for_what_it_waits_for(self):
        first = self.submit()
        rift = self.expect(self.server.ask("POST", "/v1/jobs", {**RIFT, "after": [{"job": first["id"]}]}), 201).json
        self.assertEqual({one["state"] for one in rift["steps"]}, {"blocked"})
        train = self.server.get(f"/v1/jobs/{rift['steps'][0]['id']}").json
        self.assertEqual(train["needs"], [{"job": first["id"], "on": "success", "state": "queued"}])
        self.server.run(first["id"], result={})
        self.assertEqual(self.server.get(f"/v1/jobs/{train['id']}").json["state"], "queued")

    def test_what_can_never_be_waited_for_is_refused(self):
        first = self.submit()
        unknown = {"job": "01a20937-f9c1-7b10-b840-187126c7c986"}
        answer = self.server.ask("POST", "/v1/jobs", {**TRAIN, "after": [unknown]})
        self.assertEqual(self.expect(answer, 422, "bad-spec").json["errors"][0]["pointer"], "/after/0/job")
        answer = self.server.ask("POST", "/v1/jobs", {**TRAIN, "kind": "mrc", "model": {"weights": {"job": first["id"]}},
                                                      "after": [{"job": first["id"], "on": "failure"}]})
        self.assertIn("needs its success", self.expect(answer, 422, "bad-spec").json["errors"][0]["message"])

    def test_a_drained_server_says_so_until_it_is_resumed(self):
        job = self.submit()
        self.assertEqual(self.expect(self.server.ask("POST", "/v1/admin/drain"), 200).json, {"drained": True})
        self.assertIn("drained", self.expect(self.server.get("/readyz"), 503, "not-ready").json["detail"])
        checks = self.expect(self.server.get("/readyz?verbose"), 503, "not-ready").json["checks"]
        self.assertEqual([(one["name"], one["ok"]) for one in checks],
                         [("disk", True), ("drained", False), ("devices", True), ("database", True)])
        self.assertIn("drained", checks[1]["why"])
        self.expect(self.server.get("/healthz"), 200)
        queue = self.server.get("/v1/queue").json
        self.assertTrue(queue["drained"])
        self.assertIn("drained", [one["reason"] for one in queue["jobs"] if one["id"] == job["id"]][0])
        self.assertEqual(self.expect(self.server.ask("POST", "/v1/admin/resume"), 200).json, {"drained": False})
        self.expect(self.server.get("/readyz"), 200)

    def test_the_queue_tells_who_has_used_how_much(self):
        job = self.submit()
        self.server.start(job["id"])
        owners = self.server.get("/v1/queue").json["owners"]
        self.assertEqual([(one["owner"], one["running"]) for one in owners], [("", 1)])


class Results(server.Case):
    def setUp(self):
        self.drain()

    def test_curves_are_listed_and_read_point_by_point(self):
        job = self.submit()
        self.server.start(job["id"])
        for step in range(10):
            self.server.event(job["id"], "metric", name="train/loss", step=step, epoch=step / 2, value=10.0 - step)
        path = f"/v1/jobs/{job['id']}/metrics"
        series = self.server.get(path).json["series"]
        self.assertEqual([(one["name"], one["count"], one["last"], one["max"]) for one in series],
                         [("train/loss", 10, 1.0, 10.0)])
        points = self.server.get(path + "?name=train%2Floss&since=6&until=8").json["points"]
        self.assertEqual([point["step"] for point in points], [7, 8])
        points = self.server.get(path + "?name=train%2Floss&since=6").json["points"]
        self.assertEqual([(one["step"], one["epoch"], one["value"]) for one in points],
                         [(7, 3.5, 3.0), (8, 4.0, 2.0), (9, 4.5, 1.0)])
        few = self.server.get(path + "?name=train/loss&max_points=4").json["points"]
        self.assertLessEqual(len(few), 4)
        self.assertEqual((few[0]["step"], few[-1]["step"]), (0, 9))
        self.assertEqual(self.server.get(path + "?name=none").json["points"], [])
        for wrong in ("?max_points=1", "?max_points=2001", "?since=x", "?until=-1", "?step=1"):
            self.expect(self.server.get(path + wrong), 400, "bad-query")

    def test_a_rift_job_answers_for_its_steps(self):
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        train, mrc, finetune, interpolate, evaluate = [one["id"] for one in rift["steps"]]
        path = f"/v1/jobs/{rift['id']}"
        self.server.start(train)
        self.server.event(train, "metric", name="loss", step=1, value=2.0)
        self.server.event(train, "progress", phase="train", done=5, total=10)
        whole = self.server.get(path).json
        self.assertEqual(whole["steps"][0]["progress"]["done"], 5)
        self.assertEqual(self.server.get(path + "/metrics").json["job"], train)
        self.assertEqual(self.server.get(path + "/metrics?step=2").json["job"], finetune)
        self.server.do("move", job=train, state="succeeded", result={})
        self.server.start(mrc)
        for module, value in (("conv1", .5), ("layer1.0.conv1", .1), ("conv1", .7)):
            self.server.event(mrc, "module", module=module, mrc=value, robust_accuracy_drop=value / 2)
        found = self.server.get(path + "/modules").json
        self.assertEqual([(one["module"], one["mrc"]) for one in found["modules"]], [("conv1", .7), ("layer1.0.conv1", .1)])
        self.assertEqual((found["job"], found["lowest"], found["complete"]), (mrc, "layer1.0.conv1", False))
        self.server.do("move", job=mrc, state="succeeded", result={"lowest": "conv1", "images": 80, "split": "validation"})
        self.assertEqual([self.server.get(path + "/modules").json[name] for name in ("lowest", "images", "split")],
                         ["conv1", 80, "validation"])
        self.server.run(finetune, result={})
        self.server.start(interpolate)
        for alpha in (1.0, 0.5):
            self.server.event(interpolate, "alpha", alpha=alpha, clean_accuracy=alpha, robust_accuracy=None)
        found = self.server.get(path + "/interpolation").json
        self.assertEqual(([one["alpha"] for one in found["points"]], found["chosen_alpha"], found["images"]), ([.5, 1.0], None, None))
        self.server.do("move", job=interpolate, state="succeeded", result={"chosen_alpha": 0.5})
        self.assertEqual(self.server.get(path + "/interpolation").json["chosen_alpha"], 0.5)
        self.server.start(evaluate)
        self.server.event(evaluate, "evaluation", name="clean", loss=1.0, accuracy=.5)
        self.server.do("move", job=evaluate, state="succeeded", result={})
        found = self.server.get(path + "/evaluations").json
        self.assertEqual([(one["name"], one["accuracy"]) for one in found["evaluations"]], [("clean", .5)])
        self.assertEqual(self.server.get(path).json["state"], "succeeded")
        self.expect(self.server.get(path + "/modules?step=6"), 400, "bad-query")

    def test_a_job_of_another_kind_has_empty_results(self):
        job = self.submit()
        path = f"/v1/jobs/{job['id']}"
        self.assertEqual(self.server.get(path + "/modules").json["modules"], [])
        self.assertIsNone(self.server.get(path + "/modules").json["lowest"])
        self.assertEqual(self.server.get(path + "/interpolation").json["points"], [])
        self.assertEqual(self.server.get(path + "/evaluations").json["evaluations"], [])


class Service(server.Case):
    def test_a_precision_that_no_device_has_is_refused(self):
        self.server.do("set", devices=[{"id": "cpu", "precisions": ["float32", "bf16"]}])
        try:
            self.submit(precision="bf16")
            answer = self.expect(self.server.ask("POST", "/v1/jobs", {**TRAIN, "precision": "tf32"}), 422, "bad-spec")
            self.assertEqual([one["pointer"] for one in answer.json["errors"]], ["/precision"])
        finally:
            self.server.do("set", devices=[server.DEVICE])

    def test_tables_and_versions_are_served(self):
        fields = self.server.get("/v1/fields").json
        self.assertEqual([one["name"] for one in fields["kinds"]],
                         ["train", "mrc", "finetune", "interpolate", "evaluate", "rift", "corrupt", "sweep",
                          "inspect"])
        self.assertIn("/mrc/epsilon", [one["pointer"] for one in fields["fields"]])
        self.assertEqual(self.server.get("/v1/version").json["name"], "riftd")
        self.assertEqual(self.server.get("/v1/devices").json, {"devices": [server.DEVICE]})
        for code in server.OPENAPI["components"]["schemas"]["ProblemCode"]["enum"]:
            self.assertEqual(self.server.get(f"/problems/{code}").json["code"], code)

    def test_a_request_id_comes_back_when_it_is_harmless(self):
        self.assertEqual(self.server.get("/healthz", X_Request_Id="my-id.1").headers["X-Request-Id"], "my-id.1")
        for bad in ("a b", "x" * 65, "<script>", ""):
            self.assertRegex(self.server.get("/healthz", X_Request_Id=bad).headers["X-Request-Id"], "^[0-9a-f-]{36}$")

    def test_the_unix_socket_answers_whatever_the_host(self):
        import socket
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(server.DEADLINE_S)
            sock.connect(os.path.join(self.server.dir, "riftd.sock"))
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n")
            self.assertEqual(sock.recv(65536)[:12], b"HTTP/1.1 200")

    def test_pages_come_with_their_types_and_no_inline_script(self):
        for path, content_type in (("/", "text/html"), ("/web/app.js", "text/javascript"), ("/web/style.css", "text/css")):
            answer = self.server.get(path)
            self.assertEqual(answer.headers["Content-Type"], content_type + "; charset=utf-8")
            self.assertEqual(self.server.get(path, If_None_Match=answer.headers["ETag"]).status, 304)
            self.assertIn("script-src 'self'", answer.headers["Content-Security-Policy"])
        page = self.server.get("/").body.decode()
        self.assertNotRegex(page, r"<style|style=|\son\w+=|<script(?![^>]*src=)")


if __name__ == "__main__":
    unittest.main()
