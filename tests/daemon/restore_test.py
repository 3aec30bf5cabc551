"""Do the steps that docs/operations.md gives for a restore bring everything back?

Here without systemd: riftd and its workers are stopped by signals, in the documented order, and started by hand. What
systemd adds is tests/packaging's."""

import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time
import unittest

from daemon_test import Case
from riftd import PATIENCE_S, RIFTD, Riftd, until

ROOT = pathlib.Path(__file__).parents[2]
RIFTCTL = pathlib.Path(RIFTD).with_name("riftctl")
NOBODY = 65534


class Hands(Case):
    """What an administrator has."""

    def ctl(self, riftd, *words, code=0):
        """What riftctl prints."""
        done = subprocess.run([RIFTCTL, "--state", str(riftd.state), *words], capture_output=True, text=True, check=False,
                              timeout=PATIENCE_S)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def offline(self, state, *words, code=0):
        done = subprocess.run([RIFTD, *words, "--state", str(state)], capture_output=True, text=True, check=False,
                              timeout=PATIENCE_S)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def copy_files(self, of, to):
        """As `rsync -a --ignore-existing OF/jobs OF/models TO/`."""
        subprocess.run(["cp", "-an", of / "jobs", of / "models", to], check=True)


class Restoring(Hands):
    def at_work(self, riftd, script):
        """A job that holds after its tenth step, with its checkpoint written."""
        job = riftd.submit(script)
        until("its tenth step", lambda: riftd.rows("SELECT COUNT(*) FROM point JOIN series ON series.id = point.series WHERE"
                                                   " series.job = (SELECT number FROM job WHERE id = ?)", job) == [(10,)])
        until("its checkpoint", lambda: riftd.journal(job)[-1]["type"] == "checkpoint")
        return job

    def backed_up(self):
        """A riftd with a job that has ended and one that is at work; where both copies went: database, then files."""
        riftd = self.riftd("--slots", "cpu:2")
        ended = riftd.submit("to:5 artifact:weights.bin finish")
        riftd.wait(ended, "succeeded")
        running = self.at_work(riftd, "to:10 hold:go to:20 finish")
        backup = self.folder / "backup"
        backup.mkdir()
        printed = self.ctl(riftd, "admin", "backup", "--to", f"{backup}/", "--keep", "0").strip()
        self.assertRegex(printed, rf"^{backup}/riftd-\d{{8}}T\d{{6}}\.\d{{3}}Z\.db$")
        self.assertEqual(self.ctl(riftd, "admin", "backups").count("riftd-"), 0)
        self.copy_files(riftd.state, backup)
        return riftd, ended, running, backup, printed

    def assert_back(self, riftd, ended, running):
        """Both jobs are there; the one that was at work goes on to its end."""
        self.assertEqual(riftd.job(ended)["state"], "succeeded")
        self.assert_story_whole(riftd, ended, 5)
        riftd.wait(running, "running")
        riftd.release(running)
        riftd.wait(running, "succeeded")
        self.assert_story_whole(riftd, running, 20)

    def test_drained_stopped_restored_started_and_checked_everything_is_back(self):
        riftd, ended, running, _, copy = self.backed_up()
        later = riftd.submit("to:3 finish")  # of which the copy knows nothing
        riftd.wait(later, "succeeded")

        self.ctl(riftd, "admin", "drain")
        worker = riftd.worker_pid(running)
        self.assertIn("riftd is running", self.offline(riftd.state, "restore", copy, code=1))
        riftd.stop()
        why = self.offline(riftd.state, "restore", copy, code=1)  # the worker went on
        self.assertIn(f"a worker is at work on job {running}", why)
        self.assertEqual(list(riftd.state.glob("riftd.db.*")), [])
        os.kill(worker, signal.SIGTERM)
        until("the worker gone", lambda: not riftd.workers())
        self.assertEqual(riftd.journal(running)[-1]["type"], "interrupted")
        self.offline(riftd.state, "restore", copy)
        riftd.start()
        found = self.ctl(riftd, "admin", "check", code=1)
        self.assertIn(f"directory {later}: belongs to no job\n", found)
        self.assertIn(" 1 finding\n", found)
        self.ctl(riftd, "admin", "resume")
        self.assert_back(riftd, ended, running)

        # What is left over, and that it may go.
        self.assertEqual([path.name for path in riftd.state.iterdir() if "restor" in path.name or "returning" in path.name],
                         [path.name for path in riftd.state.glob("riftd.db.before-restore-*Z")])
        again = self.ctl(riftd, "submit", str(riftd.dir(later) / "spec.json"), "--set", "label=finish").strip()
        riftd.wait(again, "succeeded")
        shutil.rmtree(riftd.dir(later))
        for path in riftd.state.glob("riftd.db.before-restore-*"):
            path.unlink()
        self.assertIn(" 0 findings\n", self.ctl(riftd, "admin", "check"))

    def test_after_the_disk_was_lost_everything_is_back_on_another(self):
        riftd, ended, running, backup, copy = self.backed_up()
        riftd.kill_all()
        shutil.rmtree(riftd.state)
        other = Riftd(self.folder / "other", "--slots", "cpu:2")
        other.state.mkdir(0o700)
        self.copy_files(backup, other.state)
        self.assertIn(f"{copy} is the database of {other.state} now", self.offline(other.state, "restore", copy))
        other.start()
        self.addCleanup(other.close)
        self.assertIn(" 0 findings\n", self.ctl(other, "admin", "check"))
        self.assert_back(other, ended, running)

    def test_without_room_for_the_copy_all_is_as_it_was_and_no_half_of_it_is_left(self):
        riftd = self.riftd()
        copy = self.folder / "copy.db"
        self.ctl(riftd, "admin", "backup", "--to", str(copy))
        riftd.stop()
        before = sorted(os.listdir(riftd.state))
        # Python ignores SIGXFSZ; so does the child, for which a file then just can't grow.
        done = subprocess.run([RIFTD, "restore", copy, "--state", riftd.state], capture_output=True, text=True, check=False,
                              timeout=PATIENCE_S, restore_signals=False,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("File too large", done.stderr)
        self.assertEqual(sorted(os.listdir(riftd.state)), before)

    def test_a_log_without_its_database_stays_when_it_cannot_be_put_aside(self):
        riftd = self.riftd()
        copy = self.folder / "copy.db"
        self.ctl(riftd, "admin", "backup", "--to", str(copy))
        riftd.stop()
        (riftd.state / "riftd.db").unlink()
        (riftd.state / "riftd.db-wal").write_bytes(b"its log")
        (riftd.state / "riftd.db-shm").write_bytes(b"its index")
        for second in range(PATIENCE_S):  # where the second of the logs would go
            at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + second))
            (riftd.state / f"riftd.db.before-restore-{at}-shm").mkdir()
        before = sorted(os.listdir(riftd.state))
        done = subprocess.run([RIFTD, "restore", copy, "--state", riftd.state], capture_output=True, text=True, check=False,
                              timeout=PATIENCE_S)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("Is a directory", done.stderr)
        self.assertEqual(sorted(os.listdir(riftd.state)), before)
        self.assertEqual((riftd.state / "riftd.db-wal").read_bytes(), b"its log")

    def test_the_documented_steps_are_in_this_order(self):
        text = (ROOT / "docs/operations.md").read_text().split("## Backup and restore")[1].split("\n## ")[0]
        block = next(part for part in re.findall(r"(?m)(?:^    .*\n)+", text) if " riftd restore " in part)
        steps = ["admin drain", "stop riftd.socket rift-worker.socket riftd.service", "stop 'rift-worker@*'", "riftd restore ",
                 "systemctl start", "admin check", "admin resume"]
        places = [block.find(step) for step in steps]
        self.assertNotIn(-1, places, dict(zip(steps, places)))
        self.assertEqual(places, sorted(places))


