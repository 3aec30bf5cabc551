"""Does riftd hear what it is told, by whom, and does it hear again on SIGHUP?"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from riftd import PATIENCE_S, RIFTD, Riftd, until

ROOT = pathlib.Path(__file__).parents[2]
EX_CONFIG = 78


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "riftd.conf"
        self.file.write_text("")
        self.log = self.folder / "riftd.log"

    def run_riftd(self, *arguments, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RIFTD_")}
        return subprocess.run([RIFTD, "--config", str(self.file), *arguments], capture_output=True, text=True,
                              timeout=PATIENCE_S, env={**clean, **environment})

    def settings(self, *arguments, **environment):
        done = self.run_riftd("--print-settings", "--json", *arguments, **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return {row["key"]: row for row in json.loads(done.stdout)["settings"]}

    def riftd(self, *options, **more):
        riftd = Riftd(self.folder / "state", "--config", str(self.file), *options, **more)
        riftd.start()
        self.addCleanup(riftd.close)
        return riftd

    def hang_up(self, riftd, words):
        """SIGHUP, until the log says these words once more; the lines since."""
        before = len(self.log.read_text())
        riftd.process.send_signal(signal.SIGHUP)
        return until(words, lambda: words in self.log.read_text()[before:] and self.log.read_text()[before:])


class Sources(Case):
    def test_every_value_is_told_with_who_says_it(self):
        self.file.write_text("# ours\n\ngrace-s = 2min\nlog-level = warning\n")
        rows = self.settings("--port", "7", RIFTD_LOG_LEVEL="debug")
        said = {key: (row["value"], row["origin"]) for key, row in rows.items()}
        self.assertEqual(said["grace-s"], (120, f"file {self.file}:3"))
        self.assertEqual(said["log-level"], ("debug", "environment RIFTD_LOG_LEVEL"))
        self.assertEqual(said["port"], (7, "flag"))
        self.assertEqual(said["max-attempts"], (5, "default"))
        text = self.run_riftd("--print-settings", "--port", "7").stdout
        self.assertRegex(text, rf"(?m)^grace-s +2min +file {self.file}:3$")
        self.assertRegex(text, r"(?m)^port +7 +flag$")
        self.assertEqual(len({re.match(r"\S+ +", line).end() for line in text.splitlines()}), 1, text)  # one column

    def test_the_table_is_there_for_programs(self):
        rows = self.settings()
        for row in rows.values():
            self.assertEqual(set(row), {"key", "value", "origin", "type", "default", "min", "max", "unit", "values",
                                        "argument", "reloadable", "secret", "meaning"})
            self.assertEqual(row["min"] is None, row["type"] not in ("integer", "bytes", "duration"), row)
        self.assertEqual((rows["grace-s"]["default"], rows["grace-s"]["unit"], rows["grace-s"]["max"]), ("30s", "s", 86400))

    def test_the_page_about_settings_names_every_one_with_its_default(self):
        page = (ROOT / "docs" / "settings.md").read_text()
        told = dict(line.strip("|").split("|")[:2] for line in page.splitlines() if line.startswith("| `"))
        told = {key.strip(" `"): default.strip(" `") for key, default in told.items()}
        self.assertEqual(told, {key: row["default"] or "" for key, row in self.settings().items()})
        files = ("tls-cert", "tls-key")  # which SIGHUP reads again, by the same names
        when = dict(re.findall(r"(?m)^\| `([a-z-]+)` \|[^|]*\| ?([a-z ]*?) ?\|", page))
        self.assertEqual(when, {key: "its file" if key in files else "yes" if row["reloadable"] else "restart"
                                for key, row in self.settings().items()})

    def test_help_names_every_setting_and_every_command(self):
        text = self.run_riftd("--help").stdout
        for key, row in self.settings().items():
            self.assertIn(f"{'*' if row['reloadable'] else ' '} --{key} {row['argument']}", text)
        for command in ("--config FILE", "--check-config", "--print-settings", "--help", "--version"):
            self.assertIn(f"  {command}", text)

    def test_a_file_is_checked_as_a_whole(self):
        self.file.write_text("grace-s = 5\nprot = 80\nmax-attempts = 0\n[more]\n")
        done = self.run_riftd("--check-config")
        self.assertEqual(done.returncode, EX_CONFIG)
        self.assertEqual(done.stderr.splitlines(), [
            f"riftd: {self.file}:2: prot: there is no such setting; did you mean port?",
            f"riftd: {self.file}:3: max-attempts: expected a whole number from 1 to 1000, not \"0\"",
            f"riftd: {self.file}:4: expected KEY = VALUE, not \"[more]\"; there are no sections here"])
        self.file.write_text("grace-s = 5\n")
        done = self.run_riftd("--check-config")
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.file}: no mistakes\n"))

    def test_mistakes_keep_riftd_from_starting(self):
        state = str(self.folder / "state")
        self.file.write_text("max-attempts = no\n")
        self.assertEqual(self.run_riftd("--state", state).returncode, EX_CONFIG)
        self.file.write_text("")
        self.assertEqual(self.run_riftd("--state", state, RIFTD_PORT="no").returncode, EX_CONFIG)
        self.assertEqual(self.run_riftd("--state", state, "--port", "no").returncode, 2)
        self.assertFalse((self.folder / "state").exists())

    def test_riftd_runs_by_its_file_alone(self):
        self.file.write_text(f"state = {self.folder}/state\nlisten = 127.0.0.1:0\nworker = {os.environ['SCRIPTED_WORKER']}\n"
                             f"dataset = one=idx:{self.folder}\ndataset = two=idx:{self.folder}\n")
        riftd = Riftd(self.folder / "state")
        riftd.command = lambda: [RIFTD, "--config", str(self.file)]
        riftd.start()
        self.addCleanup(riftd.close)
        names = [row["name"] for row in riftd.ask("GET", "/v1/datasets")[1]["datasets"]]
        self.assertEqual(names[:2], ["one", "two"])

    def test_workers_do_not_inherit_what_riftd_was_told(self):
        riftd = self.riftd(environment={"RIFTD_GRACE_S": "7", "RIFT_OTHER": "8"})
        job = riftd.submit("hold:go finish")
        riftd.wait(job, "running")
        until("worker at work", lambda: riftd.journal(job))
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        inherited = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        self.assertEqual([one for one in inherited if one.startswith(b"RIFTD_")], [])
        self.assertIn(b"RIFT_OTHER=8", inherited)
        riftd.release(job)
        riftd.wait(job, "succeeded")


class Reloading(Case):
    def names(self, riftd):
        return [row["name"] for row in riftd.ask("GET", "/v1/datasets")[1]["datasets"] if row["name"] != "fashion-mnist"]

    def test_what_can_change_changes_and_the_rest_waits_for_a_restart(self):
        self.file.write_text("grace-s = 20\n")
        riftd = self.riftd()
        self.assertEqual(self.names(riftd), [])
        self.file.write_text(f"grace-s = 40\nmax-attempts = 1\nslots = cpu:2\ndataset = new=idx:{self.folder}\n")
        said = self.hang_up(riftd, "settings read again")
        self.assertIn(f"grace-s: 40s, was 20s (file {self.file}:1)", said)
        self.assertIn(f"slots: cpu:2 (file {self.file}:3) wants a restart; until then it is none", said)
        self.assertEqual(self.names(riftd), ["new"])
        self.assertEqual(riftd.wait(riftd.submit("to:1 finish", dataset={"name": "new"}), "succeeded")["state"], "succeeded")
        with self.assertRaisesRegex(AssertionError, "worker_crashed"):  # of which one is enough now
            riftd.wait(riftd.submit("to:1 kill"), "succeeded")
        until("its end is logged", lambda: "failed: " in self.log.read_text())  # which is in words of its own
        said = self.hang_up(riftd, "settings read again")
        self.assertNotIn(", was", said)
        self.assertIn("wants a restart", said)

    def test_a_flag_still_counts_before_the_file(self):
        riftd = self.riftd("--grace-s", "9")
        self.file.write_text("grace-s = 40\nlog-level = debug\n")
        said = self.hang_up(riftd, "settings read again")
        self.assertIn("log-level: debug, was info", said)
        self.assertNotIn("grace-s", said)

    def test_a_file_with_mistakes_changes_nothing(self):
        self.file.write_text(f"dataset = old=idx:{self.folder}\n")
        riftd = self.riftd()
        for text, words in ((f"dataset = new=idx:{self.folder}\nprot = 3\n", f"{self.file}:2: prot: there is no such"),
                            ("dataset = new=idx:/no/such\n", f"{self.file}:1: dataset: /no/such"),
                            (f"dataset = new=idx:{self.folder}\n" * 2, "given twice")):
            self.file.write_text(text)
            said = self.hang_up(riftd, "settings stay as they were")
            self.assertIn(words, said)
            self.assertEqual(self.names(riftd), ["old"])
        self.file.unlink()
        self.assertIn(str(self.file), self.hang_up(riftd, "settings stay as they were"))
        self.assertEqual(self.names(riftd), ["old"])

    def test_less_is_logged_at_a_lower_level(self):
        self.file.write_text("log-level = error\n")
        riftd = self.riftd()
        job = riftd.wait(riftd.submit("to:1 finish"), "succeeded")["id"]
        self.assertNotIn(job, self.log.read_text())
        self.file.write_text("log-level = info\n")
        self.hang_up(riftd, "settings read again")
        job = riftd.wait(riftd.submit("to:1 finish"), "succeeded")["id"]
        until("it is logged", lambda: f"job {job}: succeeded" in self.log.read_text())

    def test_systemd_hears_of_the_reload(self):
        path = str(self.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(PATIENCE_S)
            riftd = self.riftd(environment={"NOTIFY_SOCKET": path})
            self.assertIn(b"READY=1", notify.recv(4096).splitlines())
            self.hang_up(riftd, "settings read again")
            self.assertRegex(notify.recv(4096), rb"^RELOADING=1\nMONOTONIC_USEC=\d+$")
            self.assertEqual(notify.recv(4096), b"READY=1")

    def test_requests_and_reloads_at_once_see_one_list_or_the_other(self):
        files = [f"dataset = a{i}=idx:{self.folder}\ndataset = b{i}=idx:{self.folder}\n" for i in range(2)]
        self.file.write_text(files[0])
        riftd = self.riftd()
        seen, stop = [], threading.Event()

        def look():
            while not stop.is_set():
                seen.append(tuple(self.names(riftd)))

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for i in range(1, 21):
                self.file.write_text(files[i % 2])
                self.hang_up(riftd, "settings read again")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(set(seen), {("a0", "b0"), ("a1", "b1")})


if __name__ == "__main__":
    unittest.main()
