#!/usr/bin/env python3
"""Logs and artifacts: the right bytes, parts of them, and no others."""
import base64
import hashlib
import os
import time
import unittest
import urllib.parse

import server
from server import RIFT

DATA = bytes(range(256)) * 40


class Files(server.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job = cls().submit()["id"]
        cls.server.start(cls.job)
        cls.put(cls.job, "best.safetensors", DATA)
        cls.put(cls.job, "reports/table.csv", b"")
        cls.path = f"/v1/jobs/{cls.job}/artifacts/best.safetensors"

    @classmethod
    def put(cls, job, name, data, announced=None):
        """A file as a worker leaves it: on disk, and announced."""
        cls.replace(job, name, data)
        cls.announce(job, name, data if announced is None else announced)

    @classmethod
    def replace(cls, job, name, data, age_s=60):
        """Written aside and renamed, as a worker does."""
        path = os.path.join(cls.server.job_dir(job), "artifacts", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "wb") as file:
            file.write(data)
        os.utime(path + ".new", (time.time() - age_s,) * 2)
        os.rename(path + ".new", path)

    @classmethod
    def announce(cls, job, name, data):
        cls.server.event(job, "artifact", name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def test_a_file_comes_whole_with_its_digest(self):
        answer = self.expect(self.server.get(self.path), 200)
        self.assertEqual(answer.body, DATA)
        digest = hashlib.sha256(DATA)
        self.assertEqual(answer.headers["ETag"], f'"{digest.hexdigest()}"')
        self.assertEqual(answer.headers["Repr-Digest"], f"sha-256=:{base64.b64encode(digest.digest()).decode()}:")
        self.assertEqual(answer.headers["Accept-Ranges"], "bytes")
        self.assertEqual(answer.headers["Content-Disposition"], 'attachment; filename="best.safetensors"')
        self.assertEqual(answer.headers["Content-Length"], str(len(DATA)))
        head = self.server.ask("HEAD", self.path)
        self.assertEqual((head.status, head.headers["Content-Length"], head.headers["ETag"]),
                         (200, str(len(DATA)), answer.headers["ETag"]))
        self.assertEqual(self.server.get(f"/v1/jobs/{self.job}/artifacts/reports/table.csv").body, b"")

    def test_a_picture_says_that_it_is_one_and_everything_else_is_bytes(self):
        self.put(self.job, "samples.png", b"\x89PNG")
        for name, content in (("samples.png", "image/png"), ("reports/table.csv", "application/octet-stream")):
            answer = self.expect(self.server.get(f"/v1/jobs/{self.job}/artifacts/{name}"), 200)
            self.assertEqual(answer.headers["Content-Type"], content)
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")

    def test_the_list_says_what_there_is(self):
        files = self.server.get(f"/v1/jobs/{self.job}/artifacts").json["artifacts"]
        best = next(one for one in files if one["name"] == "best.safetensors")
        self.assertEqual((best["size"], best["sha256"]), (len(DATA), hashlib.sha256(DATA).hexdigest()))
        self.assertEqual(self.server.get(best["href"]).body, DATA)

    def test_one_range_is_served_and_everything_else_is_ignored_or_refused(self):
        size = len(DATA)
        for text, start, end in [("bytes=0-0", 0, 0), ("bytes=0-", 0, size - 1), ("bytes=100-199", 100, 199),
                                 ("bytes=-10", size - 10, size - 1), (f"bytes={size - 1}-", size - 1, size - 1),
                                 ("bytes=5-99999999", 5, size - 1), ("bytes=-99999999", 0, size - 1)]:
            answer = self.expect(self.server.get(self.path, Range=text), 206)
            self.assertEqual(answer.body, DATA[start:end + 1], text)
            self.assertEqual(answer.headers["Content-Range"], f"bytes {start}-{end}/{size}")
        for text in ("bytes=0-1,3-4", "lines=0-1", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0-1x", "0-1",
                     "bytes=99999999999999999999-"):
            answer = self.expect(self.server.get(self.path, Range=text), 200)
            self.assertEqual(answer.body, DATA, text)
        for text in (f"bytes={size}-", "bytes=99999999-", "bytes=-0"):
            answer = self.expect(self.server.get(self.path, Range=text), 416, "bad-range")
            self.assertEqual(answer.headers["Content-Range"], f"bytes */{size}")
        self.expect(self.server.get(f"/v1/jobs/{self.job}/artifacts/reports/table.csv", Range="bytes=0-"), 416, "bad-range")

    def test_conditions_are_honoured(self):
        etag = self.server.get(self.path).headers["ETag"]
        for text in (etag, "*", f'"other", {etag}', "W/" + etag):
            answer = self.server.get(self.path, If_None_Match=text)
            self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", etag), text)
        self.assertEqual(self.server.get(self.path, If_None_Match='"other"').status, 200)
        self.assertEqual(self.server.get(self.path, Range="bytes=0-9", If_Range=etag).status, 206)
        self.assertEqual(self.server.get(self.path, Range="bytes=0-9", If_Range='"other"').status, 200)
        self.assertEqual(self.server.get(self.path, Range="bytes=0-9", If_Range="W/" + etag).status, 200)

    def test_no_spelling_of_a_name_leads_outside(self):
        directory = self.server.job_dir(self.job)
        with open(os.path.join(directory, "spec.json"), "w", encoding="utf-8") as file:
            file.write("secret")
        os.symlink("/etc/passwd", os.path.join(directory, "artifacts", "passwd"))
        os.symlink("/etc", os.path.join(directory, "artifacts", "etc"))
        with open("/etc/passwd", "rb") as file:
            passwd = file.read()
        self.server.event(self.job, "artifact", name="passwd", size=len(passwd), sha256="0" * 64)
        self.server.event(self.job, "artifact", name="etc/passwd", size=len(passwd), sha256="0" * 64)
        os.mkfifo(os.path.join(directory, "artifacts", "fifo"))
        self.server.event(self.job, "artifact", name="fifo", size=0, sha256="0" * 64)
        names = ["passwd", "etc/passwd", "fifo", "reports", "../spec.json", "../../" + self.job + "/spec.json", "..",
                 "./best.safetensors", "reports/../best.safetensors", "/etc/passwd", "%2e%2e/spec.json", ".", "",
                 "reports//table.csv", "best.safetensors/", "..%2fspec.json", "%2fetc%2fpasswd", "best.safetensors%00",
                 "best%0a", "%c0%ae%c0%ae/spec.json", "..\\spec.json", "a" * 101, "/".join(["a"] * 9), "nothing"]
        for name in names:
            with self.subTest(name):
                answer = self.server.get(f"/v1/jobs/{self.job}/artifacts/" + urllib.parse.quote(name, safe="/%"))
                self.assertIn(answer.status, (400, 404))
                self.assertNotIn(b"secret", answer.body)
                self.assertNotIn(b"root:", answer.body)

    def test_bytes_that_are_not_announced_yet_never_go_out_under_the_old_hash(self):
        self.drain()
        job = self.submit()["id"]
        self.server.start(job)
        path = f"/v1/jobs/{job}/artifacts/best.safetensors"
        self.put(job, "best.safetensors", b"epoch 1")
        etag = self.expect(self.server.get(path), 200).headers["ETag"]
        for data in (b"epoch 2", b"epoch 3 is longer"):
            self.replace(job, "best.safetensors", data)  # renamed into place; its event is still on the way
            for headers in ({}, {"Range": "bytes=0-3"}, {"If_None_Match": etag}):
                answer = self.expect(self.server.get(path, **headers), 503, "file-changing")
                self.assertEqual(answer.headers["Retry-After"], "1")
                self.assertIsNone(answer.headers["ETag"])
            self.announce(job, "best.safetensors", data)
            answer = self.expect(self.server.get(path), 200)
            self.assertEqual((answer.body, answer.headers["ETag"]), (data, f'"{hashlib.sha256(data).hexdigest()}"'))
        # A worker that dies in between never announces: the file stays what nobody told of.
        self.replace(job, "best.safetensors", b"epoch 4 is longer")
        self.server.do("move", job=job, state="failed", error={"code": "crashed", "message": "killed"})
        self.expect(self.server.get(path), 404, "no-such-file")

    def test_a_file_that_was_changed_after_its_job_succeeded_is_not_served(self):
        self.drain()
        job = self.submit()["id"]
        self.server.start(job)
        path = f"/v1/jobs/{job}/artifacts/last.safetensors"
        self.put(job, "last.safetensors", b"as written")
        self.server.do("move", job=job, state="succeeded", result={})
        self.assertEqual(self.expect(self.server.get(path), 200).body, b"as written")
        # Copied somewhere else and back: newer, but the same.
        self.replace(job, "last.safetensors", b"as written", age_s=-3600)
        self.assertEqual(self.expect(self.server.get(path), 200).body, b"as written")
        self.replace(job, "last.safetensors", b"as altered", age_s=-3600)
        self.expect(self.server.get(path), 404, "no-such-file")

    def test_a_file_that_is_not_the_announced_one_is_not_served(self):
        self.put(self.job, "cut.bin", b"short", announced=b"it was longer")
        self.expect(self.server.get(f"/v1/jobs/{self.job}/artifacts/cut.bin"), 503, "file-changing")
        self.server.event(self.job, "artifact", name="never.bin", size=3, sha256="0" * 64)
        self.expect(self.server.get(f"/v1/jobs/{self.job}/artifacts/never.bin"), 404, "no-such-file")

    def test_a_log_is_read_whole_in_parts_and_from_its_end(self):
        path = f"/v1/jobs/{self.job}/log"
        answer = self.expect(self.server.get(path), 200)
        self.assertEqual((answer.body, answer.headers["Content-Type"]), (b"", "text/plain; charset=utf-8"))
        lines = [f"line {i} {'x' * (i % 90)}\n" for i in range(5000)]
        log = os.path.join(self.server.job_dir(self.job), "log.txt")
        with open(log, "w", encoding="utf-8") as file:
            file.writelines(lines)
        text = "".join(lines).encode()
        self.assertEqual(self.server.get(path).body, text)
        self.assertEqual(self.expect(self.server.get(path, Range="bytes=-100"), 206).body, text[-100:])
        self.expect(self.server.get(path, Range=f"bytes={len(text)}-"), 416, "bad-range")
        for count in (1, 2, 10, 3000, 4999, 5000, 100000):
            self.assertEqual(self.server.get(f"{path}?tail={count}").body, "".join(lines[-count:]).encode(), count)
        with open(log, "a", encoding="utf-8") as file:
            file.write("no newline yet")
        self.assertEqual(self.server.get(f"{path}?tail=1").body, b"no newline yet")
        self.assertEqual(self.expect(self.server.get(path, Range=f"bytes={len(text)}-"), 206).body, b"no newline yet")
        for wrong in ("?tail=0", "?tail=x", "?tail=100001", "?step=1"):
            self.expect(self.server.get(path + wrong), 400, "bad-query")

    def test_a_log_that_grows_has_no_tag_and_one_that_is_done_has(self):
        self.drain()
        job = self.submit()["id"]
        self.server.start(job)
        path, log = f"/v1/jobs/{job}/log", os.path.join(self.server.job_dir(job), "log.txt")
        seen = b""
        for piece in (b"one\n", b"two\n", b"three\n"):
            with open(log, "ab") as file:
                file.write(piece)
            answer = self.expect(self.server.get(path, Range=f"bytes={len(seen)}-"), 206)
            self.assertEqual((answer.body, answer.headers["ETag"]), (piece, None))
            seen += piece
        # A part of what may have changed since isn't given to who insists that it hasn't.
        self.assertEqual(self.expect(self.server.get(path, Range="bytes=4-", If_Range='"x"'), 200).body, seen)
        self.server.do("move", job=job, state="failed", error={"code": "x", "message": "y"})
        tag = self.expect(self.server.get(path), 200).headers["ETag"]
        self.assertEqual(self.server.get(path, If_None_Match=tag).status, 304)
        self.assertEqual(self.expect(self.server.get(path, Range="bytes=4-", If_Range=tag), 206).body, seen[4:])
        self.server.ask("POST", f"/v1/jobs/{job}/retry")
        self.assertIsNone(self.server.get(path).headers["ETag"])
        with open(log, "ab") as file:
            file.write(b"again\n")
        self.server.ask("POST", f"/v1/jobs/{job}/cancel")
        self.assertEqual(self.expect(self.server.get(path, Range="bytes=4-", If_Range=tag), 200).body, seen + b"again\n")

    def test_a_rift_job_has_the_files_and_the_log_of_its_steps(self):
        self.drain()
        rift = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json
        train, mrc = rift["steps"][0]["id"], rift["steps"][1]["id"]
        for job, word in ((train, "training"), (mrc, "measuring")):
            self.server.start(job)
            with open(os.path.join(self.server.job_dir(job), "log.txt"), "w", encoding="utf-8") as file:
                file.write(word)
            self.assertEqual(self.server.get(f"/v1/jobs/{rift['id']}/log").body.decode(), word)
            self.put(job, "best.safetensors", word.encode())
            self.server.do("move", job=job, state="succeeded", result={})
        self.assertEqual(self.server.get(f"/v1/jobs/{rift['id']}/log?step=0").body, b"training")
        files = self.server.get(f"/v1/jobs/{rift['id']}/artifacts").json["artifacts"]
        self.assertEqual([(one["name"], one["job"]) for one in files],
                         [("train/best.safetensors", train), ("mrc/best.safetensors", mrc)])
        self.assertEqual([self.server.get(one["href"]).body for one in files], [b"training", b"measuring"])
        for name in ("best.safetensors", "evaluate/best.safetensors", "rift/best.safetensors", "train"):
            self.expect(self.server.get(f"/v1/jobs/{rift['id']}/artifacts/{name}"), 404, "no-such-file")

    def test_the_log_of_a_rift_job_that_makes_copies_is_of_the_step_that_started_last(self):
        self.drain()
        rift = self.expect(self.server.ask("POST", "/v1/jobs", {**RIFT, "evaluate": {"generate_corruptions": True}}),
                           201).json
        steps = {step["kind"]: step["id"] for step in rift["steps"]}
        self.assertEqual(rift["steps"][5]["kind"], "corrupt")
        for kind in ("train", "corrupt", "mrc"):  # copies are made beside training
            moment_ms = time.time_ns() // 1_000_000
            while time.time_ns() // 1_000_000 == moment_ms:
                pass
            self.server.start(steps[kind])
            with open(os.path.join(self.server.job_dir(steps[kind]), "log.txt"), "w", encoding="utf-8") as file:
                file.write(kind)
            log = self.expect(self.server.get(f"/v1/jobs/{rift['id']}/log"), 200)
            self.assertEqual(log.body.decode(), kind)
            if kind == "corrupt":
                self.server.do("move", job=steps["train"], state="succeeded", result={})
        self.assertEqual(self.server.get(f"/v1/jobs/{rift['id']}/log?step=5").body, b"corrupt")


if __name__ == "__main__":
    unittest.main()
