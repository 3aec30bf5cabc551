#!/usr/bin/env python3
"""How long do others wait while a job with millions of points is deleted?

    load_fill FILE 250 5000000
    bench/deletion.py BUILD FILE

Starts BUILD/riftd on a copy of FILE, whose job with the long curve ("load-big") has ended,
submits a hundred jobs, 20 ms after each other, goes on, deletes the long one, goes on
until its rows are gone, and a hundred more. Prints what the submits took before, beside the
deletion and after, and what the deletion took. --cut kills riftd once, in its middle.
"""
import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

TRAIN = {"kind": "train", "dataset": {"format": "idx", "path": "/nowhere"}}
EVERY_S = 0.02


class Riftd:
    def __init__(self, build, state):
        self.command = [str(build / "riftd"), "--state", str(state), "--port", "0", "--rate-limit", "0"]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def ask(self, method, path, body=None):
        """(status, JSON or None, seconds)"""
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None, time.monotonic() - began

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait()
        self.process.stdout.close()


class Submits(threading.Thread):
    """One after the other; waits[] has (when, seconds) of each."""

    def __init__(self, riftd):
        super().__init__()
        self.riftd, self.waits, self.stop = riftd, [], threading.Event()

    def run(self):
        while not self.stop.wait(EVERY_S):
            began = time.monotonic()
            status, job, took = self.riftd.ask("POST", "/v1/jobs", TRAIN)
            assert status == 201, job
            self.waits.append((began, took))

    def enough(self):
        """Until a hundred more were answered."""
        seen = len(self.waits)
        while len(self.waits) < seen + 100:
            time.sleep(0.02)

    def say(self, what, since, until):
        took = sorted(took for began, took in self.waits if began < until and began + took > since)
        if took:
            print(f"{what:24} {len(took):6} submits, p50 {took[len(took) // 2] * 1e3:8.1f} ms,"
                  f" p99 {took[len(took) * 99 // 100] * 1e3:8.1f} ms, longest {took[-1] * 1e3:9.1f} ms", flush=True)


def left(database):
    """Is anything left of the long curve? No other has so many points."""
    on = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)
    try:
        return on.execute("SELECT EXISTS(SELECT 1 FROM series WHERE count > 100000)").fetchone()[0]
    finally:
        on.close()


def prepared(file, state):
    (state / "jobs").mkdir(parents=True)
    database = state / "riftd.db"
    shutil.copyfile(file, database)
    with sqlite3.connect(database) as on:
        on.execute("UPDATE job SET state = 'succeeded', ended_ms = ?, result = '{}' WHERE label = 'load-big'",
                   (int(time.time() * 1000),))
        on.execute("INSERT OR REPLACE INTO state VALUES('drained', 'yes')")
        job, = on.execute("SELECT id FROM job WHERE label = 'load-big'").fetchone()
        points, = on.execute("SELECT SUM(count) FROM series JOIN job ON job = number WHERE label = 'load-big'").fetchone()
    on.close()
    os.sync()
    return database, job, points


def measure(riftd, database, job, cut):
    submits = Submits(riftd)
    submits.start()
    began = time.monotonic()
    submits.enough()
    deleting = time.monotonic()
    status, answer, took = riftd.ask("DELETE", f"/v1/jobs/{job}")
    assert status == 204, answer
    assert riftd.ask("GET", f"/v1/jobs/{job}")[0] == 404
    print(f"DELETE answered after     {took:9.3f} s", flush=True)
    if cut:
        submits.stop.set()
        submits.join()
        riftd.end(signal.SIGKILL)
        assert left(database), "it was over before the cut"
        riftd.start()
        assert riftd.ask("GET", f"/v1/jobs/{job}")[0] == 404
        submits = Submits(riftd)
        submits.start()
    while left(database):
        time.sleep(0.05)
    gone = time.monotonic()
    print(f"rows gone after           {gone - deleting:9.3f} s", flush=True)
    submits.enough()
    submits.stop.set()
    submits.join()
    submits.say("before", began, deleting)
    submits.say("beside the deletion", deleting, gone)
    submits.say("after", gone, time.monotonic())
    riftd.end(signal.SIGTERM)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--cut", action="store_true")
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="rift-deletion-", dir="/var/tmp"))
    try:
        database, job, points = prepared(options.file, work / "state")
        print(f"{points} points and their events, {database.stat().st_size >> 20} MiB", flush=True)
        riftd = Riftd(options.build, database.parent)
        try:
            measure(riftd, database, job, options.cut)
        finally:
            riftd.process.kill()
            riftd.process.wait()
    finally:
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
