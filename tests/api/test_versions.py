#!/usr/bin/env python3
"""Has the job changed? ETags, conditional changes, and waiting for the next change."""
import os
import threading
import time
import unittest

import server
from server import RIFT

AGES_S = 300  # a wait that only ends in time when something ends it


class Tags(server.Case):
    def setUp(self):
        self.drain()
        self.job = self.submit()
        self.path = f"/v1/jobs/{self.job['id']}"

    def tag(self, path=None):
        return self.server.get(path or self.path).headers["ETag"]

    def test_a_tag_stands_for_exactly_one_answer(self):
        tag = self.tag()
        for text in (tag, f'"other", {tag}', "W/" + tag, "*"):
            answer = self.server.get(self.path, If_None_Match=text)
            self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", tag), text)
        self.assertEqual(self.server.get(self.path, If_None_Match='"1-0000000000000000"').status, 200)
        self.assertEqual(self.server.ask("HEAD", self.path).headers["ETag"], tag)
        self.server.start(self.job["id"])
        answer = self.expect(self.server.get(self.path, If_None_Match=tag), 200)
        self.assertNotEqual(answer.headers["ETag"], tag)

    def test_what_comes_from_elsewhere_makes_another_tag_but_no_other_version(self):
        other = self.submit()
        path = f"/v1/jobs/{other['id']}"
        before, tag = self.server.get(path).json, self.tag(path)
        self.server.start(self.job["id"])
        answer = self.expect(self.server.get(path, If_None_Match=tag), 200)
        self.assertEqual((before["queue_position"], answer.json["queue_position"]), (2, 1))
        self.assertEqual(answer.json["version"], before["version"])
        self.assertNotEqual(answer.headers["ETag"], tag)
        self.expect(self.server.ask("POST", path + "/cancel", If_Match=tag), 202)

    def test_every_change_that_is_seen_makes_a_new_version(self):
        seen = [self.server.get(self.path).json["version"]]

        def step(what):
            seen.append(self.server.get(self.path).json["version"])
            self.assertGreater(seen[-1], seen[-2], what)

        self.server.start(self.job["id"])
        step("it runs")
        self.server.event(self.job["id"], "progress", phase="train", done=1, total=2)
        step("it got on")
        self.server.ask("POST", self.path + "/cancel")
        step("it is to be cancelled")
        self.server.do("move", job=self.job["id"], state="cancelled")
        step("it is cancelled")
        self.server.ask("POST", self.path + "/retry")
        step("it is retried")
        self.server.event(self.job["id"], "metric", name="loss", step=1, value=1.0)
        self.assertEqual(self.server.get(self.path).json["version"], seen[-1])

    def test_a_parents_version_grows_with_its_steps(self):
        self.drain()
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201)
        path = rift.headers["Location"]
        tag, version = self.tag(path), rift.json["version"]
        step = rift.json["steps"][0]["id"]
        self.server.start(step)
        self.server.event(step, "progress", phase="train", done=1, total=2)
        answer = self.expect(self.server.get(path, If_None_Match=tag), 200)
        self.assertGreater(answer.json["version"], version)

    def test_a_change_with_an_old_tag_is_refused_and_changes_nothing(self):
        old = self.tag()
        self.server.event(self.job["id"], "progress", phase="wait", done=0, total=1)
        for method, path in (("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
            for text in (old, '"7"', "", "W/" + self.tag(), "7-0"):
                self.expect(self.server.ask(method, self.path + path, If_Match=text), 412, "precondition-failed")
        self.assertEqual(self.server.get(self.path).json["state"], "queued")
        answer = self.expect(self.server.ask("POST", self.path + "/cancel", If_Match=f"{old}, {self.tag()}"), 202)
        self.assertEqual(answer.headers["ETag"], self.tag())
        retried = self.expect(self.server.ask("POST", self.path + "/retry", If_Match=answer.headers["ETag"]), 202)
        self.expect(self.server.ask("POST", self.path + "/cancel", If_Match="*"), 202)
        self.expect(self.server.ask("DELETE", self.path, If_Match=retried.headers["ETag"]), 412, "precondition-failed")
        os.makedirs(self.server.job_dir(self.job["id"]), exist_ok=True)
        self.expect(self.server.ask("DELETE", self.path, If_Match=self.tag()), 204)
        self.expect(self.server.ask("DELETE", self.path, If_Match=old), 404, "no-such-job")

    def test_of_many_who_saw_the_same_exactly_one_changes_it(self):
        for _ in range(5):
            tag = self.tag()
            statuses = []
            threads = [threading.Thread(target=lambda: statuses.append(
                self.server.ask("POST", self.path + "/cancel", If_Match=tag).status)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sorted(statuses), [202] + [412] * 7)
            self.server.ask("POST", self.path + "/retry")


class Waits(server.Case):
    """Every answer also has to fit the document, spaces in front or not."""
    @classmethod
    def make_server(cls):
        return server.Alone(heartbeat_ms=50, stream_limit=4)

    def setUp(self):
        self.drain()
        self.job = self.submit()
        self.id = self.job["id"]
        self.path = f"/v1/jobs/{self.id}"

    def asked(self, path, **headers):
        """Ask in a thread of its own; waits until the server has said that it waits, by a space."""
        answers, began = [], threading.Event()

        def opened():
            connection = self.server.connect()
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            if response.status != 503:
                return connection, response
            connection.close()  # who has just had his answer may take a moment to be missed
            return None

        def ask():
            connection, response = server.until("room", opened)
            first = response.read(1)
            began.set()
            answer = server.Answer(response, first + response.read())
            wrong = server.answer_misfits("GET", path, answer)
            answers.append(wrong or answer)
            connection.close()

        thread = threading.Thread(target=ask)
        thread.start()
        self.assertTrue(began.wait(server.DEADLINE_S))

        def get():
            thread.join(server.DEADLINE_S)
            self.assertFalse(thread.is_alive(), "it still waits")
            return answers[0]
        return get

    def test_a_job_is_answered_as_soon_as_it_changes(self):
        get = self.asked(f"{self.path}?wait={AGES_S}&version={self.job['version']}")
        self.server.start(self.id)
        answer = get()
        self.assertTrue(answer.body.startswith(b" "))
        self.assertEqual((answer.json["state"], answer.headers["ETag"]), ("running", None))
        self.assertGreater(answer.json["version"], self.job["version"])
        self.assertEqual(answer.json, self.server.get(self.path).json)

    def test_without_a_version_the_next_change_is_meant(self):
        get = self.asked(f"{self.path}?wait={AGES_S}")
        self.server.start(self.id)
        self.assertEqual(get().json["state"], "running")

    def test_who_is_behind_is_answered_at_once_and_with_a_tag(self):
        self.server.start(self.id)
        answer = self.expect(self.server.get(f"{self.path}?wait={AGES_S}&version={self.job['version']}"), 200)
        self.assertEqual(answer.headers["ETag"], self.server.get(self.path).headers["ETag"])
        self.expect(self.server.get(f"/v1/jobs/{self.id[:-1]}x?wait=5"), 404, "no-such-job")
        for wrong in ("wait=301", "wait=-1", "wait=x", "version=-1", "wait=1&version=x"):
            self.expect(self.server.get(f"{self.path}?{wrong}"), 400, "bad-query")

    def test_when_the_time_is_over_the_job_is_as_it_was(self):
        began = time.monotonic()
        answer = self.expect(self.server.get(f"{self.path}?wait=1"), 200)
        self.assertGreater(time.monotonic() - began, 0.9)
        self.assertEqual(answer.json, self.job)
        self.assertEqual(self.server.ask("HEAD", f"{self.path}?wait=1").status, 200)

    def test_a_parents_wait_ends_with_its_steps_change(self):
        self.drain()
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        get = self.asked(f"/v1/jobs/{rift['id']}?wait={AGES_S}")
        self.server.start(rift["steps"][0]["id"])
        self.assertEqual(get().json["steps"][0]["state"], "running")

    def test_a_job_that_is_deleted_meanwhile_is_told_as_it_was(self):
        self.server.ask("POST", f"{self.path}/cancel")
        get = self.asked(f"{self.path}?wait={AGES_S}")
        self.expect(self.server.ask("DELETE", self.path), 204)
        self.server.do("calls")  # api_alone tells of news after each command
        self.assertEqual(get().json["state"], "cancelled")
        self.expect(self.server.get(f"{self.path}?wait=1"), 404, "no-such-job")

    def test_events_are_answered_as_soon_as_there_is_one(self):
        path = f"{self.path}/events?wait={AGES_S}&after="
        first = self.expect(self.server.get(path + "0", Accept="application/json"), 200).json
        self.assertEqual([one["state"] for one in first["events"]], ["queued"])
        get = self.asked(path + str(first["last"]), Accept="application/json")
        self.server.start(self.id)
        answer = get().json
        self.assertEqual([one["state"] for one in answer["events"]], ["running"])
        self.assertEqual(answer["last"], answer["events"][-1]["id"])

    def test_all_events_can_be_waited_for_too(self):
        get = self.asked(f"/v1/events?wait={AGES_S}&after=now", Accept="application/json")
        self.server.start(self.id)
        self.assertEqual([one["job"] for one in get().json["events"]], [self.id])

    def test_no_events_come_of_an_ended_job_and_none_before_the_time_is_over(self):
        last = self.server.get(f"{self.path}/events?wait=0").json["last"]
        empty = self.server.get(f"{self.path}/events?wait=1&after={last}", Accept="application/json")
        self.assertEqual(empty.json, {"events": [], "last": last})
        self.server.ask("POST", f"{self.path}/cancel")
        last = self.server.get(f"{self.path}/events?wait=0").json["last"]
        ended = self.server.get(f"{self.path}/events?wait={AGES_S}&after={last}", Accept="application/json")
        self.assertEqual(ended.json, {"events": [], "last": last})

    def test_those_who_wait_are_streams_and_counted_as_such(self):
        gets = [self.asked(f"{self.path}?wait={AGES_S}") for _ in range(4)]
        self.expect(self.server.get(f"{self.path}?wait=1"), 503, "too-many-streams")
        self.expect(self.server.get(self.path), 200)
        self.server.start(self.id)
        self.assertEqual([get().json["state"] for get in gets], ["running"] * 4)


class Stopping(unittest.TestCase):
    def test_whoever_waits_is_answered_when_riftd_stops(self):
        alone = server.Alone(heartbeat_ms=50)
        job = alone.ask("POST", "/v1/jobs", server.TRAIN).json
        connections = []
        for path, accept in ((f"/v1/jobs/{job['id']}?wait={AGES_S}", "*/*"),
                             (f"/v1/events?wait={AGES_S}&after=now", "application/json")):
            connection = alone.connect()
            connection.request("GET", path, headers={"Accept": accept})
            connections.append((connection, connection.getresponse()))
        for _, response in connections:
            self.assertEqual(response.read(1), b" ")
        alone.stop()
        bodies = [server.json.loads(response.read()) for _, response in connections]
        self.assertEqual((bodies[0], bodies[1]["events"]), (job, []))
        for connection, _ in connections:
            connection.close()


if __name__ == "__main__":
    unittest.main()
