#!/usr/bin/env python3
"""What only administrators ask for, over HTTP; what copies are worth is tests/daemon/backup_test.py's."""
import json
import os
import sqlite3
import tempfile
import unittest

import server
from test_streams import opened


class Backups(server.Case):
    def test_a_copy_is_made_listed_downloaded_in_parts_and_deleted(self):
        job = self.submit()["id"]
        made = self.expect(self.server.ask("POST", "/v1/admin/backups"), 201)
        path = made.headers["Location"]
        self.assertEqual(path, made.json["href"])
        listed = self.expect(self.server.get("/v1/admin/backups"), 200).json["backups"]
        self.assertIn(made.json, listed)
        whole = self.expect(self.server.get(path), 200).body
        self.assertEqual(len(whole), made.json["size"])
        self.assertEqual(self.expect(self.server.get(path, Range="bytes=0-15"), 206).body, b"SQLite format 3\0")
        self.expect(self.server.get(path, Range=f"bytes={len(whole)}-"), 416, "bad-range")
        with tempfile.NamedTemporaryFile() as file:
            file.write(whole)
            file.flush()
            copy = sqlite3.connect(file.name)
            self.assertEqual(copy.execute("SELECT state FROM job WHERE id = ?", (job,)).fetchall(), [("queued",)])
            copy.close()
        self.expect(self.server.ask("DELETE", path), 204)
        self.expect(self.server.get(path), 404, "no-such-file")
        self.expect(self.server.ask("DELETE", path), 404, "no-such-file")


class Health(server.Case):
    def test_health_and_readiness_turn_red_and_green_again(self):
        self.assertEqual(self.server.get("/healthz").json, {"status": "ok"})
        self.assertEqual(self.server.get("/readyz").json, {"status": "ok"})
        every = [{"name": name, "ok": True, "why": None} for name in ("disk", "drained", "devices", "database")]
        for query in ("verbose", "verbose=1"):
            self.assertEqual(self.server.get(f"/readyz?{query}").json, {"status": "ok", "checks": every})
        self.server.do("set", devices=[])
        self.assertNotIn("checks", self.expect(self.server.get("/readyz"), 503, "not-ready").json)
        told = self.expect(self.server.get("/readyz?verbose"), 503, "not-ready").json
        self.assertEqual([one["name"] for one in told["checks"] if not one["ok"]], ["devices"])
        self.assertEqual(told["detail"], told["checks"][2]["why"])
        self.server.do("set", devices=[server.DEVICE])
        self.assertEqual(self.server.get("/readyz").status, 200)
        other = sqlite3.connect(os.path.join(self.server.dir, "riftd.db"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        self.expect(self.server.get("/healthz"), 503, "not-ready")
        other.execute("ROLLBACK")
        other.close()
        self.assertEqual(self.server.get("/healthz").status, 200)


class Checks(server.Case):
    def test_a_check_says_what_it_found_a_line_at_a_time_and_is_counted_as_a_stream(self):
        answer = self.expect(self.server.get("/v1/admin/check"), 200)
        lines = [json.loads(line) for line in answer.body.splitlines()]
        self.assertEqual((lines[-1]["what"], lines[-1]["findings"]), ("sum", 0))
        streams = [opened(self.server.port, "/v1/events?after=now") for _ in range(4)]
        self.expect(self.server.get("/v1/admin/check"), 503, "too-many-streams")
        for stream in streams:
            stream.close()


class AuditFailures(server.Case):
    def test_an_audit_log_that_cannot_be_written_is_told_once_and_loses_nothing(self):
        other = sqlite3.connect(os.path.join(self.server.dir, "riftd.db"))
        self.addCleanup(other.close)
        other.execute("CREATE TRIGGER never BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
        before = self.server.do("calls")["failures"]
        self.submit()
        for _ in range(5):
            self.assertEqual(self.server.get("/v1/audit").json["audit"], [])
        self.assertEqual(self.server.do("calls")["failures"], before + 1)
        other.execute("DROP TRIGGER never")
        rows = self.server.get("/v1/audit").json["audit"]
        self.assertEqual([(row["method"], row["path"], row["status"]) for row in rows], [("POST", "/v1/jobs", 201)])


class Audits(server.Case):
    def test_the_audit_log_is_read_page_by_page_and_only_by_admins(self):
        admin = self.expect(self.server.ask("POST", "/v1/tokens", {"name": "root", "role": "admin"}), 201).json["token"]
        self.server.token = admin
        reader = self.expect(self.server.ask("POST", "/v1/tokens", {"name": "eyes", "role": "read"}), 201).json["token"]
        self.submit()
        page = self.expect(self.server.get("/v1/audit?limit=2"), 200).json
        self.assertTrue(page)
        self.server.token = reader
        self.expect(self.server.get("/v1/audit"), 403, "forbidden")


if __name__ == "__main__":
    unittest.main()
