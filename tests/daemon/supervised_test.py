"""Does riftd do its part under systemd: sockets that are handed over, the watchdog, the journal?"""

import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

from riftd import PATIENCE_S, RIFTD, Riftd, accepts, until


PIDFD_GETFD = 438  # the system call's number; Python has no name for it


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.log = self.folder / "riftd.log"
        self.notify = None

    def started(self, riftd):
        """It, running, and ended with the test."""
        riftd.start()
        self.addCleanup(riftd.close)
        if self.notify:  # closed first: else riftd waits, once ten of its words are unread, for room for the next
            self.addCleanup(self.notify.close)
        return riftd

    def riftd(self, *options, **more):
        return self.started(Riftd(self.folder / "state", *options, **more))

    def notified(self):
        """A socket in systemd's place, and the variable that names it."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notify.close)
        notify.bind(str(self.folder / "notify"))
        notify.settimeout(PATIENCE_S)
        self.notify = notify
        return notify, {"NOTIFY_SOCKET": str(self.folder / "notify")}


def status(address, path, patience_s=PATIENCE_S):
    """GET over TCP, or over the unix socket of that path."""
    if isinstance(address, int):
        connection = http.client.HTTPConnection("127.0.0.1", address, timeout=patience_s)
    else:
        connection = http.client.HTTPConnection("localhost", timeout=patience_s)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(patience_s)
        connection.sock.connect(str(address))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


class HandedOver(Riftd):
    """A riftd that is given open sockets as systemd gives them."""

    def __init__(self, state, given, *options):
        super().__init__(state, *options)
        self.given = given

    def command(self):
        fds = self.handed()
        # 3, 4, ... in order; from high numbers, so that none is overwritten before its turn.
        moves = "".join(f" {3 + i}<&{fd}" for i, fd in enumerate(fds))
        names = ":".join(name for name, _ in self.given)
        script = f'export LISTEN_PID=$$ LISTEN_FDS={len(fds)} LISTEN_FDNAMES={names}; exec "$@"{moves}'
        return ["bash", "-c", script, "bash", *super().command()]

    def handed(self):
        return [sock.fileno() for _, sock in self.given]


def listening(family, address):
    """A listening socket with a high descriptor, far from where it is handed over."""
    with socket.socket(family) as sock:
        sock.bind(address)
        sock.listen(16)
        return socket.socket(fileno=fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 40))


class Sockets(Case):
    def open(self, family, address):
        sock = listening(family, address)
        self.addCleanup(sock.close)
        return sock

    def test_sockets_that_systemd_opened_take_the_place_of_our_own(self):
        path = self.folder / "given.sock"
        local = self.open(socket.AF_UNIX, str(path))
        tcp = self.open(socket.AF_INET, ("127.0.0.1", 0))
        health = self.open(socket.AF_INET, ("127.0.0.1", 0))
        given = [("riftd.socket", local), ("riftd.socket", tcp), ("health", health)]
        # The settings name others, which would be taken without the handed ones.
        riftd = HandedOver(self.folder / "state", given, "--socket", str(self.folder / "own.sock"))
        for _ in range(2):  # and again: a riftd that ends leaves them open for the next
            riftd.start()
            self.addCleanup(riftd.close)
            self.assertEqual(riftd.port, tcp.getsockname()[1])
            self.assertEqual((riftd.state / "riftd.address").read_text(), f"http://127.0.0.1:{riftd.port}\n")
            self.assertEqual(riftd.ask("GET", "/v1/version")[0], 200)
            self.assertEqual(status(path, "/v1/version"), 200)
            self.assertEqual(status(health.getsockname()[1], "/healthz"), 200)
            self.assertFalse((self.folder / "own.sock").exists())
            self.assertEqual(riftd.stop(), 0)
            self.assertTrue(path.exists())

    def test_connections_wait_while_riftd_restarts(self):
        tcp = self.open(socket.AF_INET, ("127.0.0.1", 0))
        riftd = HandedOver(self.folder / "state", [("http", tcp)])
        answers = []
        asking = threading.Thread(target=lambda: answers.append(status(tcp.getsockname()[1], "/v1/version")))
        asking.start()  # before there is a riftd
        riftd.start()
        self.addCleanup(riftd.close)
        asking.join()
        self.assertEqual(answers, [200])

    def test_a_riftd_that_ends_in_the_middle_of_requests_ends_well_and_leaves_its_socket(self):
        tcp = self.open(socket.AF_INET, ("127.0.0.1", 0))
        port, over = tcp.getsockname()[1], threading.Event()

        def knock():
            while not over.is_set():
                try:
                    status(port, "/v1/version")
                except (OSError, http.client.HTTPException):
                    pass  # it was cut off, which is all that may happen to it

        threads = [threading.Thread(target=knock) for _ in range(4)]
        riftd = HandedOver(self.folder / "state", [("http", tcp)])
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                riftd.start()
                self.assertEqual(status(port, "/v1/version"), 200)
                self.assertEqual(riftd.stop(), 0, self.log.read_text())
        finally:
            riftd.start()  # nobody is left waiting
            over.set()
            for thread in threads:
                thread.join()
            riftd.close()

    def test_sockets_that_riftd_has_no_use_for_are_refused(self):
        one = self.open(socket.AF_INET, ("127.0.0.1", 0))
        two = self.open(socket.AF_INET, ("127.0.0.1", 0))
        local = self.open(socket.AF_UNIX, str(self.folder / "given.sock"))
        for given, words in (([("http", one), ("http", two)], "two sockets of a kind"),
                             ([("health", local)], "of the wrong kind")):
            riftd = HandedOver(self.folder / "state", given)
            with self.assertRaisesRegex(AssertionError, words):
                riftd.start()
            riftd._ended()

    def test_a_socket_that_other_machines_reach_needs_a_token_whatever_the_settings_say(self):
        tcp = self.open(socket.AF_INET, ("0.0.0.0", 0))
        riftd = HandedOver(self.folder / "state", [("http", tcp)])  # --listen says 127.0.0.1
        with self.assertRaisesRegex(AssertionError, "no admin token yet"):
            riftd.start()
        riftd._ended()

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not installed")
    def test_systemd_itself_can_start_it_at_the_first_connection(self):
        path = self.folder / "given.sock"
        command = ["systemd-socket-activate", "--listen", str(path), "--fdname", "unix", *Riftd(self.folder / "state").command()]
        with open(self.log, "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until("it listens", lambda: accepts(path))
            self.assertEqual(status(path, "/v1/version"), 200)
        finally:
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE_S), 0, self.log.read_text())


class Silence(Case):
    """A peer that is gone without a word holds its connection for half a minute and not for a quarter of an hour."""
    TOLD = {(socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1, (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 15,
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 5, (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 30000}

    def accepted(self, riftd, client):
        """riftd's end of a connection of ours."""
        pid = os.pidfd_open(riftd.process.pid)
        try:
            for name in os.listdir(f"/proc/{riftd.process.pid}/fd"):
                fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, pid, int(name), 0)
                if fd < 0:
                    continue
                try:
                    theirs = socket.socket(fileno=fd)
                except OSError:
                    os.close(fd)  # no socket
                    continue
                try:
                    if theirs.family == socket.AF_INET and theirs.getpeername() == client.getsockname():
                        return theirs
                except OSError:
                    pass  # without a peer: one that listens
                theirs.close()
        finally:
            os.close(pid)
        return None

    def assert_told(self, riftd):
        with socket.create_connection(("127.0.0.1", riftd.port), timeout=PATIENCE_S) as client:
            client.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % riftd.port)
            self.assertEqual(client.recv(12), b"HTTP/1.1 200")
            theirs = self.accepted(riftd, client)
            self.assertIsNotNone(theirs)
            with theirs:
                self.assertEqual({option: theirs.getsockopt(*option) for option in self.TOLD}, self.TOLD)

    def setUp(self):
        super().setUp()
        mine = os.pidfd_open(os.getpid())
        fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, mine, mine, 0)
        os.close(mine)
        if fd < 0:
            self.skipTest("no descriptor may be taken from another process here")
        os.close(fd)

    def test_the_kernel_is_told_how_long_to_wait_for_whom_riftd_accepts(self):
        self.assert_told(self.riftd())

    def test_so_it_is_of_a_socket_that_systemd_opened(self):
        tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
        self.addCleanup(tcp.close)
        riftd = HandedOver(self.folder / "state", [("http", tcp)])
        riftd.start()
        self.addCleanup(riftd.close)
        self.assert_told(riftd)


