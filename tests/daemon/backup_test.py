"""Does a copy of the database come back whole, and is damage found?"""

import http.client
import json
import shutil
import sqlite3
import subprocess
import unittest

from daemon_test import Case
from riftd import RIFTD, until


class Backups(Case):
    def restore(self, riftd, file):
        return subprocess.run([RIFTD, "restore", str(file), "--state", str(riftd.state)], text=True, capture_output=True,
                              check=False, timeout=60)

    def backup(self, riftd):
        status, backup = riftd.ask("POST", "/v1/admin/backups")
        self.assertEqual(status, 201, backup)
        return backup

    def check(self, riftd):
        """The lines of /v1/admin/check but those of progress."""
        connection = http.client.HTTPConnection("127.0.0.1", riftd.port, timeout=60)
        connection.request("GET", "/v1/admin/check")
        answer = connection.getresponse()
        lines = [json.loads(line) for line in answer.read().splitlines()]
        connection.close()
        self.assertEqual(answer.status, 200)
        self.assertEqual(lines[-1]["what"], "sum")
        return [line for line in lines if line["what"] != "progress"]

    def test_what_was_there_at_the_copy_is_there_after_a_restore(self):
        riftd = self.riftd()
        kept = riftd.submit("to:5 finish")
        riftd.wait(kept, "succeeded")
        backup = self.backup(riftd)
        self.assertEqual([one["name"] for one in riftd.ask("GET", "/v1/admin/backups")[1]["backups"]], [backup["name"]])
        file = riftd.state / "backups" / backup["name"]
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as copy:
            self.assertEqual(copy.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            self.assertEqual(copy.execute("PRAGMA journal_mode").fetchall(), [("delete",)])
        copy.close()
        later = riftd.submit("to:5 finish")
        riftd.wait(later, "succeeded")

        refused = self.restore(riftd, file)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("stop it first", refused.stderr)
        riftd.stop()
        done = self.restore(riftd, file)
        self.assertEqual(done.returncode, 0, done.stderr)
        before = list(riftd.state.glob("riftd.db.before-restore-*"))
        self.assertEqual(len([path for path in before if not path.name.endswith(("-wal", "-shm"))]), 1)
        riftd.start()
        self.assertEqual(riftd.job(kept)["state"], "succeeded")
        self.assert_story_whole(riftd, kept, 5)
        self.assertEqual(riftd.ask("GET", f"/v1/jobs/{later}")[0], 404)
        self.assertEqual([(line["what"], line.get("problem")) for line in self.check(riftd)[:-1]],
                         [("directory", "belongs to no job")])

    def test_a_job_that_went_on_after_the_copy_is_read_on_and_not_run_again(self):
        riftd = self.riftd()
        job = riftd.submit("to:10 hold:go to:20 finish")
        until("its tenth step", lambda: riftd.rows("SELECT COUNT(*) FROM point") == [(10,)])
        backup = self.backup(riftd)
        riftd.release(job)
        riftd.wait(job, "succeeded")
        riftd.stop()
        self.assertEqual(self.restore(riftd, riftd.state / "backups" / backup["name"]).returncode, 0)
        riftd.start()
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 1)
        self.assert_story_whole(riftd, job, 20)

    def test_what_is_no_whole_database_of_ours_is_not_put_in_place(self):
        riftd = self.riftd()
        job = riftd.submit("to:1 finish")
        riftd.wait(job, "succeeded")
        backup = riftd.state / "backups" / self.backup(riftd)["name"]
        riftd.stop()
        data = backup.read_bytes()
        wrong = {}
        wrong["text"] = b"not a database\n" * 1000
        wrong["empty"] = b""
        wrong["torn"] = data[:len(data) // 2]
        wrong["scratched"] = data[:9000] + bytes(6000) + data[15000:]
        for name, content in wrong.items():
            (self.folder / name).write_bytes(content)
        with sqlite3.connect(self.folder / "other") as other:
            other.execute("CREATE TABLE job(x)")
        other.close()
        shutil.copy(backup, self.folder / "newer")
        with sqlite3.connect(self.folder / "newer") as newer:
            newer.execute("PRAGMA user_version = 999")
        newer.close()
        for name in (*wrong, "other", "newer", "absent"):
            with self.subTest(name):
                done = self.restore(riftd, self.folder / name)
                self.assertEqual(done.returncode, 1)
                self.assertIn(name, done.stderr)
        self.assertEqual(list(riftd.state.glob("riftd.db.before-restore-*")), [])
        riftd.start()
        self.assertEqual(riftd.job(job)["state"], "succeeded")

    def test_names_that_are_no_backups_are_not_found(self):
        riftd = self.riftd()
        (riftd.state / "backups" / "other.txt").write_text("secret")
        for name in ("other.txt", "riftd-nothing.db", "..%2friftd.db", ".riftd-x.db", "riftd-x/y.db"):
            with self.subTest(name):
                self.assertIn(riftd.ask("GET", f"/v1/admin/backups/{name}")[0], (400, 404))
                self.assertIn(riftd.ask("DELETE", f"/v1/admin/backups/{name}")[0], (400, 404))
        backup = self.backup(riftd)
        self.assertEqual(riftd.ask("DELETE", backup["href"])[0], 204)
        self.assertEqual(riftd.ask("GET", "/v1/admin/backups")[1], {"backups": []})

    def test_damage_is_found_and_named(self):
        riftd = self.riftd()
        job = riftd.submit("to:2 artifact:weights.bin finish")
        riftd.wait(job, "succeeded")
        self.assertEqual([line["what"] for line in self.check(riftd)], ["sum"])
        self.assertEqual(self.check(riftd)[0]["files"], 1)
        path = riftd.dir(job) / "artifacts" / "weights.bin"
        data = path.read_bytes()

        def found():
            return [(line["what"], line["id"], line.get("name"), line["problem"]) for line in self.check(riftd)[:-1]]

        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        self.assertEqual(found(), [("job", job, "weights.bin", "has other bytes than announced")])
        path.write_bytes(data + b"x")
        self.assertEqual(found(), [("job", job, "weights.bin", "has another size than announced")])
        path.unlink()
        self.assertEqual(found(), [("job", job, "weights.bin", "missing")])
        path.symlink_to("/etc/passwd")
        self.assertEqual(found(), [("job", job, "weights.bin", "missing")])
        shutil.rmtree(riftd.dir(job))
        self.assertEqual(found(), [("job", job, None, "its directory is missing"), ("job", job, "weights.bin", "missing")])
        (riftd.state / "jobs" / "stray").mkdir()
        self.assertIn(("directory", "stray", None, "belongs to no job"), found())


if __name__ == "__main__":
    unittest.main()
