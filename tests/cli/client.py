"""What the tests of riftctl share: running it, and a server that says what a
test wants said (for answers a real riftd gives too rarely: broken streams,
wrong hashes, a restart in the middle of an event)."""
import json
import os
import subprocess
import sys
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUILD = os.environ.get("RIFT_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build"))
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEADLINE_S = 60
sys.path.append(os.path.join(ROOT, "tests"))
import apart  # noqa: E402, F401  (it lies in another folder)

# Nor is what whoever runs the tests has told riftctl (a server, tokens). Curl and Python ask a proxy for loopback, too,
# where one is named.
for variable in [name for name in os.environ if name.startswith("RIFT_") and name != "RIFT_BUILD"
                 or name.lower() in ("http_proxy", "all_proxy")]:
    del os.environ[variable]
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"

A = "01900000-0000-7000-8000-00000000000a"
B = "01900000-0000-7000-8000-0000000000bb"
STEPS = [("train", "1"), ("mrc", "2"), ("finetune", "3"), ("interpolate", "4"), ("evaluate", "5")]

MODULES = [{"module": "conv1", "mrc": 0.5, "robust_accuracy_drop": 0.123456, "parameters": 144},
           {"module": "layer1.0.conv1", "mrc": 0.001234567, "robust_accuracy_drop": 0.0, "parameters": 2304},
           {"module": "linear", "mrc": 0.25, "robust_accuracy_drop": None, "parameters": 650}]


def step_id(digit):
    return f"01900000-0000-7000-8000-{digit * 12}"


def job(id=A, kind="train", state="running", **more):
    return {"id": id, "kind": kind, "state": state, "label": None, "steps": [], "progress": None, "result": None,
            "error": None, "created_at": "2026-01-02T03:04:05.678Z", "ended_at": None, "spec": {"kind": kind}, **more}


def event(number, type, **fields):
    data = json.dumps({"type": type, **fields})
    return f"id: {number}\nevent: {type}\ndata: {data}\n\n".encode()


def program(name):
    return os.path.join(BUILD, name)


def riftctl(*arguments, stdin="", env=None, cwd=None):
    """Run it to its end. Who watches has the time that the jobs take: the test's own limit is theirs."""
    watches = {"watch", "--watch"} & set(arguments)
    return subprocess.run([program("riftctl"), *arguments], input=stdin, text=True, capture_output=True,
                          timeout=None if watches else DEADLINE_S, env={**os.environ, **(env or {})}, cwd=cwd, check=False)


class Case(unittest.TestCase):
    maxDiff = None

    def run_ctl(self, code, *arguments, **options):
        """Run riftctl, insist on its exit code, return (stdout, stderr)."""
        done = riftctl(*arguments, **options)
        self.assertEqual(done.returncode, code, f"riftctl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}")
        self.assertNotIn("Sanitizer", done.stderr)
        return done.stdout, done.stderr


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else b""
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        self.server.answer(self, self.command, self.path, body)

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def reply(self, status, document, content_type="application/json", headers=()):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def problem(self, status, detail, errors=None):
        self.reply(status, {"type": "/problems/x", "title": "title", "status": status, "detail": detail,
                            **({"errors": errors} if errors else {})}, "application/problem+json")

    def start_stream(self, content_type="text/event-stream"):
        """An answer that ends when the connection does."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.seen = answer, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()
