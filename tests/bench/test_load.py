#!/usr/bin/env python3
"""Does load_service fail when a server lets streams go hungry, or bears with slow sockets?

Against small servers that answer as riftd does, well or badly."""
import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
import unittest

LOAD_SERVICE = os.environ["LOAD_SERVICE"]
PATIENCE_S = 120
JOB = {"id": "01a20937-f9c1-7b10-b840-187126c7c986"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # the client is done

    def setup(self):
        self.timeout = self.server.patience_s  # for whoever is slow
        super().setup()

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path.startswith("/v1/events"):
            self.stream()
        else:
            last = "cursor=" in self.path or "limit=" not in self.path
            self.answer(200, {"jobs": [JOB], "next": None if last else "c"})

    def do_POST(self):
        try:
            if len(self.rfile.read(int(self.headers["Content-Length"]))) < int(self.headers["Content-Length"]):
                raise TimeoutError
        except TimeoutError:
            self.close_connection = True
            return
        event = b'event: state\ndata: {"type":"state","time_ms":%d}\n\n' % int(time.time() * 1000)
        with self.server.lock:  # all are told before the answer: who stops behind the last one has heard of it
            for stream in self.server.streams:
                with contextlib.suppress(OSError):
                    stream.write(event)
        self.answer(201, JOB)

    def stream(self):
        with self.server.lock:  # who has heard that it is open hears of everything
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            if self.server.tells:
                self.server.streams.append(self.wfile)
        self.server.over.wait()
        self.close_connection = True


class Load(unittest.TestCase):
    def code(self, *options, tells=True, patience_s=None):
        """load_service's exit code, and its last words, against a server of that kind."""
        service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        service.streams, service.tells, service.patience_s = [], tells, patience_s
        service.lock, service.over = threading.Lock(), threading.Event()
        service.daemon_threads, service.block_on_close = True, False
        threading.Thread(target=service.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory(prefix="rift-test-") as state:
            (pathlib.Path(state) / "riftd.address").write_text(f"http://127.0.0.1:{service.server_port}\n")
            done = subprocess.run([LOAD_SERVICE, "--state", state, "--pid", str(os.getpid()), "--clients", "2", "--rate", "10",
                                   "--seconds", "1", "--streams", "3", "--trickles", "4", *options], capture_output=True,
                                  text=True, timeout=PATIENCE_S, check=False)
        service.over.set()
        service.shutdown()
        service.server_close()
        return done.returncode, done.stdout + done.stderr

    def test_streams_that_hear_of_every_submit_are_well(self):
        code, words = self.code("--only", "streams")
        self.assertEqual(code, 0, words)

    def test_streams_that_hear_of_nothing_are_not(self):
        code, words = self.code("--only", "streams", tells=False)
        self.assertIn("\n                     0 of ", words)
        self.assertEqual(code, 1, words)

    def test_slow_sockets_are_to_be_closed_and_not_borne_with(self):
        found = {}

        def measured(patience_s):
            found[patience_s] = self.code("--only", "trickles", patience_s=patience_s)

        threads = [threading.Thread(target=measured, args=(patience_s,)) for patience_s in (0.5, None)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found[0.5][0], 0, found[0.5][1])
        self.assertEqual(found[None][0], 1, found[None][1])
        self.assertIn(" 0 of 4 slow sockets", found[None][1])


if __name__ == "__main__":
    unittest.main()
