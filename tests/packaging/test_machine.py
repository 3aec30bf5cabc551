"""Does the package do on a Debian 12 what it should: installed, started, upgraded, removed, purged?

Two machines, one after the other on the same disk: one without systemd, one with systemd as PID 1, where the units
are tried live. Tests run in the order of their names and build upon each other."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))

from machine import PLAIN, Machine, until, why_not  # noqa: E402
from package import package_make  # noqa: E402
from real import rift_spec, write_examples  # noqa: E402

DATA = "/srv/examples.safetensors"
STATE = "/var/lib/riftd"
SOCKET = ("--server", "unix:/run/riftd/riftd.sock")
OPERATIONS = (pathlib.Path(__file__).resolve().parents[2] / "docs/operations.md").read_text()
UNITS = ("riftd.service", "riftd.socket", "rift-worker.socket")


def spec(**more):
    """A training; with many epochs one that lasts as long as a test wants."""
    whole = rift_spec(DATA)
    for step in ("mrc", "finetune", "interpolate"):
        del whole[step]
    return json.dumps({**whole, "kind": "train", "checkpoint_every_s": 1, **more})


def documented(section, holds):
    """The block of commands of operations.md that has these words, as root would type it."""
    text = OPERATIONS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    block = next(part for part in re.findall(r"(?m)(?:^ {4,}.*\n)+", text) if holds in part)
    return re.sub(r"(?m)^ +", "", block).replace("sudo ", "")


def setUpModule():
    global machine
    machine = Machine()
    unittest.addModuleCleanup(machine.away)
    machine.make()
    (machine.root / "srv").mkdir(exist_ok=True)
    write_examples(machine.root / DATA[1:])
    with tempfile.TemporaryDirectory(prefix="rift-test-") as folder:
        shutil.copy(package_make(folder), machine.root / "riftd.deb")


class Machined(unittest.TestCase):
    ctl_options = ()

    def ctl(self, *words, **more):
        return machine.out("riftctl", *self.ctl_options, *words, **more)

    def submit(self, **more):
        return self.ctl("submit", "-", input=spec(**more)).split()[0]

    def job(self, job):
        return json.loads(self.ctl("show", job, "--json"))

    def wait(self, job, state):
        return until(f"job {job} {state}", lambda: (lambda body: body if body["state"] == state else None)(self.job(job)))

    def long_job(self):
        """A job that is at work and has a checkpoint; its worker's pid in the machine."""
        job = self.submit(train={"epochs": 100000, "method": "standard"})
        self.wait(job, "running")
        until("a checkpoint", lambda: machine.run("test", "-e", f"{STATE}/jobs/{job}/checkpoint", check=False).returncode == 0
              and '"checkpoint"' in machine.out("cat", f"{STATE}/jobs/{job}/journal.ndjson", check=False))
        return job, until("its worker", lambda: self.worker(job))

    def worker(self, job):
        found = machine.out("pgrep", "-f", f"rift-worker run .*{STATE}/jobs/{job}$", check=False).split()
        return int(found[0]) if found else 0

    def assert_purged(self):
        for path in (STATE, "/run/riftd", "/etc/riftd", "/usr/share/riftd", "/usr/share/doc/riftd", "/usr/bin/riftd"):
            self.assertNotEqual(machine.run("test", "-e", path, check=False).returncode, 0, f"{path} is left")
        left = machine.out("find", "/etc", "/var", "/usr", "-xdev", "(", "-name", "*riftd*", "-o", "-name", "rift-worker*",
                           ")", "-not", "-path", "/var/log/*", "-not", "-path", "/var/cache/*")
        self.assertEqual(left, "")
        self.assertIn("unknown ok not-installed", machine.out("dpkg-query", "-W", "-f", "${Status}", "riftd", check=False)
                      or "unknown ok not-installed")