@unittest.skipUnless(os.getuid() == 0, "only root can be somebody else")
class ByRoot(Case):
    def test_root_restores_and_makes_tokens_as_the_user_whose_state_it_is(self):
        riftd = self.riftd()
        status, backup = riftd.ask("POST", "/v1/admin/backups")
        self.assertEqual(status, 201)
        riftd.stop()
        (self.folder / "roots").mkdir(mode=0o700)
        copy = shutil.move(riftd.state / "backups" / backup["name"], self.folder / "roots")
        self.folder.chmod(0o755)
        for path in (riftd.state, *riftd.state.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        for words in (["restore", copy], ["token", "create"]):
            subprocess.run([RIFTD, *words, "--state", str(riftd.state)], capture_output=True, check=True, timeout=PATIENCE_S)
        owners = {path.name: path.stat().st_uid for path in riftd.state.rglob("*")}
        self.assertEqual(set(owners.values()), {NOBODY}, owners)
        self.assertEqual((riftd.state / "riftd.db").stat().st_mode & 0o777, 0o600)
        refused = subprocess.run([RIFTD, "restore", copy, "--state", str(riftd.state)], capture_output=True, text=True,
                                 check=False, timeout=PATIENCE_S, user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertEqual(refused.returncode, 1)  # who can't read the copy can't have it read


class Keeping(Hands):
    def test_old_copies_go_and_what_riftd_did_not_write_stays(self):
        riftd = self.riftd()
        folder = riftd.state / "backups"
        old = ["riftd-20200101T000000.000Z.db", "riftd-20210101T000000.000Z.db"]
        others = ["riftd-before-the-move.db", "riftd-20190101T000000.000Z.db.gz", "notes.txt", "riftd-2019010XT000000.000Z.db",
                  "riftd-20190101T000000.000Z-copy.db"]
        for name in (*old, *others):
            (folder / name).write_text("x")
        made = [self.ctl(riftd, "admin", "backup").strip() for _ in range(2)]
        kept = self.ctl(riftd, "admin", "backup", "--keep", "2").strip()
        self.assertEqual(sorted(os.listdir(folder)), sorted([made[1], kept, *others]))
        self.ctl(riftd, "admin", "backup", "--keep", "1")
        self.assertEqual(len(os.listdir(folder)), 1 + len(others))

    def test_a_clock_that_was_put_back_costs_no_copy(self):
        riftd = self.riftd()
        future = riftd.state / "backups" / "riftd-29990101T000000.000Z.db"
        future.write_text("x")
        made = self.ctl(riftd, "admin", "backup", "--keep", "1").strip()
        self.assertTrue((riftd.state / "backups" / made).exists())

    def test_none_is_deleted_where_none_is_made_or_kept(self):
        riftd = self.riftd()
        made = self.ctl(riftd, "admin", "backup").strip()
        for words in (["--keep", "0"], ["--keep", "-1"], ["--keep", "two"], ["--keep", ""]):
            self.ctl(riftd, "admin", "backup", *words, code=2)
        self.ctl(riftd, "admin", "backup", "--to", str(self.folder / "not/there.db"), "--keep", "0", code=1)
        self.assertIn(made, self.ctl(riftd, "admin", "backups"))


if __name__ == "__main__":
    unittest.main()
