#!/usr/bin/env python3
"""Event streams: nothing missed, nothing twice, and none left behind."""
import json
import os
import socket
import sqlite3
import threading
import time
import unittest

import server
from server import RIFT

STREAMS = 4


class Stream:
    """A reader of server-sent events over a plain socket."""

    def __init__(self, port, path, **headers):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=server.DEADLINE_S)
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\n{lines}\r\n".encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        template, method, _ = server.operation_find("GET", path)
        server.seen.add((method, template, str(self.status)))
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, value = line.decode().split(": ", 1)
            self.headers[name] = value
        self.comments = 0

    def next(self):
        """The next event as (id, type, data), or None at the end."""
        event = {}
        while line := self.file.readline():
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                self.comments += 1
            elif text:
                name, value = text.split(": ", 1)
                event[name] = value
            elif "data" in event:
                return int(event["id"]) if "id" in event else None, event["event"], json.loads(event["data"])
        return None

    def rest(self):
        return list(iter(self.next, None))

    def close(self):
        self.file.close()
        self.sock.close()


def opened(port, path, **headers):
    """A stream that isn't one too many: one that has just been left may take a moment to be missed."""
    def one():
        stream = Stream(port, path, **headers)
        if stream.status != 503:
            return stream
        stream.close()
        return None
    return server.until(f"room for {path}", one)


