"""What the tests of the HTTP API share: a server, and a client that believes
nothing.

Every answer is held against openapi.yaml (document.py). `Alone` is the API with
the tests in the daemon's place (api_alone.c); `Daemon` is the real riftd."""
import atexit
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from leftovers import processes_end

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, ".."))
import apart  # noqa: E402, F401  (it lies in another folder)

ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
BUILD = os.environ.get("RIFT_BUILD", os.path.join(ROOT, "build"))
API_ALONE = os.environ.get("API_ALONE", os.path.join(BUILD, "tests", "api", "api_alone"))
RIFTD = os.environ.get("RIFTD", os.path.join(BUILD, "riftd"))
DEADLINE_S = 60
SKIP = 77

try:
    from document import OPENAPI, misfits, operation_find, resolved  # noqa: F401
    import document
except ImportError:
    print("skipped: PyYAML is missing (apt-get install python3-yaml)")
    sys.exit(SKIP)


# What this program has seen, for test_statuses.py, which wants to have seen everything.
SEEN_DIR = os.path.join(BUILD, "tests", "api", "seen")
seen = set()


@atexit.register
def seen_write():
    if os.path.dirname(os.path.abspath(sys.argv[0])) != HERE:
        return  # those of other folders run whenever they do
    if seen and os.path.isdir(os.path.dirname(SEEN_DIR)):
        os.makedirs(SEEN_DIR, exist_ok=True)
        with open(os.path.join(SEEN_DIR, os.path.basename(sys.argv[0]) + ".txt"), "w", encoding="utf-8") as file:
            file.writelines(f"{method} {path} {status}\n" for method, path, status in sorted(seen))


def answer_misfits(method, path, answer, sent=False):
    template, verb, operation = operation_find(method, path)
    if operation is not None:
        seen.add((verb, template, str(answer.status)))
    return document.answer_misfits(method, path, answer.status, answer.headers, answer.body, sent)


def until(what, look):
    """The first true answer of look()."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE_S} s: {what}")
        time.sleep(0.02)
    return found


# ---- talking ----

class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


def raw(port, data, enough=None, finish=False):
    """Send bytes as they are; return what comes back: `enough` bytes, or all
    until the server hangs up. 0 is enough for who hangs up himself; with `finish`
    we say that nothing more will come."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as sock:
        received = b""
        try:
            sock.sendall(data)
            if finish:
                sock.shutdown(socket.SHUT_WR)
            while enough is None or len(received) < enough:
                piece = sock.recv(65536)
                if not piece:
                    break
                received += piece
        except ConnectionError:  # it hung up on what we were still sending
            pass
        return received


