#!/usr/bin/env python3
"""Names: of jobs, files, pages and people. No name leads out of its folder, and
none becomes a header of its own."""
import hashlib
import os
import shutil
import tempfile
import unittest
import urllib.parse

import common
import server
from common import routes
from server import TRAIN

SECRET = b"not for you"
OUT = ["..", "../..", "../../riftd.db", "../spec.json", "../log.txt", "/etc/passwd", "//etc/passwd", "a/../../log.txt",
       "....//....//log.txt", "./x", "x/.", "x/./x", ".", "", "x/", "/x", "x//x", ".hidden", "x/.hidden"]
SPELLED = ["%2e%2e/log.txt", "%2e%2e%2flog.txt", "..%2flog.txt", "%2fetc%2fpasswd", "%252e%252e%252flog.txt",
           "%252e%252e/log.txt", "..%5clog.txt", "..\\log.txt", "..%255clog.txt", "%c0%ae%c0%ae/log.txt",
           "%c0%ae%c0%ae%c0%aflog.txt", "%e0%80%ae%e0%80%ae/log.txt", "%uff0e%uff0e/log.txt", "%ef%bc%8e%ef%bc%8e/log.txt",
           "%ef%bc%8e%ef%bc%8e%ef%bc%8flog.txt", "..%00/log.txt", "x%00.safetensors", "..%0a/log.txt", "..%0d%0aX-Evil:%201",
           "..;/log.txt", "..%20/log.txt", "%2e%2e%20/log.txt", "%", "%2", "%zz", "%%32%65%%32%65/log.txt", "~root/x",
           "file:///etc/passwd", "C:%5cx", "CON", "x%7f", "x%80", "x%ff", "x" * 300, "a/" * 12 + "x"]