FILES = 600  # what the full one may open: some of them are connections, and those to its main address at most 2048
HEALTH = ("/healthz", "/readyz", "/metrics")


class Full(Case):
    """Its main address gets more connections than it takes."""
    def filled(self, *options, **more):
        """A riftd that takes no more at its main address, and the connections that keep it so: they send nothing."""
        riftd = Riftd(self.folder / "state", *options, **more)
        command = riftd.command()
        riftd.command = lambda: ["prlimit", f"--nofile={FILES}:{FILES}", *command]
        self.started(riftd)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FILES + 200), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        held = [socket.create_connection(("127.0.0.1", riftd.port), timeout=PATIENCE_S) for _ in range(FILES)]
        self.addCleanup(lambda: [sock.close() for sock in held])
        self.assert_full(riftd)
        return riftd, held

    def assert_full(self, riftd):
        with self.assertRaises(TimeoutError, msg="the main address still answers: it isn't full"):
            status(riftd.port, "/healthz", 0.5)


class Health(Full):
    def test_the_health_address_answers_health_and_nothing_else(self):
        port = self.riftd("--health-listen", "127.0.0.1:0").other_port()
        self.assertEqual([status(port, path) for path in ("/healthz", "/readyz", "/v1/version", "/v1/jobs", "/")],
                         [200, 200, 404, 404, 404])

    def test_health_is_answered_by_the_others_when_the_main_address_is_full(self):
        path = self.folder / "sock"
        riftd, held = self.filled("--health-listen", "127.0.0.1:0", "--socket", str(path))
        port = riftd.other_port()
        for listener in (port, path):
            for what in HEALTH:
                self.assertEqual(status(listener, what), 200, f"{what} at {listener}")
        self.assertEqual(status(path, "/v1/version"), 200)  # the socket answers everything
        self.assert_full(riftd)  # all the time
        for sock in held:
            sock.close()
        self.assertEqual(status(riftd.port, "/healthz"), 200)