def sha256_of_file(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Server:
    port = None
    token = None  # shown with every request, unless it shows something itself
    may_fail = False  # is a 500, documented as it is, what the test wants?

    def ask(self, method, path, body=None, **headers):
        """One request on a connection of its own; the answer must fit the document.
        Header names are given with _ for -."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            names.setdefault("Content-Type", "application/json")
        if self.token and "Authorization" not in names and "Cookie" not in names:
            names["Authorization"] = f"Bearer {self.token}"
        names = {name: value for name, value in names.items() if value is not None}
        connection = self.connect()
        try:
            connection.request(method, path, body, names)
            response = connection.getresponse()
            answer = Answer(response, response.read())
        finally:
            connection.close()
        wrong = answer_misfits(method, path, answer, bool(body))
        if answer.status == 500 and not self.may_fail:
            wrong.append(f"riftd failed: {answer.body[:300]!r}")
        assert not wrong, f"{method} {path} -> {answer.status}: " + "; ".join(wrong)
        return answer

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)


class Alone(Server):
    """The API on a database of its own; `do` plays the daemon."""

    def __init__(self, body_limit=65536, stream_limit=4, heartbeat_ms=200, files=ROOT, header_ms=60000, body_ms=60000):
        if not os.path.exists(API_ALONE):
            print(f"skipped: {API_ALONE} isn't built")
            sys.exit(SKIP)
        self.dir = tempfile.mkdtemp(prefix="rift-api-")
        self.offsets, self.seqs = {}, {}
        self.process = subprocess.Popen(
            [API_ALONE, self.dir, os.path.join(files, "web"), os.path.join(files, "openapi.yaml"), str(body_limit),
             str(stream_limit), str(heartbeat_ms), str(header_ms), str(body_ms)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]

    def stop(self):
        """Ends as a daemon would; a crash or a sanitizer's word is a failure."""
        self.process.stdin.close()
        code = self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        shutil.rmtree(self.dir)
        assert code == 0, f"api_alone ended with {code}"

    def do(self, name, **fields):
        self.process.stdin.write(json.dumps({"do": name, **fields}) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        assert reply.get("code", 0) == 0, f"{name} {fields}: {reply}"
        return reply

    def event(self, job, kind, **fields):
        """What a worker would have written to its journal."""
        seq = self.seqs[job] = self.seqs.get(job, 0) + 1
        offset = self.offsets.get(job, 0)
        self.do("event", job=job, offset=offset, fields={"seq": seq, "time_ms": 1000 + seq, "type": kind, **fields})
        self.offsets[job] = offset + 1

    def job_dir(self, job):
        path = os.path.join(self.dir, "jobs", job)
        os.makedirs(os.path.join(path, "artifacts"), exist_ok=True)
        return path

    def run(self, job, state="succeeded", **fields):
        """Claim until it is this job's turn, then end it."""
        self.start(job)
        self.do("move", job=job, state=state, **fields)

    def start(self, job):
        claimed = self.do("claim", device="cpu")["job"]
        assert claimed == job, f"{claimed} was claimed, not {job}"


class Daemon(Server):
    """The real riftd on a state directory of its own, and a unix socket in it."""

    def __init__(self, *options):
        if not os.path.exists(RIFTD):
            print(f"skipped: {RIFTD} isn't built")
            sys.exit(SKIP)
        self.dir = tempfile.mkdtemp(prefix="rift-api-")
        self.log = open(os.path.join(self.dir, "test.log"), "a+b")  # who reads it moves no writer
        self.process = subprocess.Popen([RIFTD, "--state", self.dir, "--listen", "127.0.0.1:0", "--web",
                                         os.path.join(ROOT, "web"), "--openapi", os.path.join(ROOT, "openapi.yaml"),
                                         "--socket", os.path.join(self.dir, "riftd.sock"), *options],
                                        stdout=self.log, stderr=subprocess.STDOUT)
        address = os.path.join(self.dir, "riftd.address")
        until = time.monotonic() + DEADLINE_S
        while not (os.path.exists(address) and os.path.getsize(address)):
            if self.process.poll() is not None or time.monotonic() > until:
                self.log.seek(0)
                raise AssertionError("riftd didn't start: " + self.log.read().decode(errors="replace"))
            time.sleep(0.02)
        with open(address, encoding="utf-8") as file:
            self.port = int(file.readline().strip().rsplit(":", 1)[1].rstrip("/"))

    def stop(self):
        self.process.terminate()
        code = self.process.wait(DEADLINE_S)
        self.log.seek(0)
        log = self.log.read().decode(errors="replace")
        self.log.close()
        processes_end(self.dir, DEADLINE_S)
        shutil.rmtree(self.dir)
        assert code == 0 and "Sanitizer" not in log, f"riftd ended with {code}: {log[-4000:]}"


class Case(unittest.TestCase):
    maxDiff = None
    server = None

    @classmethod
    def make_server(cls):
        return Alone()

    @classmethod
    def setUpClass(cls):
        cls.server = cls.make_server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def expect(self, answer, status, code=None):
        self.assertEqual(answer.status, status, answer.body[:500])
        if code:
            self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
            self.assertEqual(answer.json["code"], code)
            self.assertEqual(answer.json["status"], status)
            self.assertEqual(answer.json["instance"], answer.headers["X-Request-Id"])
        return answer

    def submit(self, **spec):
        return self.expect(self.server.ask("POST", "/v1/jobs", {**TRAIN, **spec}), 201).json

    def drain(self):
        """Cancel whatever still waits, so that the next test's job is claimed first."""
        while waiting := self.server.get("/v1/queue").json["jobs"]:
            for job in waiting:
                if job["state"] == "running":
                    self.server.do("move", job=job["id"], state="cancelled")
                else:
                    self.server.ask("POST", f"/v1/jobs/{job['id']}/cancel")


DEVICE = {"id": "cpu", "name": "cpu", "slot": 0, "job": None, "state": "ok", "why": None, "memory_for_jobs_bytes": None,
          "memory_taken_bytes": None}  # of api_alone
DATASET = {"format": "idx", "path": "/nowhere/in/particular"}
TRAIN = {"kind": "train", "dataset": DATASET}
RIFT = {"kind": "rift", "dataset": DATASET}