class Names(server.Case):
    """The API alone, so that the test can lay files where a worker would."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job = cls().submit()["id"]
        cls.server.start(cls.job)
        cls.folder = cls.server.job_dir(cls.job)
        for name in ("log.txt", "spec.json", "../secret"):
            with open(os.path.join(cls.folder, name), "wb") as file:
                file.write(SECRET)

    def test_no_spelling_of_a_name_leads_out(self):
        ways = [route["path"] for route in routes() if route["method"] == "GET" and "{" in route["path"]]
        self.assertGreater(len(ways), 10)
        for way in ways:
            for name in OUT + SPELLED:
                raw = name if name in SPELLED else urllib.parse.quote(name, safe="/.~;:\\")
                for path in {way.replace("{id}", raw).replace("{name...}", "x"),
                             way.replace("{id}", self.job).replace("{name...}", raw)}:
                    if "{" in path or path == way.replace("{id}", self.job) or any(ord(c) <= 32 for c in path):
                        continue
                    got = server.raw(self.server.port, f"GET {path}?wait=0 HTTP/1.1\r\nHost: localhost:{self.server.port}\r\n"
                                     "Connection: close\r\n\r\n".encode())
                    self.assertNotIn(SECRET, got, path)
                    self.assertNotIn(b"root:", got, path)
                    self.assertNotIn(b"\r\nX-Evil", got, path)
                    self.assertIn(got[9:12], (b"400", b"404"), f"{path}: {got[:300]}")

    def test_no_file_is_read_through_a_link(self):
        artifacts = os.path.join(self.folder, "artifacts")
        os.symlink("/etc/passwd", os.path.join(artifacts, "passwd"))
        os.symlink("../log.txt", os.path.join(artifacts, "inside"))
        os.symlink("/etc", os.path.join(artifacts, "etc"))
        os.symlink("..", os.path.join(artifacts, "up"))
        os.mkfifo(os.path.join(artifacts, "pipe"))
        os.mkdir(os.path.join(artifacts, "folder"))
        for name in ("passwd", "inside", "etc/passwd", "up/log.txt", "pipe", "folder"):
            self.server.event(self.job, "artifact", name=name, size=1, sha256=hashlib.sha256(b"x").hexdigest())
            self.expect(self.server.get(f"/v1/jobs/{self.job}/artifacts/{name}"), 404, "no-such-file")

    def test_a_log_that_is_a_link_is_not_read(self):
        job = self.submit()["id"]
        self.server.start(job)
        os.symlink("/etc/passwd", os.path.join(self.server.job_dir(job), "log.txt"))
        answer = self.server.get(f"/v1/jobs/{job}/log")
        self.assertNotIn(b"root:", answer.body)
        other = self.submit()["id"]
        self.server.start(other)
        os.rename(os.path.dirname(os.path.join(self.server.job_dir(other), "x")), self.folder + ".moved")
        os.symlink(self.folder, os.path.join(self.server.dir, "jobs", other))
        self.assertNotIn(SECRET, self.server.get(f"/v1/jobs/{other}/log").body)

    def test_a_page_that_is_a_link_is_not_shown(self):
        with tempfile.TemporaryDirectory(prefix="rift-test-") as files:
            web, outside = os.path.join(files, "web"), os.path.join(files, "outside")
            shutil.copytree(os.path.join(server.ROOT, "web"), web, ignore=shutil.ignore_patterns("node_modules"))
            os.makedirs(os.path.join(outside, "pages"))
            for name in ("secret.js", "pages/secret.js"):
                with open(os.path.join(outside, name), "wb") as file:
                    file.write(SECRET)
            os.symlink(os.path.join(outside, "secret.js"), os.path.join(web, "absolute.js"))
            os.symlink("../outside/secret.js", os.path.join(web, "relative.js"))
            os.symlink("app.js", os.path.join(web, "inside.js"))
            os.symlink("../outside/pages", os.path.join(web, "folder"))
            alone = server.Alone(files=files)
            self.addCleanup(alone.stop)
            self.expect(alone.get("/web/app.js"), 200)  # this web is the one that is shown
            for name in ("absolute.js", "relative.js", "inside.js", "folder/secret.js"):
                self.expect(alone.get(f"/web/{name}"), 404, "no-such-route")

    def test_what_people_write_never_becomes_a_header(self):
        for text in ("a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\0b"):
            refusals = ((400, "bad-json"),) if "\0" in text else ((422, "bad-spec"), (422, "bad-members"))
            for path, body in (("/v1/jobs", {**TRAIN, "label": text}),
                               ("/v1/tokens", {"name": "a", "role": "read", "owner": text})):
                answer = self.server.ask("POST", path, body)
                self.assertIn((answer.status, answer.json["code"]), refusals)
            answer = self.server.get("/v1/jobs?limit=1&label=" + urllib.parse.quote(text))
            self.expect(answer, 400, "bad-query")
        for label in ("é\u2028X-Evil: 1", 'a"; filename="evil', "<script>", "%0d%0aX-Evil: 1", "a,b;c=d"):
            for _ in range(2):
                self.submit(label=label)
            answer = self.server.get("/v1/jobs?limit=1&label=" + urllib.parse.quote(label))
            self.assertNotIn("X-Evil", answer.headers)
            self.assertRegex(answer.headers["Link"], r'^</v1/jobs\?cursor=[\w-]+(&\w+=[\w%.~-]*)*>; rel="next"$')

    def test_a_request_id_that_could_be_more_is_replaced(self):
        for text in ("a b", "a,b", 'a"b', "x" * 65, "<b>", "a\tb"):
            self.assertNotEqual(self.server.get("/v1/version", X_Request_Id=text).headers["X-Request-Id"], text)
        got = server.raw(self.server.port, b"GET /v1/version HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n"
                         b"X-Request-Id: a\r\n X-Evil: 1\r\n\r\n" % self.server.port)
        self.assertEqual(got[:12], b"HTTP/1.1 400")


if __name__ == "__main__":
    unittest.main()