class Watchdog(Full):
    def forget(self, notify):
        """Read away what riftd has said, however much that is and however slow we are."""
        notify.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                notify.recv(4096)
        notify.settimeout(PATIENCE_S)

    def dead_count(self):
        return self.log.read_text().count("stopped answering")

    def seen(self, notify, seconds):
        """What riftd says within that time, beside what it has said."""
        self.forget(notify)
        said, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            notify.settimeout(left)
            try:
                said += notify.recv(4096).splitlines()
            except TimeoutError:
                break
        notify.settimeout(PATIENCE_S)
        return said

    def test_the_watchdog_is_fed_while_all_is_well(self):
        notify, environment = self.notified()
        self.riftd("--socket", str(self.folder / "sock"), environment={**environment, "WATCHDOG_USEC": "200000"})
        self.assertIn(b"READY=1", notify.recv(4096).splitlines())
        for _ in range(5):
            self.assertEqual(notify.recv(4096), b"WATCHDOG=1")

    def test_nobody_is_told_and_nothing_wakes_up_where_nobody_watches(self):
        if b"__tsan_" in pathlib.Path(RIFTD).read_bytes():
            self.skipTest("the thread sanitizer has a thread of its own that wakes up")
        notify, environment = self.notified()
        riftd = self.riftd(environment=environment)
        self.assertIn(b"READY=1", notify.recv(4096).splitlines())

        def wakeups():
            """How often any of its threads went to sleep so far."""
            return sum(int(task.read_text().split("voluntary_ctxt_switches:")[1].split()[0])
                       for task in pathlib.Path(f"/proc/{riftd.process.pid}/task").glob("*/status"))

        def quiet():
            before = wakeups()
            return self.seen(notify, 0.5) == [] and wakeups() == before

        until("half a second without a wake-up", quiet)  # not the first one, perhaps: it has just started

    def test_a_riftd_that_hangs_says_nothing(self):
        notify, environment = self.notified()
        riftd = self.riftd(environment={**environment, "WATCHDOG_USEC": "100000"})
        self.assertIn(b"READY=1", notify.recv(4096).splitlines())
        self.assertEqual(notify.recv(4096), b"WATCHDOG=1")
        riftd.process.send_signal(signal.SIGSTOP)  # all of it: the crudest hang there is
        until("all threads have stopped", lambda: all(
            task.read_text().rsplit(")", 1)[1].split()[0] == "T"
            for task in pathlib.Path(f"/proc/{riftd.process.pid}/task").glob("*/stat")))
        self.assertEqual(self.seen(notify, 0.4), [])
        riftd.process.send_signal(signal.SIGCONT)
        self.assertEqual(notify.recv(4096), b"WATCHDOG=1")

    def test_a_listener_that_takes_no_connections_is_not_called_well(self):
        notify, environment = self.notified()
        tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
        self.addCleanup(tcp.close)
        riftd = HandedOver(self.folder / "state", [("http", tcp)])
        riftd.environment = {**environment, "WATCHDOG_USEC": "200000"}
        self.started(riftd)
        self.assertIn(b"READY=1", notify.recv(4096).splitlines())
        self.assertEqual(notify.recv(4096), b"WATCHDOG=1")
        tcp.shutdown(socket.SHUT_RDWR)  # nobody gets in any more, and riftd isn't asked
        told = self.dead_count()  # on a busy machine it may have been slow before
        until("it is noticed", lambda: self.forget(notify) or self.dead_count() >= told + 2)
        until("half a second of silence", lambda: self.seen(notify, 0.5) == [])  # a busy one still has answers to give

    def test_a_full_main_address_is_not_called_dead(self):
        notify, environment = self.notified()
        riftd, _ = self.filled(environment={**environment, "WATCHDOG_USEC": "200000"})
        self.forget(notify)
        self.assertEqual(notify.recv(4096), b"WATCHDOG=1")
        told = self.dead_count()  # on a busy machine it may have been slow to fill
        for _ in range(5):
            self.assertEqual(notify.recv(4096), b"WATCHDOG=1")
        self.assert_full(riftd)
        self.assertEqual(self.dead_count(), told)


