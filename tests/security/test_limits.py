#!/usr/bin/env python3
"""Too much of everything, who is let in where, and what is kept of it."""
import os
import sqlite3
import subprocess
import tempfile
import threading
import unittest

import common
import server
from common import path_of, routes
from server import TRAIN

NEVER = "rift_aaaaaaaaaaaa_" + "0" * 43


class Oversized(common.Case):
    def raw(self, data):
        return server.raw(self.server.port, data.replace(b"PORT", str(self.server.port).encode()))

    def test_too_much_of_anything_is_refused_and_riftd_goes_on(self):
        start = b"GET /v1/version HTTP/1.1\r\nHost: localhost:PORT\r\n"
        for name, data in {
                "one header": start + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n",
                "many headers": start + b"".join(b"X%d: a\r\n" % i for i in range(20000)) + b"\r\n",
                "a header's name": start + b"a" * (1 << 20) + b": x\r\n\r\n",
                "a path": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n",
                "a path of many segments": b"GET " + b"/a" * (1 << 18) + b" HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n",
                "a query": b"GET /v1/jobs?label=" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n",
                "a method": b"A" * (1 << 20) + b" / HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n",
                "a version": b"GET / HTTP/1." + b"1" * (1 << 20) + b"\r\nHost: localhost:PORT\r\n\r\n",
                "a Host": b"GET / HTTP/1.1\r\nHost: " + b"a" * 20000 + b"\r\nConnection: close\r\n\r\n",
                "a cookie": start + b"Connection: close\r\nCookie: " + b"a=b; " * 4000 + b"\r\n\r\n",
                "a token": start.replace(b"version", b"jobs") + b"Connection: close\r\nAuthorization: Bearer " + b"a" * 20000 +
                b"\r\n\r\n",
                "a line without an end": b"G" * (1 << 20)}.items():
            with self.subTest(name):
                received = self.raw(data)
                self.assertNotIn(b"HTTP/1.1 5", received[:100])
                if name != "a cookie":
                    self.assertNotIn(b"HTTP/1.1 2", received[:100])
        for count in (17, 300):
            query = "&".join(f"a{i}=1" for i in range(count))
            self.expect(self.server.get(f"/v1/jobs?{query}"), 400, "bad-query")
        for route in routes():
            if route["method"] == "POST" and route["path"] != "/v1/models":
                answer = self.server.ask("POST", path_of(route), b"[" * (4 << 20), Content_Type="application/json")
                self.assertIn(answer.status, (413, 404), route["path"])
        deep = b'{"kind":' + b"[" * 100000 + b"]" * 100000 + b"}"
        self.expect(self.server.ask("POST", "/v1/jobs", deep, Content_Type="application/json"), 400, "bad-json")
        self.expect(self.server.get("/healthz"), 200)


class Rates(common.Case):
    @classmethod
    def make_server(cls):
        return server.Daemon("--rate-limit", "1", "--rate-burst", "5")

    def test_each_caller_has_a_bucket_of_his_own(self):
        ann, bob = self.make_token("read", name="ann")["token"], self.make_token("read", name="bob")["token"]
        statuses = [self.server.get("/v1/jobs", **self.bearer(ann)).status for _ in range(5)]
        self.assertEqual(statuses, [200] * 5)

        def refused():  # not the next at once, perhaps: a slow machine fills the bucket again
            answer = self.server.get("/v1/jobs", **self.bearer(ann))
            return answer.status == 429 and answer
        answer = self.expect(server.until("it is too much", refused), 429, "too-many-requests")
        self.assertIn(answer.headers["Retry-After"], ("1", "2"))
        self.expect(self.server.get("/v1/jobs", **self.bearer(bob)), 200)


class Guesses(common.Case):
    def test_guesses_are_slowed_down_and_lock_nobody_out(self):
        good = self.make_token("read")["token"]
        answers = [self.server.get("/v1/jobs", **self.bearer(NEVER)) for _ in range(10)]
        self.assertEqual([answer.status for answer in answers], [401] * 10)

        def refused(method, path, body=None, **headers):  # in the end: a slow machine's guesses are slow by themselves
            answer = self.server.ask(method, path, body, **headers)
            return answer.status == 429 and answer
        last = server.until("it is too much", lambda: refused("GET", "/v1/jobs", **self.bearer(NEVER)))
        self.assertGreaterEqual(int(last.headers["Retry-After"]), 1)
        server.until("so it is elsewhere", lambda: refused("POST", "/v1/session", {"token": NEVER}))
        self.expect(self.server.get("/v1/jobs", **self.bearer(good)), 200)
        self.expect(self.server.get("/v1/jobs"), 401, "unauthenticated")


