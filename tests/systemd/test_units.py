"""Does systemd take our units as they are meant?

systemd-analyze reads them in a root directory of their own; no systemd runs."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
import apart  # noqa: E402, F401  (it lies in another folder)

UNITS = ROOT / "systemd"
NAMES = ("riftd.service", "riftd.socket", "rift-worker.socket", "rift-worker@.service", "riftd.slice", "riftd-backup.service",
         "riftd-backup.timer")
# The targets that every unit stands on.
STANDING = ("basic.target", "sysinit.target", "shutdown.target", "sockets.target", "slices.target", "local-fs.target",
            "network.target", "multi-user.target", "paths.target", "timers.target")
# systemd-analyze's exposure level times ten, at most. 20 is what the house asks of riftd; the worker has graphics
# cards, writes the code that it runs and reads home directories, and stays below it all the same.
EXPOSURE = {"riftd.service": 20, "rift-worker@.service": 20, "riftd-backup.service": 30}


def unit(name):
    """[(section, key, value)] in the file's order; a key may come often."""
    section, found = None, []
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.append((section, key, value))
    return found


def values(name, key):
    return [value for _, its_key, value in unit(name) if its_key == key]


class Units(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.root)
        folder = self.root / "usr/lib/systemd/system"
        folder.mkdir(parents=True)
        (self.root / "usr/bin").mkdir()
        for name in NAMES:
            shutil.copy(UNITS / name, folder)
        for target in STANDING:
            (folder / target).write_text("[Unit]\nDescription=stands here for the real one\n")
        for program in ("riftd", "riftctl", "rift-worker", "kill"):
            shutil.copy("/bin/true", self.root / "usr/bin" / program)

    def analyze(self, *words):
        return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)

    def verify(self):
        names = [name.replace("@.", "@1.") for name in NAMES]
        return self.analyze("verify", "--man=no", f"--root={self.root}", *names)

    def test_systemd_has_nothing_to_say_about_any_unit(self):
        end = self.verify()
        self.assertEqual((end.returncode, end.stderr), (0, ""))

    def test_a_wrong_word_in_a_unit_would_be_noticed(self):
        path = self.root / "usr/lib/systemd/system/rift-worker@.service"
        path.write_text(path.read_text().replace("Nice=", "Nicer="))
        self.assertIn("Unknown key 'Nicer'", self.verify().stderr)

    def test_the_units_are_locked_down(self):
        for name, most in EXPOSURE.items():
            with self.subTest(unit=name):
                end = self.analyze("security", "--offline=true", f"--threshold={most}", str(UNITS / name))
                self.assertEqual(end.returncode, 0, end.stdout[-300:])
                print(f"{name}: {end.stdout.strip().splitlines()[-1].lstrip('→ ')}", file=sys.stderr)

    def test_nothing_ties_workers_to_riftd(self):
        for name in ("rift-worker@.service", "rift-worker.socket", "riftd.slice"):
            for _, key, value in unit(name):
                self.assertNotIn(key, ("PartOf", "BindsTo", "Requires", "Requisite", "StopPropagatedFrom"), f"{name}: {value}")

    def test_riftd_asks_where_the_launcher_listens(self):
        asked = re.search(r"--launcher (\S+)", values("riftd.service", "ExecStart")[0]).group(1)
        self.assertEqual(values("rift-worker.socket", "ListenStream"), [asked])
        self.assertEqual(values("rift-worker.socket", "Accept"), ["yes"])

    def test_only_riftds_user_reaches_the_launcher(self):
        self.assertEqual(values("rift-worker.socket", "SocketMode"), ["0600"])
        users = {values("rift-worker.socket", "SocketUser")[0], *values("riftd.service", "User"),
                 *values("rift-worker@.service", "User")}
        self.assertEqual(users, {"riftd"})

    def test_every_program_that_riftds_unit_starts_may_be_started(self):
        allowed = [path.lstrip("-") for path in values("riftd.service", "ExecPaths")[0].split()]
        for key in ("ExecStart", "ExecReload"):
            for command in values("riftd.service", key):
                self.assertIn(command.split()[0], allowed)

    def test_a_mistake_in_the_settings_fails_a_reload_and_is_tried_once_at_a_start(self):
        self.assertEqual([command.split()[:2] for command in values("riftd.service", "ExecReload")],
                         [["/usr/bin/riftd", "--check-config"], ["/usr/bin/kill", "-HUP"]])
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("colour = red\n")
            file.flush()
            done = subprocess.run([f"{os.environ['RIFT_BUILD']}/riftd", "--check-config", "--config", file.name],
                                  capture_output=True, text=True, check=False)
        self.assertEqual([str(done.returncode)], values("riftd.service", "RestartPreventExitStatus"), done.stderr)

    def test_a_worker_has_longer_than_riftd_gives_it(self):
        printed = subprocess.run([f"{os.environ['RIFT_BUILD']}/riftd", "--print-settings", "--json", "--state", "/nowhere"],
                                 capture_output=True, text=True, check=True).stdout
        grace = next(row["default"] for row in json.loads(printed)["settings"] if row["key"] == "grace-s")
        grace_s = int(re.fullmatch(r"(\d+)s?", str(grace)).group(1))
        self.assertGreater(int(values("rift-worker@.service", "TimeoutStopSec")[0]), grace_s)

    def test_the_backup_is_riftctls_and_keeps_some(self):
        command, = values("riftd-backup.service", "ExecStart")
        program, *words = command.split()
        self.assertEqual(program, "/usr/bin/riftctl")
        self.assertIn(words[words.index("--server") + 1].removeprefix("unix:"), values("riftd.socket", "ListenStream"))
        told = subprocess.run([f"{os.environ['RIFT_BUILD']}/riftctl", "admin", "backup", "--help"], capture_output=True,
                              text=True, check=True).stdout
        for word in (word for word in words if word.startswith("--") and word != "--server"):
            self.assertIn(f"  {word} ", told)
        self.assertGreater(int(words[words.index("--keep") + 1]), 6)
        self.assertEqual(values("riftd-backup.service", "User"), ["riftd"])

    def test_the_users_are_ones_that_systemd_would_make(self):
        if not shutil.which("systemd-sysusers"):
            self.skipTest("systemd-sysusers is not installed")
        end = subprocess.run(["systemd-sysusers", f"--root={self.root}", "--dry-run", str(UNITS / "riftd.sysusers")],
                             capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(end.returncode, 0, end.stderr)


if __name__ == "__main__":
    if not shutil.which("systemd-analyze"):
        print("skipped: systemd-analyze is not installed")
        sys.exit(77)
    unittest.main()
