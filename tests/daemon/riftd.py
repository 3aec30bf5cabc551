"""A riftd under test: started on a free port with a state directory of its own, spoken to over HTTP.

What it answers must fit openapi.yaml, where PyYAML is there to read it."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path += [str(TESTS), str(TESTS / "api")]
import apart  # noqa: E402, F401  (it lies in another folder)
try:
    import document
except ImportError:
    document = None
    print("PyYAML is missing (apt-get install python3-yaml): answers aren't held against openapi.yaml", file=sys.stderr)

RIFTD = os.environ["RIFTD"]
WORKER = os.environ["SCRIPTED_WORKER"]
PATIENCE_S = 60  # how long anything may take before the test fails


def until(what, condition, patience_s=PATIENCE_S):
    """Poll until condition() is true and return it."""
    deadline = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {patience_s} s still not: {what}")
        time.sleep(0.01)


def accepts(path):
    """Does somebody listen at this unix socket? Its name is there a moment before."""
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True


def strike(pids):
    """SIGKILL, for those that haven't just ended by themselves."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def alive(pid):
    """True while the process runs (a zombie doesn't)."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rsplit(")", 1)[1].split()[0] != "Z"


class Riftd:
    address = "127.0.0.1"  # where it listens

    def __init__(self, state, *options, environment=None):
        self.state = pathlib.Path(state)
        self.options = options
        self.environment = environment or {}
        self.log_path = self.state.parent / "riftd.log"
        self.process = None

    def command(self):
        return [RIFTD, "--state", str(self.state), "--listen", "127.0.0.1:0", "--worker", WORKER, "--retry-delay", "0",
                *self.options]

    def handed(self):
        """Descriptors that it inherits."""
        return []

    def start(self):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**os.environ, **self.environment}, pass_fds=self.handed())
        line = self.process.stdout.readline()
        if not line.startswith(f"listening on http://{self.address}:"):
            raise AssertionError(f"riftd said {line!r}\n{self.log_path.read_text()}")
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def _ended(self):
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.log.close()
        self.process = None
        return code

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self):
        self.process.kill()
        self._ended()

    def close(self):
        """End riftd and every worker that it left running."""
        strike(self.workers())
        code = self.stop() if self.process else 0
        strike(self.workers())
        until("workers gone", lambda: not self.workers())
        assert code == 0, f"riftd ended with {code}:\n{self.log_path.read_text()}"

    def workers(self):
        """Live workers of this state directory."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"run" in words and any(word.startswith(str(self.state).encode() + b"/jobs/") for word in words):
                found.append(int(entry.name))
        return found

    def kill_all(self):
        """SIGKILL riftd and all that it started, also a worker that it was just starting. None is left."""
        def processes():
            found = []
            for entry in pathlib.Path("/proc").iterdir():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                except OSError:
                    continue
                if any(word == state or word.startswith(state + b"/") for word in words):
                    found.append(int(entry.name))
            return found

        def struck():
            pids = processes()
            strike(pids)
            return not pids

        state = str(self.state).encode()
        if self.process:
            self.process.kill()
            self._ended()
        until("all processes dead", struck)

    def other_port(self):
        """The TCP port that it listens at beside its main one."""
        mine = set()
        for fd in pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                mine.add(os.readlink(fd))
        rows = [row.split() for row in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ports = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in mine}
        (port,) = ports - {self.port}
        return port

    # ---- HTTP ----

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if document:
            wrong = document.answer_misfits(method, path, answer.status, answer.headers, text, body is not None)
            assert not wrong, f"{method} {path} -> {answer.status}: " + "; ".join(wrong)
        return answer.status, json.loads(text) if text else None

    def submit(self, script, kind="train", **more):
        spec = {"kind": kind, "label": script, "dataset": {"format": "idx", "path": "/nowhere"}, **more}
        status, job = self.ask("POST", "/v1/jobs", spec)
        if status != 201:
            raise AssertionError(f"{status}: {job}")
        return job["id"]

    def job(self, job):
        status, body = self.ask("GET", f"/v1/jobs/{job}")
        if status != 200:
            raise AssertionError(f"{status}: {body}")
        return body

    def wait(self, job, state):
        """Until the job is in that state; another end is an error at once."""
        def there():
            body = self.job(job)
            if body["state"] != state and body["state"] in ("succeeded", "failed", "cancelled"):
                raise AssertionError(f"job is {body['state']}, not {state}: {body.get('error')}")
            return body if body["state"] == state else None
        return until(f"job {job} {state}", there)

    # ---- files ----

    def dir(self, job):
        return self.state / "jobs" / job

    def release(self, job, name="go"):
        """End a worker's hold:NAME."""
        until("its directory is there", self.dir(job).exists)  # running is said before it is made
        (self.dir(job) / name).touch()

    def journal(self, job):
        """The events of the journal's whole lines."""
        path = self.dir(job) / "journal.ndjson"
        text = path.read_bytes() if path.exists() else b""
        return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]

    def rows(self, sql, *values):
        """Straight from the database, past riftd."""
        database = sqlite3.connect(f"file:{self.state}/riftd.db?mode=ro", uri=True, timeout=PATIENCE_S)
        try:
            return database.execute(sql, values).fetchall()
        finally:
            database.close()

    def change(self, sql, *values):
        """Change the database while riftd is down."""
        assert self.process is None
        with sqlite3.connect(f"{self.state}/riftd.db") as database:
            database.execute(sql, values)
        database.close()

    def worker_pid(self, job):
        return self.rows("SELECT pid FROM job WHERE id = ?", job)[0][0]