class Journal(Case):
    def journalled(self):
        """A riftd, and a journal of our own where it looks for the system's: in a mount namespace."""
        run = self.folder / "run"
        (run / "systemd" / "journal").mkdir(parents=True)
        journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(journal.close)
        journal.bind(str(run / "systemd" / "journal" / "socket"))
        journal.settimeout(PATIENCE_S)
        inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'mount --bind {run} /run && exec "$@"', "sh"]
        if subprocess.run([*inside, "true"], capture_output=True).returncode:
            self.skipTest("no mount namespaces here")
        riftd = Riftd(self.folder / "state")
        command = riftd.command()
        riftd.command = lambda: [*inside, *command]
        with open(self.log, "ab"):
            stat = self.log.stat()
        riftd.environment = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        riftd.start()
        self.addCleanup(riftd.close)
        return riftd, journal

    def test_lines_about_a_job_carry_its_id_to_the_journal(self):
        riftd, journal = self.journalled()
        job = riftd.wait(riftd.submit("to:1 finish"), "succeeded")["id"]
        lines = []
        until("the job's end is told", lambda: lines.append(journal.recv(65536)) or b"succeeded" in lines[-1])
        self.assertEqual(lines[-1].splitlines(), [f"MESSAGE=job {job}: succeeded".encode(), b"PRIORITY=6",
                                                  b"SYSLOG_IDENTIFIER=riftd", f"RIFT_JOB={job}".encode()])
        self.assertNotIn(job, self.log.read_text())

    def test_lines_about_a_request_carry_its_id_to_the_journal(self):
        riftd, journal = self.journalled()
        database = sqlite3.connect(riftd.state / "riftd.db", isolation_level=None)
        database.execute("ALTER TABLE webhook RENAME TO webhook_taken_away")  # so that who asks for them gets a 500
        database.close()
        connection = http.client.HTTPConnection("127.0.0.1", riftd.port, timeout=PATIENCE_S)
        connection.request("GET", "/v1/webhooks", headers={"X-Request-Id": "mine-1"})
        answer = connection.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["instance"]), (500, "mine-1"))
        connection.close()
        lines = []
        until("the failure is told", lambda: lines.append(journal.recv(65536)) or b"mine-1" in lines[-1])
        message, *fields = lines[-1].splitlines()
        self.assertRegex(message, rb"^MESSAGE=request mine-1: .*webhook")
        self.assertEqual(fields, [b"PRIORITY=3", b"SYSLOG_IDENTIFIER=riftd", b"RIFT_REQUEST=mine-1"])
        self.assertNotIn("mine-1", self.log.read_text())

    def test_a_stderr_that_is_not_the_journal_gets_plain_lines(self):
        riftd = self.riftd(environment={"JOURNAL_STREAM": "1:2"})  # somebody else's, inherited
        job = riftd.wait(riftd.submit("to:1 finish"), "succeeded")["id"]
        until("it is logged", lambda: f"Z riftd: job {job}: succeeded\n" in self.log.read_text())


if __name__ == "__main__":
    unittest.main()
