"""Does a job with many rows stay deleted when riftd is killed while it removes them?"""
import os
import unittest

import backup_test
from daemon_test import Case
from riftd import until

POINTS = int(os.environ.get("RIFT_TEST_POINTS", 60000))  # some dozen slices


class Deletions(Case):
    check = backup_test.Backups.check

    def filled(self):
        """A riftd, stopped, whose one job has ended and has so many points and events; and one with few."""
        riftd = self.riftd()
        jobs = [riftd.submit("to:5 artifact:best finish") for _ in range(2)]
        for job in jobs:
            riftd.wait(job, "succeeded")
        self.assertEqual(riftd.stop(), 0)
        riftd.change("INSERT INTO point(series, step, time_ms, value) WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL"
                     " SELECT i + 1 FROM n WHERE i < 1000 + ?) SELECT series.id, i, 1, 0.5 FROM n, series JOIN job"
                     " ON number = job WHERE job.id = ?", POINTS, jobs[0])
        riftd.change("INSERT INTO event(job, family, seq, time_ms, type, fields) WITH RECURSIVE n(i) AS (SELECT 1000"
                     " UNION ALL SELECT i + 1 FROM n WHERE i < 1000 + ?) SELECT number, family, i, 1, 'metric', '{}'"
                     " FROM n, job WHERE job.id = ?", POINTS, jobs[0])
        return riftd.start(), *jobs

    def gone_for_all(self, riftd, job, other):
        self.assertEqual(riftd.ask("GET", f"/v1/jobs/{job}")[0], 404)
        self.assertEqual(riftd.ask("GET", f"/v1/jobs/{job}/metrics")[0], 404)
        self.assertEqual([one["id"] for one in riftd.ask("GET", "/v1/jobs")[1]["jobs"]], [other])
        events = riftd.ask("GET", "/v1/events?after=0&wait=0&limit=1000")[1]["events"]
        self.assertEqual({event["job"] for event in events}, {other})
        found = self.check(riftd)
        self.assertEqual([line for line in found if line["what"] != "sum"], [])
        self.assertEqual(found[-1]["jobs"], 1)

    def left(self, riftd):
        return riftd.rows("SELECT (SELECT COUNT(*) FROM point) + (SELECT COUNT(*) FROM event)")[0][0]

    def test_a_deletion_that_is_killed_again_and_again_ends_clean(self):
        riftd, job, other = self.filled()
        few = riftd.rows("SELECT (SELECT COUNT(*) FROM point JOIN series ON series.id = series JOIN job ON number = job"
                         " WHERE job.id = ?) + (SELECT COUNT(*) FROM event JOIN job ON number = job WHERE job.id = ?)",
                         other, other)[0][0]
        directory = riftd.dir(job)
        self.assertTrue(directory.exists())
        all_rows = self.left(riftd)
        self.assertEqual(riftd.ask("DELETE", f"/v1/jobs/{job}")[0], 204)
        kills = 0
        for part in (1, 0.8, 0.6, 0.4, 0.2):
            until(f"{part} are left", lambda: self.left(riftd) <= all_rows * part)
            riftd.kill()
            kills += self.left(riftd) > few
            riftd.start()
            self.gone_for_all(riftd, job, other)
        self.assertGreaterEqual(kills, 2, "too few kills fell into the deletion")
        until("all rows gone", lambda: riftd.rows("SELECT COUNT(*) FROM job") == [(1,)])
        self.assertEqual(self.left(riftd), few)
        self.gone_for_all(riftd, job, other)
        self.assertFalse(directory.exists())
        self.assertEqual(list((riftd.state / "trash").iterdir()), [])
        self.assertEqual(riftd.job(other)["state"], "succeeded")

    def test_retention_removes_a_jobs_rows_in_slices_too(self):
        riftd, job, other = self.filled()
        self.assertEqual(riftd.ask("PATCH", f"/v1/jobs/{other}", {"pinned": True})[0], 200)
        self.assertEqual(riftd.stop(), 0)
        riftd.options = (*riftd.options, "--retain-jobs", "1s")
        riftd.start()
        until("it is gone", lambda: riftd.ask("GET", f"/v1/jobs/{job}")[0] == 404)
        self.gone_for_all(riftd, job, other)
        until("all rows gone", lambda: riftd.rows("SELECT COUNT(*) FROM job") == [(1,)])


if __name__ == "__main__":
    unittest.main()