class Streams(server.Case):
    @classmethod
    def make_server(cls):
        return server.Alone(stream_limit=STREAMS, heartbeat_ms=100)

    def setUp(self):
        self.drain()
        self.open_streams = []

    def tearDown(self):
        for stream in self.open_streams:
            stream.close()

    def stream(self, path, **headers):
        self.open_streams.append(opened(self.server.port, path, **headers))
        return self.open_streams[-1]

    def test_events_arrive_live_and_the_stream_ends_with_the_job(self):
        job = self.submit()["id"]
        stream = self.stream(f"/v1/jobs/{job}/events")
        self.assertEqual((stream.status, stream.headers["Content-Type"]), (200, "text/event-stream"))
        self.assertEqual(stream.headers["Cache-Control"], "no-store")
        self.assertEqual(stream.next()[2]["state"], "queued")
        self.server.start(job)
        self.assertEqual(stream.next()[2]["state"], "running")
        for step in range(3):
            self.server.event(job, "metric", name="loss", step=step, value=float(step))
            number, kind, data = stream.next()
            self.assertEqual((kind, data["id"], data["job"], data["value"]), ("metric", number, job, float(step)))
        self.server.do("move", job=job, state="succeeded", result={})
        self.assertEqual([(kind, data["state"]) for _, kind, data in stream.rest()],
                         [("state", "succeeded"), ("end", "succeeded")])

    def test_a_reader_that_comes_back_misses_nothing_and_gets_nothing_twice(self):
        job = self.submit()["id"]
        self.server.start(job)
        for step in range(250):
            self.server.event(job, "metric", name="loss", step=step, value=float(step))
        self.server.do("move", job=job, state="succeeded", result={})
        whole = self.stream(f"/v1/jobs/{job}/events").rest()
        self.assertEqual(len([one for one in whole if one[1] == "metric"]), 250)
        pieces, last = [], None
        while True:
            headers = {"Last_Event_ID": last} if last else {}
            stream = self.stream(f"/v1/jobs/{job}/events", **headers)
            if stream.status == 204:
                break
            for _ in range(60):
                event = stream.next()
                if event is None or event[0] is None:
                    break
                pieces.append(event)
                last = event[0]
            stream.close()
        self.assertEqual(pieces, [one for one in whole if one[0] is not None])

    def test_a_rift_jobs_stream_has_its_steps_events(self):
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        stream = self.stream(f"/v1/jobs/{rift['id']}/events?after=now")
        step = rift["steps"][0]["id"]
        self.server.start(step)
        self.server.event(step, "progress", phase="train", done=1, total=2)
        kinds = set()
        while ("progress", step) not in kinds:
            _, kind, data = stream.next()
            kinds.add((kind, data["job"]))
        self.assertIn(("state", step), kinds)

    def test_now_skips_the_past(self):
        self.submit()
        stream = self.stream("/v1/events?after=now")
        job = self.submit()["id"]
        self.server.do("calls")  # api_alone tells of news after each command
        self.assertEqual(stream.next()[2]["job"], job)

    def test_the_same_events_come_as_a_list(self):
        job = self.submit()["id"]
        path = f"/v1/jobs/{job}/events"
        self.server.start(job)
        for step in range(5):
            self.server.event(job, "metric", name="loss", step=step, value=1.0)
        whole = self.server.get(path + "?wait=0").json
        self.assertEqual([one["type"] for one in whole["events"]], ["state", "state"] + ["metric"] * 5)
        self.assertEqual(self.server.get(path, Accept="application/json").json, whole)
        page = self.server.get(path + "?wait=0&limit=3").json
        rest = self.server.get(path + f"?wait=0&after={page['last']}").json
        self.assertEqual(page["events"] + rest["events"], whole["events"])
        self.assertEqual(self.server.get(path + f"?wait=0&after={whole['last']}").json,
                         {"events": [], "last": whole["last"]})
        lines = self.server.get(path, Accept="application/x-ndjson")
        self.assertEqual([json.loads(line) for line in lines.body.splitlines()], whole["events"])
        everything = self.server.get("/v1/events?wait=0&limit=1000").json["events"]
        self.assertEqual([one for one in everything if one["job"] == job], whole["events"])
        self.assertEqual(self.server.ask("HEAD", path).status, 200)

    def test_a_silent_stream_gets_comments(self):
        stream = self.stream("/v1/events?after=now")
        until = time.monotonic() + server.DEADLINE_S
        stream.sock.settimeout(server.DEADLINE_S)
        while stream.comments < 3 and time.monotonic() < until:
            if stream.file.readline().startswith(b":"):
                stream.comments += 1
        self.assertEqual(stream.comments, 3)

    def test_one_stream_too_many_is_503_and_a_closed_one_is_missed(self):
        for _ in range(STREAMS):
            self.assertEqual(self.stream("/v1/events?after=now").status, 200)
        refused = self.expect(self.server.get("/v1/events"), 503, "too-many-streams")
        self.assertEqual(refused.headers["Retry-After"], "5")
        self.expect(self.server.get(f"/v1/jobs/{self.submit()['id']}/events"), 503, "too-many-streams")
        self.assertEqual(self.server.get("/v1/events?wait=0").status, 200)
        for stream in self.open_streams:
            stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            stream.close()
        self.open_streams.clear()
        self.assertEqual(self.stream("/v1/events?after=now").status, 200)

    def test_news_in_a_storm_reaches_every_reader_in_order(self):
        job = self.submit()["id"]
        self.server.start(job)
        seen = [[] for _ in range(STREAMS)]

        def read(index, stream):
            seen[index] = [data["step"] for _, kind, data in stream.rest() if kind == "metric"]

        streams = [self.stream(f"/v1/jobs/{job}/events") for _ in range(STREAMS)]
        threads = [threading.Thread(target=read, args=pair) for pair in enumerate(streams)]
        for thread in threads:
            thread.start()
        for step in range(300):
            self.server.event(job, "metric", name="loss", step=step, value=0.0)
        self.server.do("move", job=job, state="failed", error={"code": "x", "message": "y"})
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [list(range(300))] * STREAMS)

    def test_a_worker_cannot_break_the_lines_of_a_stream(self):
        job = self.submit()["id"]
        self.server.start(job)
        self.server.event(job, "x\ndata: 1\n\n", text="a\nb\r\n\ndata: 2")
        self.server.do("move", job=job, state="succeeded", result={})
        events = self.stream(f"/v1/jobs/{job}/events").rest()
        self.assertEqual([kind for _, kind, _ in events], ["state", "state", "message", "state", "end"])
        self.assertEqual(events[2][2]["text"], "a\nb\r\n\ndata: 2")


