#!/usr/bin/env python3
"""What becomes of a job whose journal is cut, spoilt or taken away, while riftd is there and while it isn't?

It ends in the right state, is stored as the journal tells it in the end, and riftd neither spins nor dies of it."""

import os
import unittest

import outside
from outside import Riftd, until


def cut_line(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 15])


def cut_half(path):
    data = path.read_bytes()
    half = data.rfind(b"\n", 0, len(data) // 2) + 1
    os.truncate(path, half)


def cut_all(path):
    os.truncate(path, 0)


def spoil_end(path):
    with open(path, "ab") as file:
        file.write(b"rubbish without sense\n\xff\xfe\0\0\n")


def spoil_middle(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] = 0
    data[len(data) // 3 + 1] = 10
    path.write_bytes(bytes(data))


def zeros(path):
    size = path.stat().st_size
    path.write_bytes(bytes(size))


def remove(path):
    path.unlink()


DAMAGES = [cut_line, cut_half, cut_all, spoil_end, spoil_middle, zeros, remove]
ENDED = ("succeeded", "failed", "cancelled")


def busy_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class Journals(outside.Case):
    def run_to_pause(self, riftd):
        job = riftd.submit("to:20 hold:go to:30 finish")
        until("20 steps are stored", lambda: riftd.rows(
            "SELECT COUNT(*) FROM event WHERE type = 'metric' AND job = (SELECT number FROM job WHERE id = ?)", job)[0][0] == 20)
        return job

    def end(self, riftd, job):
        riftd.release(job)
        return until("the job has ended", lambda: (lambda body: body if body["state"] in ENDED else None)(riftd.job(job)))

    def judge(self, riftd, job, damage):
        body = self.end(riftd, job)
        if body["state"] == "failed":
            self.assertIn(body["error"]["code"], ("journal_damaged", "worker_crashed", "bad_input"), damage.__name__)
        else:
            self.assertEqual(body["state"], "succeeded", damage.__name__)
        # Whatever it was, nothing of it holds up others.
        riftd.wait(riftd.submit("to:3 finish"), "succeeded")
        self.assertEqual(riftd.ask("GET", f"/v1/jobs/{job}/events?wait=0")[0], 200)
        self.assertEqual(riftd.ask("GET", "/healthz")[0], 200)

    def test_damage_while_riftd_is_away(self):
        for damage in DAMAGES:
            with self.subTest(damage=damage.__name__):
                riftd = Riftd(self.folder / damage.__name__ / "state")
                riftd.state.parent.mkdir()
                riftd.start()
                try:
                    job = self.run_to_pause(riftd)
                    riftd.kill()
                    damage(riftd.dir(job) / "journal.ndjson")
                    riftd.start()
                    self.judge(riftd, job, damage)
                finally:
                    riftd.close()

    def test_damage_while_riftd_reads(self):
        riftd = self.riftd("--slots", "cpu:4")
        for damage in DAMAGES:
            with self.subTest(damage=damage.__name__):
                job = self.run_to_pause(riftd)
                damage(riftd.dir(job) / "journal.ndjson")
                self.judge(riftd, job, damage)

    def test_damage_that_stays_costs_no_processor(self):
        riftd = self.riftd("--slots", "cpu:4")
        job = self.run_to_pause(riftd)
        spoil_middle(riftd.dir(job) / "journal.ndjson")
        os.truncate(riftd.dir(job) / "journal.ndjson", 400)  # read again from its start, where it is spoilt
        log = riftd.state.parent / "riftd.log"
        until("riftd has seen it", lambda: job in log.read_text(errors="replace"))
        lines, ticks = len(log.read_text(errors="replace").splitlines()), busy_ticks(riftd.process.pid)
        for _ in range(5):  # a second's worth of looks
            riftd.wait(riftd.submit("to:2 finish"), "succeeded")
        said = [line for line in log.read_text(errors="replace").splitlines()[lines:] if job in line]
        self.assertLess(len(said), 10, said[:3])
        self.assertLess(busy_ticks(riftd.process.pid) - ticks, 400)
        self.judge(riftd, job, spoil_middle)


if __name__ == "__main__":
    unittest.main()
