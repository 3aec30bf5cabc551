#!/usr/bin/env python3
"""Slow clients, and many: who takes too long is thrown out, who asks gets an answer."""
import json
import select
import signal
import socket
import time
import unittest

import server

LIMIT_MS = 400
TRICKLES = 300


def hung_up(sock):
    """Whether the other side has closed by now."""
    try:
        return bool(select.select([sock], [], [], 0)[0]) and not sock.recv(4096)
    except ConnectionError:
        return True


def trickle_until_hung_up(port, hello):
    """Send the hello and then a byte at a time; the seconds until the server had enough."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=server.DEADLINE_S) as sock:
        sock.sendall(hello)
        while not hung_up(sock):
            if time.monotonic() - start > server.DEADLINE_S:
                raise AssertionError("a slow client was kept")
            try:
                sock.sendall(b"x")
            except ConnectionError:
                break
            time.sleep(0.05)
        return time.monotonic() - start


class Pace:
    """Has this machine always let us go on in half of the time that riftd gives? If not, what came of it shows nothing."""

    def __init__(self):
        self.kept, self.moment = True, time.monotonic()

    def step(self):
        now = time.monotonic()
        self.kept &= now - self.moment < LIMIT_MS / 2000
        self.moment = now
        return self.kept


class Slow(server.Case):
    @classmethod
    def make_server(cls):
        return server.Alone(header_ms=LIMIT_MS, body_ms=LIMIT_MS)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=server.DEADLINE_S)

    def insist(self, attempt):
        """attempt(pace) must succeed; one that fails when it couldn't keep its pace is no proof, and made again."""
        def proof():
            pace = Pace()
            try:
                attempt(pace)
            except (AssertionError, ConnectionError):
                if pace.kept:
                    raise
                return False
            return True
        server.until("an attempt that kept its pace", proof)

    def hello(self, line="GET /v1/jobs HTTP/1.1"):
        return f"{line}\r\nHost: localhost:{self.server.port}\r\n".encode()

    def test_a_header_that_trickles_is_cut_off(self):
        self.assertGreaterEqual(trickle_until_hung_up(self.server.port, self.hello() + b"X-Slow: "), LIMIT_MS / 1000)

    def test_a_body_that_trickles_is_cut_off(self):
        hello = self.hello("POST /v1/jobs HTTP/1.1")
        hello += b"Content-Type: application/json\r\nContent-Length: 10000\r\n\r\n"
        self.assertGreaterEqual(trickle_until_hung_up(self.server.port, hello), LIMIT_MS / 1000)

    def test_a_body_that_is_slow_but_steady_gets_its_answer(self):
        body = json.dumps({**server.TRAIN, "label": "x" * 90}).encode().ljust(4000)

        def attempt(pace):
            with self.connect() as sock:
                sock.sendall(self.hello("POST /v1/jobs HTTP/1.1") + b"Content-Type: application/json\r\nConnection: close\r\n"
                             + f"Content-Length: {len(body)}\r\n\r\n".encode())
                for start in range(0, len(body), 200):
                    sock.sendall(body[start:start + 200])
                    pace.step()
                    time.sleep(0.05)
                pace.step()
                self.assertIn(b" 201 ", sock.makefile("rb").readline())
        self.insist(attempt)

    def test_who_has_an_answer_and_asks_nothing_more_is_let_go(self):
        def attempt(pace):
            with self.connect() as sock:
                for _ in range(3):
                    sock.sendall(self.hello() + b"\r\n")
                    pace.step()
                    self.assertIn(b" 200 ", sock.recv(65536))
                while sock.recv(65536):
                    pass
        self.insist(attempt)

    def test_an_event_stream_is_no_slow_client(self):
        def attempt(pace):
            with self.connect() as sock:
                sock.sendall(self.hello("GET /v1/events?after=now HTTP/1.1") + b"\r\n")
                pace.step()  # from here on nothing is owed
                stream, until = sock.makefile("rb"), time.monotonic() + 3 * LIMIT_MS / 1000
                while time.monotonic() < until:
                    self.assertTrue(stream.readline())
                job = self.submit()["id"].encode()
                while job not in (line := stream.readline()):
                    self.assertTrue(line)
        self.insist(attempt)

    def test_three_hundred_of_them_keep_nobody_out(self):
        def asked():
            """How often, while they were there."""
            slow = [self.connect() for _ in range(TRICKLES)]
            for sock in slow:
                sock.sendall(self.hello() + b"X-Slow: ")
            rounds = 0
            while not all(map(hung_up, slow)):
                self.assertEqual(self.server.get("/v1/jobs").status, 200)
                rounds += 1
            for sock in slow:
                sock.close()
            return rounds
        server.until("somebody to ask before they are thrown out", asked)


class AtOnce(server.Case):
    """What the library makes of many who speak in the same moment."""

    @classmethod
    def make_server(cls):
        return server.Alone(header_ms=10 * 60 * 1000)  # whoever comes first waits for the last

    def ask_in_one_moment(self, count):
        """The status lines of `count` connections to the one thread of the unix socket."""
        socks = []
        for _ in range(count):
            socks.append(socket.socket(socket.AF_UNIX))
            socks[-1].settimeout(server.DEADLINE_S)
            socks[-1].connect(f"{self.server.dir}/riftd.sock")
            socks[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b" 200 ", socks[-1].recv(65536))
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            for sock in socks:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        finally:
            self.server.process.send_signal(signal.SIGCONT)
        answers = [sock.recv(65536).split(b"\r\n")[0] for sock in socks]
        for sock in socks:
            sock.close()
        return answers

    def test_however_many_speak_at_once_none_is_kept_waiting(self):
        for count in 127, 128, 129, 256:
            with self.subTest(count):
                self.assertEqual(self.ask_in_one_moment(count), [b"HTTP/1.1 200 OK"] * count)


if __name__ == "__main__":
    unittest.main()
