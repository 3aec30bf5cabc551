#!/usr/bin/env python3
"""/metrics, read as Prometheus reads it: strictly."""
import re
import socket
import unittest

import server

SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')


def parse(text):
    """{(name, labels): value}, after checking that each sample stands under its family's TYPE."""
    found, types, family = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ", 3)
            assert family not in types, f"{family} has two blocks"
            types[family] = kind
        elif line.startswith("# HELP "):
            assert line.split(" ", 3)[3], line
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = match[1]
            base = re.sub("_(bucket|sum|count)$", "", name) if types[family] == "histogram" else name
            assert base == family, f"{name} stands under {family}"
            assert (types[family] == "counter") <= name.endswith("_total"), name
            labels = dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            key = (name, tuple(sorted(labels.items())))
            assert key not in found, f"{key} twice"
            found[key] = float(match[3])
    return found


class Metrics(server.Case):
    def read(self):
        answer = self.expect(self.server.get("/metrics"), 200)
        self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        return parse(answer.body.decode())

    def test_requests_are_counted_by_route_and_status(self):
        def asked(numbers, route, status):
            return numbers.get(("riftd_http_requests_total", (("method", "GET"), ("route", route), ("status", status))), 0)

        before = self.read()
        for path in ("/v1/queue", "/v1/queue", "/v1/jobs/00000000-0000-4000-8000-000000000000", "/nowhere"):
            self.server.get(path)
        after = self.read()
        self.assertEqual(asked(after, "/v1/queue", "2xx") - asked(before, "/v1/queue", "2xx"), 2)
        self.assertEqual(asked(after, "/v1/jobs/{id}", "4xx") - asked(before, "/v1/jobs/{id}", "4xx"), 1)
        nowhere = ("riftd_http_requests_total", (("method", ""), ("route", ""), ("status", "4xx")))
        self.assertEqual(after[nowhere] - before.get(nowhere, 0), 1)
        labels = (("method", "GET"), ("route", "/v1/queue"))
        count = after["riftd_http_request_seconds_count", labels]
        self.assertEqual(count, asked(after, "/v1/queue", "2xx"))
        self.assertEqual(after["riftd_http_request_seconds_bucket", (("le", "+Inf"), *labels)], count)

    def test_buckets_hold_the_smaller_ones_too(self):
        self.server.get("/v1/version")
        numbers = self.read()
        rows = [(float(dict(labels)["le"]), value) for (name, labels), value in numbers.items()
                if name == "riftd_http_request_seconds_bucket" and dict(labels)["route"] == "/v1/version"]
        self.assertEqual(rows, sorted(rows))
        self.assertEqual([value for _, value in rows], sorted(value for _, value in rows))
        self.assertEqual(rows[-1][0], float("inf"))

    def test_jobs_are_counted_by_state_and_commits_with_what_shares_them(self):
        before = self.read()
        self.submit()
        after = self.read()
        queued = ("riftd_jobs", (("state", "queued"),))
        self.assertEqual(after[queued] - before[queued], 1)
        self.assertGreaterEqual(after["riftd_db_transactions_total", ()], before["riftd_db_transactions_total", ()] + 1)
        self.assertGreaterEqual(after["riftd_db_commits_total", ()], before["riftd_db_commits_total", ()] + 1)
        self.assertEqual(after["riftd_db_commit_failures_total", ()], 0)
        self.assertEqual(after["riftd_streams", ()], 0)
        for name in ("riftd_db_bytes", "riftd_disk_free_bytes", "process_resident_memory_bytes", "process_cpu_seconds_total",
                     "process_start_time_seconds", "riftd_db_commit_seconds_total"):
            self.assertGreater(after[name, ()], 0, name)


    def test_the_queue_is_counted_by_priority(self):
        def depths():
            return {int(dict(labels)["priority"]): value for (name, labels), value in self.read().items()
                    if name == "riftd_queued_jobs"}

        self.drain()
        self.assertEqual(depths(), {0: 0})
        for priority in (-100, 5, 5, 100):
            self.submit(priority=priority)
        held = self.submit(priority=7)["id"]
        self.expect(self.server.ask("PATCH", f"/v1/jobs/{held}", {"held": True}), 200)
        self.assertEqual(depths(), {-100: 1, 0: 0, 5: 2, 100: 1})
        self.submit()
        self.assertEqual(depths(), {-100: 1, 0: 1, 5: 2, 100: 1})


class Watching(server.Case):
    """As many streams as there may be."""
    @classmethod
    def make_server(cls):
        return server.Alone(stream_limit=cls.CLIENTS, heartbeat_ms=cls.HEARTBEAT_MS)

    def streams(self):
        return parse(self.server.get("/metrics").body.decode())["riftd_streams", ()]

    def watch(self):
        clients = []
        for _ in range(self.CLIENTS):
            sock = socket.create_connection(("127.0.0.1", self.server.port), timeout=server.DEADLINE_S)
            sock.sendall(b"GET /v1/events?after=now HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % self.server.port)
            self.assertEqual(sock.recv(12), b"HTTP/1.1 200")
            clients.append(sock)
        self.assertEqual(self.streams(), self.CLIENTS)
        return clients

    def reset(self, clients):
        for sock in clients:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with RST
            sock.close()
        server.until("they are missed", lambda: self.streams() == 0)


class Watched(Watching):
    CLIENTS, HEARTBEAT_MS = 50, 100

    def test_open_streams_are_counted_and_those_that_were_reset_are_not(self):
        self.assertEqual(self.streams(), 0)
        clients = self.watch()
        self.expect(self.server.get("/v1/events"), 503, "too-many-streams")
        self.reset(clients)


class Left(Watching):
    CLIENTS, HEARTBEAT_MS = 20, 6000  # so many, since one that has only just begun fails at its first word

    def test_streams_that_were_reset_are_missed_before_their_next_heartbeat(self):
        def soon():
            """Whether they were; a slow machine may look too late."""
            began = server.time.monotonic()
            self.reset(self.watch())
            return server.time.monotonic() - began < self.HEARTBEAT_MS / 1000
        server.until("they are missed soon", soon)


class OfRiftd(server.Case):
    @classmethod
    def make_server(cls):
        return server.Daemon()

    def test_the_daemon_tells_its_slots_and_workers(self):
        job = self.submit()["id"]  # its data are nowhere: the worker fails it
        server.until("it fails", lambda: self.server.get(f"/v1/jobs/{job}").json["state"] == "failed")
        free = "riftd_slots", (("device", "cpu"), ("state", "free"))  # which it is a moment after the job is told to have ended
        numbers = server.until("its slot is free", lambda: (now := parse(self.server.get("/metrics").body.decode()))[free] and now)
        self.assertEqual(numbers[free], 1)
        self.assertEqual(numbers["riftd_worker_starts_total", ()], 1)
        self.assertEqual(numbers["riftd_worker_crashes_total", ()], 0)
        self.assertEqual(numbers["riftd_job_wait_seconds_count", ()], 1)
        self.assertEqual(numbers["riftd_job_run_seconds_count", (("state", "failed"),)], 1)
        self.assertEqual(numbers["riftd_job_run_seconds_count", (("state", "succeeded"),)], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