class A_WithoutSystemd(Machined):
    ctl_options = ("--state", STATE, "--token-file", "/root/token")

    @classmethod
    def tearDownClass(cls):
        machine.stop()

    def riftd(self):
        """Start the installed riftd by hand, as its user."""
        daemon = subprocess.Popen(machine.inside("setpriv", "--reuid=riftd", "--regid=riftd", "--init-groups", "riftd",
                                                 "--state", STATE, "--port", "0"),
                                  stdout=subprocess.PIPE, text=True, env=machine.environment())
        self.assertTrue(daemon.stdout.readline().startswith("listening on "))
        self.addCleanup(daemon.stdout.close)
        return daemon

    def end(self, daemon):
        machine.run("pkill", "-x", "riftd")
        self.assertEqual(daemon.wait(60), 0)

    def test_1_it_installs_with_everything_it_needs(self):
        machine.chroot("apt-get", "update", "-q")
        said = machine.chroot("apt-get", "install", "-q", "-y", "--no-install-recommends", "/riftd.deb", "rsync").stdout
        self.assertIn("  sudo riftd token create --state /var/lib/riftd\n", said)
        self.assertIn("riftd", machine.chroot("getent", "passwd", "riftd").stdout)
        self.assertIn("riftd", machine.chroot("getent", "group", "rift").stdout)
        for program in ("riftd", "riftctl", "rift-worker"):
            self.assertIn(f"usage: {program}", machine.chroot(program, "--help").stdout)

    def test_2_a_job_runs_with_what_is_installed(self):
        machine.boot(PLAIN)
        machine.run("sh", "-c", f"umask 077; riftd token create --state {STATE} >/root/token")  # root's, as riftd's user
        self.assertEqual(machine.out("stat", "-c", "%U", f"{STATE}/riftd.db"), "riftd")
        daemon = self.riftd()
        self.assertEqual(machine.run("riftctl", "--state", STATE, "list", check=False).returncode, 7)  # a token is wanted
        out = self.ctl("submit", "-", "--watch", input=spec())
        self.assertRegex(out, r"succeeded")
        self.end(daemon)

    def test_3_an_upgrade_leaves_riftd_and_its_worker_alone(self):
        daemon = self.riftd()
        job, worker = self.long_job()
        machine.run("dpkg", "-i", "/riftd.deb")
        self.assertEqual(self.worker(job), worker)
        self.end(daemon)
        self.assertEqual(self.worker(job), worker)
        daemon = self.riftd()  # the new one, whose worker program is another file than the one that runs
        self.assertEqual((self.job(job)["state"], self.worker(job)), ("running", worker))
        self.ctl("cancel", job)
        self.wait(job, "cancelled")
        self.end(daemon)

    def test_4_removed_it_leaves_jobs_and_settings_and_purged_nothing(self):
        machine.run("dpkg", "-r", "riftd")
        for path in (STATE, "/etc/riftd/riftd.conf"):
            machine.run("test", "-e", path)
        machine.run("dpkg", "-P", "riftd")
        self.assert_purged()