class Doors(unittest.TestCase):
    """Where riftd listens, and whether it does."""

    def start(self, folder, *options):
        return subprocess.run([server.RIFTD, "--state", folder, *options], capture_output=True, text=True,
                              timeout=server.DEADLINE_S, check=False)

    def test_beyond_loopback_riftd_does_not_start_without_an_admin(self):
        with tempfile.TemporaryDirectory(prefix="rift-doors-") as folder:
            for role in (None, "read", "submit"):
                if role:
                    common.first_token(folder, "--role", role)
                for address in ("0.0.0.0:0", "[::]:0"):
                    done = self.start(folder, "--listen", address)
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertIn("riftd token create --state", done.stderr)
            common.first_token(folder)
            done = self.start(folder, "--listen", "0.0.0.0:0", "--require-token", "no")
            self.assertEqual(done.returncode, 1)
            self.assertIn("can't be switched off", done.stderr)

    def test_with_one_it_starts_says_what_is_in_the_clear_and_lets_nobody_in_without(self):
        riftd = server.Daemon.__new__(server.Daemon)
        folder = tempfile.mkdtemp(prefix="rift-doors-")
        token = common.first_token(folder)
        make = tempfile.mkdtemp
        tempfile.mkdtemp = lambda **_: folder
        try:
            riftd.__init__("--listen", "0.0.0.0:0", "--allowed-hosts", "rift.lab.example", "--proxy", "127.0.0.1")
        finally:
            tempfile.mkdtemp = make
        try:
            self.assertEqual(riftd.get("/v1/jobs").status, 401)
            for host, status in ((f"127.0.0.1:{riftd.port}", 200), (f"10.1.2.3:{riftd.port}", 200), ("rift.lab.example", 200),
                                 ("RIFT.lab.example:443", 200), ("evil.example", 421), (f"evil.example:{riftd.port}", 421),
                                 ("x.rift.lab.example", 421), ("rift.lab.example.evil.example", 421)):
                answer = riftd.get("/v1/jobs", Authorization=f"Bearer {token}", Host=host)
                self.assertEqual(answer.status, status, host)
            # The proxy's word on its client, and no stranger's word before it.
            for said in ("203.0.113.7", "6.6.6.6, 203.0.113.7", "6.6.6.6,203.0.113.7, 127.0.0.1", "::ffff:203.0.113.7"):
                riftd.ask("POST", "/v1/jobs?dry_run=1", TRAIN, Authorization=f"Bearer {token}", X_Forwarded_For=said)
            for said in ("evil", "203.0.113.7, evil", "", "203.0.113.7:80"):
                riftd.ask("POST", "/v1/jobs?dry_run=1", TRAIN, Authorization=f"Bearer {token}", X_Forwarded_For=said)
            rows = riftd.get("/v1/audit", Authorization=f"Bearer {token}").json["audit"]
            self.assertEqual([row["address"] for row in rows], ["127.0.0.1"] * 4 + ["203.0.113.7"] * 4)
            answer = riftd.ask("POST", "/v1/session", {"token": token}, X_Forwarded_Proto="https")
            self.assertIn("; Secure", answer.headers["Set-Cookie"])
            server.until("it is said", lambda: riftd.log.seek(0) == 0 and "in the clear" in riftd.log.read().decode())
        finally:
            riftd.stop()

    def test_an_open_door_is_told_loudly_and_can_be_closed_beforehand(self):
        riftd = server.Daemon()
        words = "no token has been made yet: whoever can reach http://127.0.0.1:"
        server.until("it is said", lambda: riftd.log.seek(0) == 0 and words in riftd.log.read().decode())  # after the address is
        riftd.stop()
        riftd = server.Daemon("--require-token", "yes")
        try:
            self.assertEqual((riftd.get("/v1/jobs").status, riftd.get("/healthz").status), (401, 200))
        finally:
            riftd.stop()
        riftd = server.Daemon("--require-token", "no")
        try:
            riftd.ask("POST", "/v1/tokens", {"name": "x", "role": "read"})
            self.assertEqual(riftd.get("/v1/jobs").status, 200)
        finally:
            riftd.stop()


