#!/usr/bin/env python3
"""TLS: what is spoken, with which certificate, and how a new one comes in."""
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import warnings

import common
import server
from server import TRAIN

RIFTCTL = os.path.join(server.BUILD, "riftctl")


def certificate_write(folder, name):
    """A self-signed certificate for localhost; the name is its organisation's."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", f"/O={name}/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                    os.path.join(folder, "tls.key"), "-out", os.path.join(folder, "tls.crt")],
                   check=True, capture_output=True, timeout=server.DEADLINE_S)


class Tls(common.Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="rift-tls-")
        certificate_write(cls.folder, "first")
        cls.cert, cls.key = os.path.join(cls.folder, "tls.crt"), os.path.join(cls.folder, "tls.key")
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.folder)

    @classmethod
    def make_server(cls):
        made = server.Daemon("--tls-cert", cls.cert, "--tls-key", cls.key)
        made.connect = lambda: http.client.HTTPSConnection("localhost", made.port, timeout=server.DEADLINE_S,
                                                           context=cls.context())
        return made

    @classmethod
    def context(cls):
        return ssl.create_default_context(cafile=cls.cert)

    def shown(self):
        """The organisation in the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=self.cert)
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=server.DEADLINE_S) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as sock:
            return dict(pair[0] for pair in sock.getpeercert()["subject"])["organizationName"]

    def test_everything_goes_over_it(self):
        with open(os.path.join(self.server.dir, "riftd.address"), encoding="utf-8") as file:
            self.assertEqual(file.read().strip(), f"https://127.0.0.1:{self.server.port}")
        job = self.submit()["id"]
        stream = self.server.get(f"/v1/jobs/{job}/events").body.decode()  # to the job's end
        self.assertIn("event: end", stream)
        self.expect(self.server.get(f"/v1/jobs/{job}/log"), 200)
        self.assertIn("riftd", self.expect(self.server.get("/"), 200).body.decode())
        header = b'{"w":{"dtype":"F32","shape":[262144],"data_offsets":[0,1048576]}}'
        weights = len(header).to_bytes(8, "little") + header + b"\1" * 1048576
        model = self.server.ask("POST", "/v1/models?name=m", weights, Content_Type="application/octet-stream")
        model = self.expect(model, 201).json["id"]
        self.assertEqual(self.server.get(f"/v1/models/{model}/weights").body, weights)

    def test_names_are_checked_as_they_are_without_it(self):
        self.expect(self.server.get("/v1/jobs", Host="evil.example"), 421, "wrong-host")
        self.expect(self.server.get("/v1/jobs", Host=f"evil.example:{self.server.port}"), 421, "wrong-host")
        answer = self.server.ask("POST", "/v1/jobs?dry_run=1", TRAIN, Host=f"localhost:{self.server.port}",
                                 Origin=f"https://localhost:{self.server.port}")
        self.expect(answer, 200)
        answer = self.server.ask("POST", "/v1/jobs?dry_run=1", TRAIN, Origin="https://evil.example")
        self.expect(answer, 403, "cross-origin")

    def test_a_cookie_never_leaves_without_it(self):
        made = common.Case.make_token.__func__(type(self), "admin")
        answer = self.expect(self.server.ask("POST", "/v1/session", {"token": made["token"]}), 201)
        self.assertRegex(answer.headers["Set-Cookie"], r"; HttpOnly; SameSite=Strict; Secure$")
        self.assertIsNone(answer.headers["Strict-Transport-Security"])
        type(self).server.token = made["token"]  # from now on one is needed

    def test_old_versions_and_plain_text_are_not_spoken(self):
        warnings.simplefilter("ignore", DeprecationWarning)  # of the old versions, which is the point
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=server.DEADLINE_S) as plain:
                self.assertRaises((ssl.SSLError, ConnectionError), context.wrap_socket, plain)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context()
            context.minimum_version = context.maximum_version = version
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=server.DEADLINE_S) as plain, \
                    context.wrap_socket(plain, server_hostname="localhost") as sock:
                self.assertEqual(sock.version(), {ssl.TLSVersion.TLSv1_2: "TLSv1.2"}.get(version, "TLSv1.3"))
        received = server.raw(self.server.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertNotIn(b"HTTP/1.1", received)

    def test_a_renewed_certificate_is_shown_after_a_sighup_and_a_broken_one_is_not(self):
        self.assertEqual(self.shown(), "first")
        certificate_write(self.folder, "second")
        self.hang_up("certificate read again")
        self.assertEqual(self.shown(), "second")
        for broken in ("", "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"):
            kept = os.path.join(self.folder, "kept.crt")
            shutil.copy(self.cert, kept)
            with open(self.cert, "w", encoding="ascii") as file:
                file.write(broken)
            self.hang_up("the certificate stays as it was")
            shutil.copy(kept, self.cert)
            self.assertEqual(self.shown(), "second")
        other = tempfile.mkdtemp(dir=self.folder)
        certificate_write(other, "other")
        shutil.copy(self.key, kept)
        shutil.copy(os.path.join(other, "tls.key"), self.key)
        self.hang_up("this key is not the certificate's")
        shutil.copy(kept, self.key)

    def hang_up(self, words):
        before = self.log().count(words)
        self.server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + server.DEADLINE_S
        while self.log().count(words) == before:
            self.assertLess(time.monotonic(), until, f"{words!r} is not in the log:\n{self.log()}")
            time.sleep(0.02)

    def log(self):
        with open(self.server.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def test_riftctl_believes_the_certificate_it_is_given_and_no_other(self):
        made = common.Case.make_token.__func__(type(self), "admin")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RIFTD_", "RIFT_"))}
        env = {**clean, "RIFT_TOKEN": made["token"], "XDG_CONFIG_HOME": "/nonexistent"}

        def ask(*more):
            return subprocess.run([RIFTCTL, "whoami", "--server", f"https://localhost:{self.server.port}", *more], text=True,
                                  capture_output=True, timeout=server.DEADLINE_S, env=env, check=False)
        done = ask("--cacert", self.cert)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"admin, admin, by token {made['id']}\n", ""))
        self.assertEqual(ask().returncode, 4)
        type(self).server.token = made["token"]


class Start(common.Case):
    make_server = setUpClass = tearDownClass = classmethod(lambda cls: None)

    def test_riftd_does_not_start_with_half_a_pair_or_a_pair_that_is_none(self):
        with tempfile.TemporaryDirectory(prefix="rift-tls-") as folder:
            certificate_write(folder, "one")
            cert, key = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
            for options, words in ((["--tls-cert", cert], "tls-key is missing"), (["--tls-key", key], "tls-cert is missing"),
                                   (["--tls-cert", key, "--tls-key", key], "tls.key"),
                                   (["--tls-cert", cert, "--tls-key", cert], "tls.crt"),
                                   (["--tls-cert", "/nowhere", "--tls-key", key], "/nowhere")):
                done = subprocess.run([server.RIFTD, "--state", os.path.join(folder, "state"), "--listen", "127.0.0.1:0",
                                       *options], capture_output=True, text=True, timeout=server.DEADLINE_S, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)


if __name__ == "__main__":
    if not shutil.which("openssl"):
        print("skipped: openssl is missing (apt-get install openssl)")
        sys.exit(server.SKIP)
    unittest.main()
