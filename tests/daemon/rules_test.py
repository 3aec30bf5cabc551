"""Does riftd follow new rules about who may come in without a restart?"""

import http.client
import json
import subprocess
import unittest

from riftd import PATIENCE_S, RIFTD, WORKER, Riftd, until
from settings_test import Case as SettingsCase


class Case(SettingsCase):
    def take(self, riftd, text):
        """These settings from now on; what the log says of it."""
        self.file.write_text(text)
        return self.hang_up(riftd, "settings read again")

    def refuse(self, riftd, text):
        self.file.write_text(text)
        return self.hang_up(riftd, "settings stay as they were")

    def status(self, riftd, path="/v1/jobs", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", riftd.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return connection.getresponse().status
        finally:
            connection.close()


class Everywhere(Riftd):
    """One that other machines reach."""

    address = "0.0.0.0"

    def command(self):
        return [RIFTD, "--state", str(self.state), "--worker", WORKER, *self.options]


class Doors(Case):
    def test_tokens_are_asked_for_and_not_any_more(self):
        riftd = self.riftd()
        self.assertEqual(self.status(riftd), 200)
        said = self.take(riftd, "require-token = yes\n")
        self.assertIn(f"require-token: yes, was auto (file {self.file}:1)", said)
        self.assertEqual((self.status(riftd), self.status(riftd, "/healthz")), (401, 200))
        self.take(riftd, "require-token = no\n")
        self.assertEqual(self.status(riftd), 200)

    def test_a_stream_without_a_token_ends_when_one_is_needed(self):
        riftd = self.riftd()
        connection = http.client.HTTPConnection("127.0.0.1", riftd.port, timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/events?after=now")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        self.take(riftd, "require-token = yes\n")
        answer.read()  # comes to an end: else this is the timeout

    def test_rules_under_which_riftd_may_not_listen_are_refused_whole(self):
        subprocess.run([RIFTD, "token", "create", "--state", str(self.folder / "state")], check=True, capture_output=True,
                       timeout=PATIENCE_S)
        self.file.write_text(listen := "listen = 0.0.0.0:0\n")
        riftd = Everywhere(self.folder / "state", "--config", str(self.file)).start()
        self.addCleanup(riftd.close)
        said = self.refuse(riftd, listen + "require-token = no\ngrace-s = 3\n")
        self.assertIn("tokens can't be switched off", said)
        self.assertNotIn("grace-s", said)
        self.assertEqual(self.status(riftd), 401)

    def test_new_names_are_answered_to(self):
        riftd = self.riftd()
        self.assertEqual(self.status(riftd, Host="rift.lab.example"), 421)
        self.take(riftd, "allowed-hosts = rift.lab.example\nallowed-hosts = other.example\n")
        self.assertEqual([self.status(riftd, Host=host) for host in ("rift.lab.example", "other.example", "evil.example")],
                         [200, 200, 421])
        self.take(riftd, "allowed-hosts = other.example\n")
        self.assertEqual(self.status(riftd, Host="rift.lab.example"), 421)

    def test_a_new_proxy_is_believed(self):
        riftd = self.riftd()
        token = riftd.ask("POST", "/v1/tokens", {"name": "boss", "role": "admin"})[1]["token"]
        mine = {"Authorization": f"Bearer {token}"}

        def ask(method, path, **more):
            connection = http.client.HTTPConnection("127.0.0.1", riftd.port, timeout=PATIENCE_S)
            try:
                connection.request(method, path, headers={**mine, **more})
                return json.loads(connection.getresponse().read())
            finally:
                connection.close()

        def address():
            ask("POST", "/v1/admin/resume", **{"X-Forwarded-For": "203.0.113.7"})
            return ask("GET", "/v1/audit")["audit"][0]["address"]

        self.assertEqual(address(), "127.0.0.1")
        self.take(riftd, "proxy = 127.0.0.1\n")
        self.assertEqual(address(), "203.0.113.7")


class Rates(Case):
    def test_a_rate_limit_comes_and_goes(self):
        riftd = self.riftd()
        self.assertEqual({self.status(riftd) for _ in range(20)}, {200})
        self.take(riftd, "rate-limit = 1\nrate-burst = 3\n")
        seen = [self.status(riftd) for _ in range(20)]
        self.assertEqual(seen[:3], [200] * 3)
        self.assertIn(429, seen)
        self.take(riftd, "rate-limit = 0\n")
        self.assertEqual({self.status(riftd) for _ in range(20)}, {200})


class Kept(Case):
    def test_a_shorter_audit_log_is_shorter_at_once(self):
        riftd = self.riftd()
        for _ in range(3):
            riftd.ask("POST", "/v1/admin/resume")
        self.assertEqual(len(riftd.ask("GET", "/v1/audit")[1]["audit"]), 3)
        riftd.stop()
        riftd.change("UPDATE audit SET time_ms = time_ms - 30 * 86400000 WHERE id < 3")
        riftd.start()
        self.assertEqual(len(riftd.ask("GET", "/v1/audit")[1]["audit"]), 3)
        self.take(riftd, "retain-audit = 7d\n")
        until("old rows gone", lambda: [row["id"] for row in riftd.ask("GET", "/v1/audit")[1]["audit"]] == [3])


class Health(Case):
    def test_beyond_loopback_health_is_everybodys_and_metrics_only_with_a_token(self):
        riftd = self.riftd("--health-listen", "0.0.0.0:0")
        port = riftd.other_port()
        self.assertEqual(self.status(riftd, "/metrics"), 200)  # the main address is this machine's alone
        main, riftd.port = riftd.port, port
        self.assertEqual([self.status(riftd, path) for path in ("/healthz", "/readyz", "/metrics", "/v1/version")],
                         [200, 200, 401, 404])
        riftd.port = main
        token = riftd.ask("POST", "/v1/tokens", {"name": "prometheus", "role": "read"})[1]["token"]
        riftd.port = port
        self.assertEqual(self.status(riftd, "/metrics", Authorization=f"Bearer {token}"), 200)
        riftd.port = main
        self.assertEqual(self.status(riftd, "/metrics"), 401)  # there has been a token


if __name__ == "__main__":
    unittest.main()