class B_WithSystemd(Machined):
    ctl_options = SOCKET

    @classmethod
    def setUpClass(cls):
        machine.boot()

    @classmethod
    def tearDownClass(cls):
        machine.stop()

    def restarted(self, before):
        """riftd's new pid."""
        return until("another riftd", lambda: (lambda pid: pid if pid not in (0, before) else 0)(machine.main_pid())
                     if machine.show("riftd.service", "ActiveState") == "active" else 0)

    def status(self, pid):
        return dict(re.findall(r"^(\w+):\s*(.*)$", machine.out("cat", f"/proc/{pid}/status"), re.M))

    @staticmethod
    def outside(pid):
        """The number that the machine's process has here."""
        for path in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                numbers = re.search(r"^NSpid:\s*(.*)$", path.read_text(), re.M).group(1).split()
            except OSError:
                continue
            if len(numbers) > 1 and numbers[-1] == str(pid) and str(machine.folder.name) in (path.parent / "cgroup").read_text():
                return int(path.parent.name)
        raise AssertionError(f"process {pid} of the machine is gone")

    def as_seen_by(self, pid, *words):
        """Root runs a program among that process's mounts: (exit code, stderr)."""
        done = machine.run("nsenter", "--target", pid, "--mount", "--", *words, check=False)
        return done.returncode, done.stderr

    def assert_writes_only_its_state(self, pid):
        root = pathlib.Path(f"/proc/{self.outside(pid)}/root")
        for place in ("/usr", "/etc", "/var/lib", "/home", "/srv"):
            with self.assertRaisesRegex(OSError, "Read-only file system", msg=place):
                (root / place[1:] / "probe").touch()
        (root / STATE[1:] / "probe").touch()
        (root / STATE[1:] / "probe").unlink()

    def unit_of(self, pid):
        return machine.out("cat", f"/proc/{pid}/cgroup").strip().rsplit("::", 1)[1]

    def test_01_installed_it_runs_at_once_and_at_every_boot(self):
        said = machine.run("dpkg", "-i", "/riftd.deb").stdout
        self.assertIn(f"  sudo riftctl {' '.join(SOCKET)} admin token create NAME --role admin\n", said)
        for unit in UNITS:
            self.assertEqual(machine.out("systemctl", "is-active", unit, check=False), "active", self.journal())
            self.assertEqual(machine.out("systemctl", "is-enabled", unit), "enabled")

    def journal(self):
        return machine.out("journalctl", "--no-pager", "-n", "60", "-u", "riftd", "-u", "rift-worker@*", check=False)

    def test_02_a_job_runs_in_a_unit_of_its_own(self):
        job, worker = self.long_job()
        self.assertRegex(self.unit_of(worker), r"/riftd\.slice/rift-worker@[^/]+\.service$")
        self.assertIn("/system.slice/riftd.service", self.unit_of(machine.main_pid()))
        self.ctl("cancel", job)
        self.wait(job, "cancelled")
        until("its unit is gone", lambda: "rift-worker@" not in machine.out("systemctl", "list-units", "--all", "--no-legend",
                                                                           "rift-worker@*"))
        self.assertRegex(self.ctl("submit", "-", "--watch", input=spec()), "succeeded")

    def test_03_a_worker_survives_restarts_and_the_death_of_riftd(self):
        job, worker = self.long_job()
        before = machine.main_pid()
        machine.run("systemctl", "restart", "riftd")
        second = self.restarted(before)
        self.assertEqual((self.job(job)["state"], self.worker(job)), ("running", worker))
        machine.run("kill", "-KILL", second)
        self.restarted(second)
        self.assertEqual((self.job(job)["state"], self.worker(job)), ("running", worker))
        self.assertIn(f"worker {worker} found again", self.journal())
        self.ctl("cancel", job)
        self.wait(job, "cancelled")

    def test_04_a_killed_worker_is_noticed_and_its_job_goes_on(self):
        job, worker = self.long_job()
        machine.run("kill", "-KILL", worker)
        second = until("another worker", lambda: self.worker(job) not in (0, worker) and self.worker(job))
        self.assertNotEqual(second, worker)
        until("riftd knows it", lambda: self.job(job)["attempts"] == 2)
        self.ctl("cancel", job)
        self.wait(job, "cancelled")

    def test_05_a_stopped_worker_unit_is_an_interruption(self):
        job, worker = self.long_job()
        machine.run("systemctl", "stop", "rift-worker@*.service")
        until("another worker", lambda: self.worker(job) not in (0, worker))
        self.assertIn('"interrupted"', machine.out("cat", f"{STATE}/jobs/{job}/journal.ndjson"))
        self.ctl("cancel", job)
        self.wait(job, "cancelled")

    def test_06_riftd_is_locked_down(self):
        pid = machine.main_pid()
        status = self.status(pid)
        self.assertEqual([status[key] for key in ("NoNewPrivs", "Seccomp", "CapBnd", "CapEff")],
                         ["1", "2", "0" * 16, "0" * 16])
        self.assertEqual(status["Uid"].split()[0], machine.out("id", "-u", "riftd"))
        self.assertEqual(self.as_seen_by(pid, "/usr/bin/riftd", "--version")[0], 0)
        for program in ("/usr/bin/rift-worker", "/bin/sh", "/usr/bin/python3"):
            self.assertIn("Permission denied", self.as_seen_by(pid, program, "--version")[1])
        self.assert_writes_only_its_state(pid)
        machine.run("mknod", "/dev/card", "c", "195", "0")
        devices = set(os.listdir(f"/proc/{self.outside(pid)}/root/dev"))
        self.assertEqual((machine.run("test", "-e", "/dev/card").returncode, "card" in devices), (0, False))

    def test_07_a_worker_is_locked_up(self):
        job, worker = self.long_job()
        status = self.status(worker)
        self.assertEqual([status[key] for key in ("NoNewPrivs", "Seccomp", "CapBnd", "CapEff")],
                         ["1", "2", "0" * 16, "0" * 16])
        networks = {machine.out("readlink", f"/proc/{pid}/ns/net") for pid in (1, worker)}
        self.assertEqual(len(networks), 2)  # its own, with nothing in it
        self.assertEqual(machine.out("cat", f"/proc/{worker}/net/route").count("\n"), 0)
        self.assert_writes_only_its_state(worker)
        self.ctl("cancel", job)
        self.wait(job, "cancelled")

    def test_08_a_reload_takes_new_settings_without_a_restart(self):
        before = machine.main_pid()
        machine.run("sh", "-c", "echo 'grace-s = 7' >>/etc/riftd/riftd.conf")
        machine.run("systemctl", "reload", "riftd")
        until("it says so", lambda: re.search(r"grace-s", self.journal()))
        self.assertEqual(machine.main_pid(), before)

    def test_08a_a_mistake_in_the_settings_fails_the_reload_and_is_tried_once_at_a_start(self):
        before = machine.main_pid()
        machine.run("sh", "-c", "echo 'colour = red' >>/etc/riftd/riftd.conf")
        self.assertNotEqual(machine.run("systemctl", "reload", "riftd", check=False).returncode, 0)
        self.assertEqual(machine.main_pid(), before)
        self.assertIn("colour: there is no such setting", self.journal())
        self.assertNotEqual(machine.run("systemctl", "restart", "riftd", check=False).returncode, 0)
        until("it gave up", lambda: machine.show("riftd.service", "ActiveState") == "failed")
        self.assertEqual((machine.show("riftd.service", "NRestarts"), machine.show("riftd.service", "ExecMainStatus")), ("0", "78"))
        machine.run("sed", "-i", "/^colour/d", "/etc/riftd/riftd.conf")
        machine.run("systemctl", "reset-failed", "riftd.socket", "riftd.service")
        machine.run("systemctl", "start", "riftd.socket", "riftd.service")
        self.ctl("list")

    def test_09_a_connection_starts_a_stopped_riftd(self):
        machine.run("systemctl", "stop", "riftd.service")
        self.assertEqual(machine.out("systemctl", "is-active", "riftd.service", check=False), "inactive")
        self.ctl("list")
        until("riftd says that it is ready", lambda: machine.show("riftd.service", "ActiveState") == "active")

    def test_10_only_the_group_rift_may_use_the_unix_socket(self):
        ask = ("import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/riftd/riftd.sock'); "
               "s.sendall(b'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n'); "
               "print(s.recv(20).decode())")
        nobody = machine.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "python3", "-c", ask, check=False)
        self.assertIn("PermissionError", nobody.stderr)
        member = machine.run("setpriv", "--reuid=nobody", "--regid=rift", "--clear-groups", "python3", "-c", ask)
        self.assertIn("HTTP/1.1 200", member.stdout)
        launcher = ask.replace("riftd.sock", "worker.sock")
        member = machine.run("setpriv", "--reuid=nobody", "--regid=rift", "--clear-groups", "python3", "-c", launcher, check=False)
        self.assertIn("PermissionError", member.stderr)

    def test_11_a_riftd_that_hangs_is_started_anew_by_the_watchdog(self):
        folder = "/run/systemd/system/riftd.service.d"
        machine.run("mkdir", "-p", folder)
        machine.run("sh", "-c", f"printf '[Service]\\nWatchdogSec=2\\n' >{folder}/watchdog.conf; systemctl daemon-reload")
        machine.run("systemctl", "restart", "riftd")
        before = machine.main_pid()
        machine.run("kill", "-STOP", before)
        self.restarted(before)
        self.assertIn("watchdog", machine.out("journalctl", "--no-pager", "-n", "60", "-u", "riftd").lower())
        machine.run("rm", "-r", folder)
        machine.run("systemctl", "daemon-reload")

    def test_11a_nobody_on_loopback_is_let_in_before_there_is_a_token_and_step_1_makes_one(self):
        asked = machine.run("riftctl", "list", check=False)
        self.assertEqual(asked.returncode, 7, asked.stderr)
        self.assertIn("admin token create", asked.stderr)
        first = documented("Secure", "admin token create \"$USER\"")
        done = machine.run("env", "USER=me", "HOME=/root", "sh", "-ec", first)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], "^me, admin, by token [a-z0-9]{12}$")
        self.assertIn("  admin   me ", done.stdout)
        self.assertIn(" POST /v1/tokens\n", done.stdout)
        self.assertEqual(machine.out("stat", "-c", "%a %F", "/root/.config/riftctl/token"), "600 regular file")

    def test_11b_the_timers_service_copies_the_database_and_a_drop_in_the_files(self):
        machine.run("mkdir", "-p", "/backup", "/etc/systemd/system/riftd-backup.service.d")
        line = re.search(r"(?m)^ +(ExecStart=\+.*)$", OPERATIONS).group(1)
        machine.run("sh", "-c", f"printf '[Service]\\n{line}\\n' >/etc/systemd/system/riftd-backup.service.d/override.conf; "
                    "systemctl daemon-reload")
        self.assertEqual(machine.out("systemctl", "is-enabled", "riftd-backup.timer", check=False), "disabled")
        machine.run("systemctl", "enable", "--now", "riftd-backup.timer")
        self.assertEqual(machine.out("systemctl", "is-active", "riftd-backup.timer"), "active")
        for _ in range(2):
            machine.run("systemctl", "start", "riftd-backup.service")
        copies = machine.out("ls", "/backup/backups").split()
        self.assertEqual(len(copies), 2)
        self.assertEqual(machine.out("ls", f"{STATE}/backups").split(), copies)
        self.assertEqual(machine.out("ls", "/backup/jobs"), machine.out("ls", f"{STATE}/jobs"))

    def test_11c_the_documented_steps_bring_everything_back(self):
        job, worker = self.long_job()
        machine.run("systemctl", "start", "riftd-backup.service")
        copy = machine.out("ls", "/backup/backups").split()[-1]
        ended = self.ctl("submit", "-", input=spec())  # waits behind the first: after the copy
        machine.run("find", f"{STATE}/jobs", "-mindepth", "2", "-maxdepth", "2", "-name", "artifacts", "-not", "-path",
                    f"*/{job}/*", "-exec", "rm", "-r", "{}", "+")  # not under the worker's hands: it would fail, rightly
        steps = documented("Backup and restore", " riftd restore ")
        steps = re.sub(r"/backup/backups/riftd-\S+\.db", f"/backup/backups/{copy}", steps)
        done = machine.run("sh", "-exc", steps)
        self.assertIn(f"/backup/backups/{copy} is the database of {STATE} now", done.stdout)
        self.assertIn(" 0 findings\n", done.stdout)
        self.assertEqual(machine.out("sh", "-c", f"stat -c %U {STATE}/riftd.db* {STATE}/jobs | sort -u"), "riftd")
        self.wait(job, "running")
        self.assertNotEqual(until("a worker", lambda: self.worker(job)), worker)
        self.assertEqual(machine.run("riftctl", *SOCKET, "show", ended.split()[0], check=False).returncode, 5)
        self.ctl("cancel", job)
        self.wait(job, "cancelled")
        machine.run("rm", "-r", "/etc/systemd/system/riftd-backup.service.d")  # an administrator's: no purge takes it
        machine.run("systemctl", "daemon-reload")

    def test_12_an_upgrade_restarts_riftd_and_leaves_its_worker_alone(self):
        job, worker = self.long_job()
        before = machine.main_pid()
        machine.run("dpkg", "-i", "--force-confold", "/riftd.deb")
        self.restarted(before)
        self.assertEqual((self.job(job)["state"], self.worker(job)), ("running", worker))
        self.assertIn("grace-s = 7", machine.out("cat", "/etc/riftd/riftd.conf"))

    def test_13_removed_everything_stops_and_jobs_stay(self):
        machine.run("dpkg", "-r", "riftd")
        for unit in UNITS:
            self.assertNotEqual(machine.out("systemctl", "is-active", unit, check=False), "active")
        self.assertEqual(machine.out("pgrep", "-f", "rift-worker", check=False), "")
        journals = machine.out("sh", "-c", f"cat {STATE}/jobs/*/journal.ndjson")
        self.assertIn('"interrupted"', journals)

    def test_14_installed_again_the_job_goes_on_and_purged_nothing_is_left(self):
        machine.run("dpkg", "-i", "--force-confold", "/riftd.deb")
        jobs = json.loads(self.ctl("list", "--state", "running", "--json"))["jobs"] or \
            json.loads(self.ctl("list", "--state", "queued", "--json"))["jobs"]
        self.assertEqual(len(jobs), 1)
        self.wait(jobs[0]["id"], "running")
        machine.run("dpkg", "-P", "riftd")
        self.assertEqual(machine.out("pgrep", "-f", "rift-worker", check=False), "")
        self.assert_purged()


if __name__ == "__main__":
    why = why_not()
    if why:
        print(f"skipped: {why}")
        sys.exit(77)
    unittest.main()