class Kept(common.Case):
    """The audit log, and secrets, which nothing keeps."""

    def test_every_change_and_every_refusal_leaves_a_row(self):
        ann = self.make_token("submit", name="ann")
        reader = self.make_token("read", name="rhea")
        job = self.server.ask("POST", "/v1/jobs", TRAIN, X_Request_Id="first", **self.bearer(ann["token"])).json["id"]
        self.server.get("/v1/jobs", **self.bearer(ann["token"]))                                    # no row
        self.server.ask("POST", f"/v1/jobs/{job}/cancel", **self.bearer(reader["token"]))           # 403
        self.server.ask("POST", "/v1/jobs", TRAIN)                                                  # 401
        self.server.get("/v1/jobs")                                                                 # no row: nobody tried
        self.server.get("/v1/jobs", **self.bearer(NEVER))                                           # 401: somebody did
        self.server.ask("POST", "/v1/nothing", {}, **self.bearer(ann["token"]))                     # no row: let in nowhere
        self.server.ask("DELETE", f"/v1/jobs/{job}", Origin="http://evil.example")                  # 403
        self.server.ask("POST", "/v1/jobs", "x", Content_Type="text/plain", **self.bearer(ann["token"]))  # 415
        admin = self.make_token("admin", name="boss")
        page = self.expect(self.server.get("/v1/audit?limit=5", **self.bearer(admin["token"])), 200)
        rest = self.server.get(f"/v1/audit?limit=200&cursor={page.json['next']}", **self.bearer(admin["token"])).json
        self.assertIn('rel="next"', page.headers["Link"])
        self.assertIsNone(rest["next"])
        rows = [(row["owner"], row["role"], row["method"], row["path"], row["status"])
                for row in reversed(page.json["audit"] + rest["audit"])]
        me = rows[0][0]
        self.assertEqual(rows, [
            (me, "admin", "POST", "/v1/tokens", 201), (me, "admin", "POST", "/v1/tokens", 201),
            ("ann", "submit", "POST", "/v1/jobs", 201), ("rhea", "read", "POST", f"/v1/jobs/{job}/cancel", 403),
            ("", "none", "POST", "/v1/jobs", 401), ("", "none", "GET", "/v1/jobs", 401),
            ("", "none", "DELETE", f"/v1/jobs/{job}", 403), ("ann", "submit", "POST", "/v1/jobs", 415),
            (me, "admin", "POST", "/v1/tokens", 201)])
        first = (page.json["audit"] + rest["audit"])[-3]
        self.assertEqual((first["request_id"], first["token"], first["address"]), ("first", ann["id"], "127.0.0.1"))
        self.expect(self.server.get("/v1/audit", **self.bearer(ann["token"])), 403, "forbidden")

    def test_rows_of_many_at_once_are_all_there(self):
        token = self.make_token("admin", name="many")
        before = self.count()

        def work():
            for _ in range(40):
                self.server.ask("POST", "/v1/jobs?dry_run=1", TRAIN, **self.bearer(token["token"]))
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.server.get("/v1/audit", **self.bearer(token["token"]))  # waits until they are written
        self.assertEqual(self.count() - before, 320)

    def count(self):
        database = sqlite3.connect(f"file:{self.server.dir}/riftd.db?mode=ro", uri=True, timeout=server.DEADLINE_S)
        try:
            return database.execute("SELECT count(*) FROM audit WHERE path = '/v1/jobs' AND status = 200").fetchone()[0]
        finally:
            database.close()

    def test_no_secret_is_kept_anywhere(self):
        made = self.make_token("admin", name="secretive")
        cookie = self.server.ask("POST", "/v1/session", {"token": made["token"]}).headers["Set-Cookie"].split(";")[0]
        self.server.get("/v1/jobs", **self.bearer(made["token"]))
        job = self.server.ask("POST", "/v1/jobs", TRAIN, **self.bearer(made["token"])).json["id"]
        self.server.get(f"/v1/jobs/{job}/events", **self.bearer(made["token"]))  # to its end: its worker makes no more files
        self.server.get("/v1/jobs", Cookie=cookie)
        self.server.get("/v1/audit", **self.bearer(made["token"]))
        secrets = [text.rsplit("_", 1)[1].encode() for text in (made["token"], cookie)]
        looked = 0
        for folder, _, names in os.walk(self.server.dir):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        data = file.read()
                    looked += 1
                    for secret in secrets:
                        self.assertNotIn(secret, data, path)
        self.assertGreater(looked, 3)  # the database, its log, riftd's words, a job
        printed = subprocess.run([server.RIFTD, "--state", self.server.dir, "--print-settings"], capture_output=True,
                                 timeout=server.DEADLINE_S, check=True).stdout
        for secret in secrets:
            self.assertNotIn(secret, printed)


class Retention(unittest.TestCase):
    def test_old_rows_go_when_riftd_starts(self):
        riftd = server.Daemon()
        folder, kept = riftd.dir, tempfile.mkdtemp
        for _ in range(3):
            riftd.ask("POST", "/v1/jobs?dry_run=1", TRAIN)
        self.assertEqual(len(riftd.get("/v1/audit").json["audit"]), 3)
        riftd.process.terminate()
        self.assertEqual(riftd.process.wait(server.DEADLINE_S), 0)
        riftd.log.close()
        database = sqlite3.connect(os.path.join(folder, "riftd.db"))
        database.execute("UPDATE audit SET time_ms = 1 WHERE id < 3")
        database.commit()
        database.close()
        tempfile.mkdtemp = lambda **_: folder
        try:
            riftd = server.Daemon("--retain-audit", "7d")
        finally:
            tempfile.mkdtemp = kept
        try:
            server.until("two are gone", lambda: len(riftd.get("/v1/audit").json["audit"]) < 2)
            self.assertEqual([row["id"] for row in riftd.get("/v1/audit").json["audit"]], [3])
        finally:
            riftd.stop()


if __name__ == "__main__":
    unittest.main()