class Gaps(server.Case):
    """Where Last-Event-ID can't be kept a reader is told so, once."""
    def setUp(self):
        self.drain()
        self.job = self.submit()["id"]
        self.path = f"/v1/jobs/{self.job}/events"
        self.server.start(self.job)
        self.server.event(self.job, "metric", name="loss", step=1, value=1.0)

    def take_away(self):
        """What retention does to the events of an ended job."""
        other = sqlite3.connect(os.path.join(self.server.dir, "riftd.db"), isolation_level=None)
        other.execute("PRAGMA wal_autocheckpoint = 0")
        number, = other.execute("SELECT number FROM job WHERE id = ?", (self.job,)).fetchone()
        other.execute("DELETE FROM event WHERE job = ?", (number,))
        fields = json.dumps({"time_ms": 1, "type": "purged", "what": "events"}, separators=(",", ":"))
        other.execute("INSERT INTO event(job, family, seq, time_ms, type, fields) VALUES(?, ?, 0, 1, 'purged', ?)",
                      (number, number, fields))
        other.close()

    def stream(self, path, last):
        stream = Stream(self.server.port, path, Last_Event_ID=last)
        self.addCleanup(stream.close)
        return stream

    def test_who_missed_what_retention_took_is_told_to_read_anew(self):
        seen = self.server.get(self.path + "?wait=0").json["events"]
        self.server.do("move", job=self.job, state="succeeded", result={})
        self.take_away()
        for path in (self.path, "/v1/events"):
            self.assertEqual(self.stream(path, seen[0]["id"]).next(), (seen[0]["id"], "reset", {"type": "reset"}))
        rest = self.stream(self.path, seen[0]["id"]).rest()
        self.assertEqual([kind for _, kind, _ in rest], ["reset", "purged", "end"])
        # Who has seen what retention left behind misses nothing, and who asks from the start knows nothing yet.
        self.assertEqual(self.stream(self.path, rest[1][0]).status, 204)
        self.assertEqual([kind for _, kind, _ in self.stream(self.path, 0).rest()], ["purged", "end"])

    def test_who_is_ahead_of_a_database_that_was_put_back_is_told_once(self):
        newest = self.server.get("/v1/events?wait=0&limit=1000").json["last"]
        ahead = self.stream(self.path, newest + 1000)
        self.assertEqual(ahead.next(), (newest, "reset", {"type": "reset"}))
        self.server.do("move", job=self.job, state="succeeded", result={})
        self.assertEqual([kind for _, kind, _ in ahead.rest()], ["state", "end"])
        last = self.stream(self.path, newest + 1000).next()
        self.assertEqual(last[1], "reset")
        self.assertEqual(self.stream(self.path, last[0]).status, 204)
        self.assertEqual(self.server.get(f"{self.path}?wait=0&after={newest + 1000}").json["events"], [])


class Telling(server.Case):
    @classmethod
    def make_server(cls):
        return server.Alone(heartbeat_ms=60000)

    def test_a_watcher_hears_of_a_submit_at_once_though_nobody_starts_the_job(self):
        stream = Stream(self.server.port, "/v1/events?after=now")
        job = self.submit()["id"]
        _, kind, data = stream.next()
        self.assertEqual((kind, data["job"], data["state"]), ("state", job, "queued"))
        self.server.ask("POST", f"/v1/jobs/{job}/cancel")
        self.assertEqual(stream.next()[2]["state"], "cancelled")
        stream.close()

    def test_watchers_at_different_places_each_hear_everything_once(self):
        streams = [Stream(self.server.port, "/v1/events?after=now") for _ in range(2)]
        jobs = [self.submit()["id"] for _ in range(3)]
        streams.append(Stream(self.server.port, f"/v1/events?after={streams[0].next()[0]}"))
        jobs.append(self.submit()["id"])
        heard = [[stream.next()[2]["job"] for _ in range(count)] for stream, count in zip(streams, (3, 4, 3))]
        self.assertEqual(heard, [jobs[1:], jobs, jobs[1:]])
        for stream in streams:
            stream.close()


class Stopping(unittest.TestCase):
    def test_stopping_ends_open_streams_and_crashes_nothing(self):
        for _ in range(5):
            alone = server.Alone(heartbeat_ms=60000)
            streams = [Stream(alone.port, "/v1/events") for _ in range(3)]
            alone.stop()  # insists on exit code 0
            self.assertEqual([stream.rest() for stream in streams], [[]] * 3)
            for stream in streams:
                stream.close()

    def test_stopping_in_the_midst_of_submits_crashes_nothing(self):
        for _ in range(10):
            alone = server.Alone()
            body = json.dumps(server.TRAIN)
            head = (f"POST /v1/jobs HTTP/1.1\r\nHost: localhost:{alone.port}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n")
            socks = [socket.create_connection(("127.0.0.1", alone.port)) for _ in range(40)]
            for number, sock in enumerate(socks):
                sock.sendall((head + body).encode())
                if number % 3 == 0:
                    sock.close()
            alone.stop()  # insists on exit code 0
            for sock in socks:
                sock.close()


if __name__ == "__main__":
    unittest.main()
