"""A real riftd for tests: fresh state directory, port 0, its own tiny data."""
import http.client
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

from client import program, DEADLINE_S

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from leftovers import processes_end  # noqa: E402  (it lies in another folder)
try:
    import document
except ImportError:
    document = None
    print("PyYAML is missing (apt-get install python3-yaml): answers aren't held against openapi.yaml", file=sys.stderr)

IMAGES, CLASSES, SIDE = 96, 4, 32
SERVER = ["/v1/jobs?limit=200", "/v1/models", "/v1/queue", "/v1/devices", "/v1/datasets", "/v1/fields", "/v1/version"]
OF_A_JOB = ["", "/metrics", "/modules", "/interpolation", "/evaluations", "/artifacts", "/events?wait=0&limit=1000", "/table",
            "/report"]


def skip_unless_built(*names):
    for name in names:
        if not os.access(program(name), os.X_OK):
            print(f"skipped: {program(name)} is not built")
            sys.exit(77)


def wait_for(what, look, deadline_s=DEADLINE_S):
    """The first true answer of look(), asked every few milliseconds."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {deadline_s} s")


def write_examples(path):
    """Images whose class is the quarter that is bright: learnable within an epoch or two."""
    rng = random.Random(7)
    pixels, labels = bytearray(), []
    for index in range(IMAGES):
        label = index % CLASSES
        labels.append(label)
        for row in range(SIDE):
            for column in range(SIDE):
                bright = (row >= SIDE // 2) * 2 + (column >= SIDE // 2) == label
                pixels.append(min(255, rng.randrange(60) + 180 * bright))
    y = struct.pack(f"<{IMAGES}q", *labels)
    header = json.dumps({"x": {"dtype": "U8", "shape": [IMAGES, 1, SIDE, SIDE], "data_offsets": [0, len(pixels)]},
                         "y": {"dtype": "I64", "shape": [IMAGES], "data_offsets": [len(pixels), len(pixels) + len(y)]}})
    header += " " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode() + bytes(pixels) + y)


def rift_spec(data, **more):
    """The whole method in a few seconds."""
    return {"kind": "rift", "batch_size": 16, "label": "tiny", "threads": 1,
            "model": {"width": 4, "num_classes": CLASSES, "input": [1, SIDE, SIDE]},
            "dataset": {"format": "tensors", "path": data},
            "attack": {"steps": 2}, "train": {"epochs": 2}, "optimizer": {"lr": 0.02},
            "mrc": {"steps": 1}, "finetune": {"epochs": 1}, "interpolate": {"alphas": [0, 0.5, 1]}, **more}


class Daemon:
    """with Daemon() as riftd: riftd.url, riftd.state, riftd.data."""

    def __init__(self, *options):
        self.options = options
        self.directory = tempfile.TemporaryDirectory(prefix="rift-test-")
        self.state = os.path.join(self.directory.name, "state")
        self.data = os.path.join(self.directory.name, "examples.safetensors")
        self.process = None
        write_examples(self.data)

    def start(self):
        address = os.path.join(self.state, "riftd.address")
        if os.path.exists(address):
            os.unlink(address)
        os.makedirs(self.state, exist_ok=True)
        with open(os.path.join(self.directory.name, "riftd.log"), "ab") as log:
            self.process = subprocess.Popen([program("riftd"), "--state", self.state, "--port", "0",
                                             "--dataset", f"tiny=tensors:{self.data}", *self.options], stdout=log, stderr=log)
        wait_for("riftd's address", lambda: os.path.exists(address) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        with open(address, encoding="utf-8") as file:
            self.url = file.readline().strip()
        if "://" not in self.url:
            self.url = "http://" + self.url

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(DEADLINE_S)

    def log(self):
        with open(os.path.join(self.directory.name, "riftd.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def get(self, path):
        """The answer's body; it must fit openapi.yaml."""
        address = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        wrong = document.answer_misfits("GET", path, answer.status, answer.headers, body)
        assert not wrong, f"GET {path} -> {answer.status}: " + "; ".join(wrong)
        return body

    def hold(self):
        """Ask for all there is: what real workers have written must fit openapi.yaml, too."""
        if not document or not self.url.startswith("http://"):
            return
        jobs = json.loads(self.get("/v1/jobs?limit=200")).get("jobs", [])  # where a token is wanted, a problem
        for path in SERVER + [f"/v1/jobs/{job['id']}{part}" for job in jobs for part in OF_A_JOB]:
            self.get(path)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        try:
            if not kind and self.process.poll() is None:
                self.hold()
        finally:
            if self.process.poll() is None:
                self.kill(signal.SIGTERM)
            processes_end(self.state, DEADLINE_S)
            if kind:
                print(self.log(), file=sys.stderr)
            self.directory.cleanup()
