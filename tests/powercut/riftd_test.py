"""Is what riftd answered with 201 there after a power cut at once, even its very first answer?

The campaign (tests/campaign) cuts at random while much goes on; here are the moments it seldom hits.
"""
import http.client
import json
import os
import pathlib
import random
import shutil
import struct
import tempfile
import unittest

from disk import LEFT, Disk
from riftd import Riftd, until

SHIM = os.environ["POWERCUT_SHIM"]


class FirstAnswers(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="powercut-riftd-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.count = 0

    def fresh(self, rules, *options):
        self.count += 1
        folder = self.folder / str(self.count)
        disk = Disk(folder, SHIM, rules)
        self.addCleanup(disk.__exit__)
        riftd = Riftd(disk.root / "state", *options, environment=disk.environment())
        riftd.log_path = folder / "riftd.log"
        self.addCleanup(riftd.close)
        return disk, riftd.start()

    def cut(self, disk, riftd, how):
        with disk.frozen() as ice:
            riftd.kill_all()
            ice.cut(random.Random(1), how)
        riftd.environment = disk.environment()
        riftd.start()

    def test_the_first_job_of_a_new_state_directory_survives_a_power_cut(self):
        for rules in ("strict", "ext4"):
            for how in LEFT:
                disk, riftd = self.fresh(rules)
                job = riftd.submit("finish")
                self.cut(disk, riftd, how)
                self.assertEqual(riftd.job(job)["id"], job, f"{rules}, {how}")

    def test_every_event_that_was_given_out_is_in_the_journal_and_the_database_after_a_power_cut(self):
        for how in LEFT:
            disk, riftd = self.fresh("strict")
            job = riftd.submit("slow:2 to:40 hold:never")
            told = until("forty steps", lambda: (events := self.events(riftd, job)) and len(events) > 40 and events)
            self.cut(disk, riftd, how)
            self.assertEqual(self.events(riftd, job)[:len(told)], told, how)
            said = [event["seq"] for event in told if event.get("seq")]
            self.assertEqual([event["seq"] for event in riftd.journal(job)][:len(said)], said, how)

    @staticmethod
    def events(riftd, job):
        return riftd.ask("GET", f"/v1/jobs/{job}/events?wait=0&limit=1000")[1]["events"]

    def test_an_uploaded_model_is_there_to_the_last_byte(self):
        header = json.dumps({"w": {"dtype": "F32", "shape": [5000], "data_offsets": [0, 20000]}}).encode()
        weights = struct.pack("<Q", len(header)) + header + bytes(range(250)) * 80
        for how in LEFT:
            disk, riftd = self.fresh("strict")
            status, model = self.send(riftd, "POST", "/v1/models?name=mine", weights)
            self.assertEqual(status, 201, model)
            self.cut(disk, riftd, how)
            self.assertEqual(self.send(riftd, "GET", f"/v1/models/{json.loads(model)['id']}/weights"), (200, weights), how)

    @staticmethod
    def send(riftd, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", riftd.port, timeout=60)
        connection.request(method, path, body, {"Content-Type": "application/octet-stream"} if body else {})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def test_a_cancelled_and_a_deleted_job_stay_so(self):
        disk, riftd = self.fresh("strict")
        gone, stopped = riftd.submit("finish"), riftd.submit("hold:never")
        riftd.wait(gone, "succeeded")
        self.assertEqual(riftd.ask("DELETE", f"/v1/jobs/{gone}")[0], 204)
        self.assertEqual(riftd.ask("POST", f"/v1/jobs/{stopped}/cancel")[0], 202)
        self.cut(disk, riftd, "nothing")
        self.assertEqual(riftd.ask("GET", f"/v1/jobs/{gone}")[0], 404)
        riftd.wait(stopped, "cancelled")


if __name__ == "__main__":
    unittest.main()
