#!/usr/bin/env python3
"""The same refusals, and a job's life, with the real riftd."""
import unittest

import server
from refusals import Refusals


class Riftd(Refusals, server.Case):
    @classmethod
    def make_server(cls):
        return server.Daemon("--owner-queued-max", "1000", "--owner-bytes-max", "1GiB", "--time-limit-max", "1h")

    def test_the_services_answer(self):
        self.assertEqual(self.server.get("/readyz").json, {"status": "ok"})
        disk = self.server.get("/v1/queue").json["disk"]
        self.assertGreaterEqual(disk["total_bytes"], disk["free_bytes"])
        self.assertEqual(disk["short"], disk["free_bytes"] < disk["floor_bytes"])
        for path in ("/v1/datasets", "/v1/devices", "/v1/queue", "/v1/fields", "/v1/version", "/v1/events?wait=0"):
            self.expect(self.server.get(path), 200)
        self.assertTrue(self.server.get("/v1/devices").json["devices"])
        self.assertEqual(self.server.get("/v1/version").json["limits"],
                         {"body_bytes": 1 << 20, "upload_bytes": 8 << 30, "streams": 256, "requests_per_s": None,
                          "owner_running": None, "owner_queued": 1000, "owner_bytes": 1 << 30, "time_limit_s": 3600})

    def test_a_job_without_data_fails_with_words_and_can_be_deleted(self):
        job = self.submit()["id"]
        stream = self.server.get(f"/v1/jobs/{job}/events").body.decode()  # ends with the job
        self.assertIn("event: end", stream)
        job = self.expect(self.server.get(f"/v1/jobs/{job}"), 200).json
        self.assertEqual(job["state"], "failed")
        self.assertIn(server.DATASET["path"], job["error"]["message"])
        self.expect(self.server.get(f"/v1/jobs/{job['id']}/log"), 200)
        self.expect(self.server.ask("DELETE", f"/v1/jobs/{job['id']}"), 204)


if __name__ == "__main__":
    unittest.main()
