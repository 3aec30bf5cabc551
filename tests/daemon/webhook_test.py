"""Is everybody told who asked to be, once it has happened, and nobody else?"""

import hashlib
import hmac
import http.server
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import unittest

from daemon_test import Case
from riftd import Riftd, until

APART = ("unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable,
         str(pathlib.Path(__file__).parent / "silent_names.py"))


class Receiver:
    """A real HTTP server that remembers what it was told and answers as it is bidden."""

    def __init__(self):
        self.heard, self.statuses = [], []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                receiver.heard.append((self.path, self.headers, body))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Webhooks(Case):
    def setUp(self):
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)

    def hook(self, riftd, **more):
        status, webhook = riftd.ask("POST", "/v1/webhooks", {"url": self.receiver.url, **more})
        self.assertEqual(status, 201, webhook)
        return webhook

    def told(self, count):
        until(f"{count} messages", lambda: len(self.receiver.heard) >= count)
        return [json.loads(body) for _, _, body in self.receiver.heard]

    def deliveries(self, riftd, webhook):
        return riftd.ask("GET", f"/v1/webhooks/{webhook['id']}/deliveries")[1]["deliveries"]

    def test_states_are_told_in_order_and_signed(self):
        riftd = self.riftd("--webhook-targets", "any")
        webhook = self.hook(riftd, states=["queued", "running", "succeeded"])
        job = riftd.submit("to:3 finish")
        riftd.wait(job, "succeeded")
        told = self.told(3)
        self.assertEqual([one["state"] for one in told], ["queued", "running", "succeeded"])
        self.assertEqual({one["job"]["id"] for one in told}, {job})
        self.assertEqual(told[0]["job"]["label"], "to:3 finish")
        self.assertEqual(sorted(one["event"] for one in told), [one["event"] for one in told])
        for _, headers, body in self.receiver.heard:
            time_s, signature = (part.split("=")[1] for part in headers["Rift-Signature"].split(","))
            right = hmac.new(webhook["secret"].encode(), f"{time_s}.".encode() + body, hashlib.sha256).hexdigest()
            self.assertEqual(signature, right)
        until("all are written down", lambda: [one["state"] for one in self.deliveries(riftd, webhook)] == ["delivered"] * 3)
        self.assertNotIn("secret", riftd.ask("GET", f"/v1/webhooks/{webhook['id']}")[1])

    def test_a_secret_longer_than_a_block_signs_as_rfc_2104_says(self):
        riftd = self.riftd("--webhook-targets", "any")
        secret = "s" * 100
        webhook = self.hook(riftd, secret=secret)
        self.assertEqual(riftd.ask("POST", f"/v1/webhooks/{webhook['id']}/test")[0], 202)
        self.told(1)
        _, headers, body = self.receiver.heard[0]
        time_s, signature = (part.split("=")[1] for part in headers["Rift-Signature"].split(","))
        self.assertEqual(signature, hmac.new(secret.encode(), f"{time_s}.".encode() + body, hashlib.sha256).hexdigest())

    def test_what_got_no_2xx_is_tried_again_and_redirects_are_not_followed(self):
        riftd = self.riftd("--webhook-targets", "any")
        webhook = self.hook(riftd)
        self.receiver.statuses = [500, 302]
        riftd.ask("POST", f"/v1/webhooks/{webhook['id']}/test")
        for attempt, status in ((1, 500), (2, 302)):
            until("it is written down", lambda: self.deliveries(riftd, webhook)[0]["attempts"] == attempt)
            waiting = self.deliveries(riftd, webhook)[0]
            self.assertEqual((waiting["state"], waiting["status"]), ("waiting", status))
            self.assertIsNotNone(waiting["next_at"])
            riftd.stop()
            riftd.change("UPDATE delivery SET next_ms = 1")  # now, not in ten seconds
            riftd.start()  # and a restart loses nothing
        until("it is delivered", lambda: self.deliveries(riftd, webhook)[0]["state"] == "delivered")
        self.assertEqual({path for path, _, _ in self.receiver.heard}, {"/hook"})
        self.assertEqual(len({headers["Rift-Delivery"] for _, headers, _ in self.receiver.heard}), 1)

    def test_a_receiver_that_is_gone_is_given_up(self):
        riftd = self.riftd("--webhook-targets", "any")
        webhook = self.hook(riftd)
        self.receiver.statuses = [410]
        riftd.ask("POST", f"/v1/webhooks/{webhook['id']}/test")
        until("given up", lambda: self.deliveries(riftd, webhook)[0]["state"] == "given-up")

    def test_riftd_is_not_led_to_addresses_that_trust_this_machine(self):
        riftd = self.riftd()
        places = ["http://127.0.0.1:1/", "http://localhost:1/", "http://[::1]:1/", "http://169.254.169.254/latest/meta-data",
                  "http://0.0.0.0:1/", "http://[::ffff:127.0.0.1]:1/", "http://2130706433:1/", "http://0x7f.1:1/",
                  "http://[fe80::1]:1/", "http://[fd00:ec2::254]/", "http://[64:ff9b::7f00:1]:1/", "http://100.100.100.200/"]
        hooks = [self.hook(riftd, url=place) for place in [*places, self.receiver.url]]
        for webhook in hooks:
            riftd.ask("POST", f"/v1/webhooks/{webhook['id']}/test")
        for webhook in hooks:  # the last, perhaps, when the first is tried again
            until("it was tried", lambda: self.deliveries(riftd, webhook)[0]["attempts"] >= 1)
            self.assertIn("webhook-targets forbids", self.deliveries(riftd, webhook)[0]["error"], webhook["url"])
        self.assertEqual(self.receiver.heard, [])

    def test_private_networks_are_a_matter_of_the_setting(self):
        riftd = self.riftd("--webhook-targets", "public")
        webhook = self.hook(riftd, url="http://10.255.255.1:9/")
        riftd.ask("POST", f"/v1/webhooks/{webhook['id']}/test")
        until("it was tried", lambda: self.deliveries(riftd, webhook)[0]["attempts"] >= 1)
        self.assertIn("forbids", self.deliveries(riftd, webhook)[0]["error"])

    def test_a_deleted_webhook_is_told_nothing_more(self):
        riftd = self.riftd("--webhook-targets", "any")
        webhook, other = self.hook(riftd), self.hook(riftd)
        self.assertEqual(riftd.ask("DELETE", f"/v1/webhooks/{webhook['id']}")[0], 204)
        riftd.wait(riftd.submit("to:1 finish"), "succeeded")
        self.told(1)
        until("written down", lambda: self.deliveries(riftd, other)[0]["state"] == "delivered")
        self.assertEqual(len(self.receiver.heard), 1)
        self.assertEqual(riftd.ask("GET", f"/v1/webhooks/{webhook['id']}/deliveries")[0], 404)

    def test_riftd_stops_at_once_while_a_receiver_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            riftd = self.riftd("--webhook-targets", "any")
            webhook = self.hook(riftd, url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
            riftd.ask("POST", f"/v1/webhooks/{webhook['id']}/test")
            held, _ = silent.accept()
            with held:
                began = time.monotonic()
                riftd.stop()
                self.assertLess(time.monotonic() - began, 10)
        rows = riftd.rows("SELECT attempts, done_ms FROM delivery")
        self.assertEqual(rows, [(0, 0)])  # that attempt was ours to give up, and doesn't count


class OverSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class Unanswered(Riftd):
    """A riftd whose name server never answers. It is reached by a socket only: its network is its own."""

    def __init__(self, folder):
        self.socket, self.asked = folder / "socket", folder / "asked"
        super().__init__(folder / "state", "--socket", str(self.socket))

    def command(self):
        return [*APART, str(self.asked), *super().command()]

    def ask(self, method, path, body=None):
        connection = OverSocket(self.socket)
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None


class Shutdown(Case):
    def test_a_name_server_that_never_answers_does_not_hold_up_the_end(self):
        probe = subprocess.run([*APART, str(self.folder / "probe"), "/bin/true"], check=False, capture_output=True)
        if probe.returncode:
            self.skipTest(f"no namespaces here: {probe.stderr.decode().strip()}")
        riftd = Unanswered(self.folder).start()
        self.addCleanup(riftd.close)
        status, webhook = riftd.ask("POST", "/v1/webhooks", {"url": "http://unanswered.example/"})
        self.assertEqual(status, 201, webhook)
        self.assertEqual(riftd.ask("POST", f"/v1/webhooks/{webhook['id']}/test")[0] // 100, 2)
        until("a question to the name server", lambda: riftd.asked.exists() and b"unanswered" in riftd.asked.read_bytes())
        riftd.process.terminate()
        try:  # the resolver waits for 150 s
            self.assertEqual(riftd.process.wait(20), 0)
        except subprocess.TimeoutExpired:
            riftd.kill()
            self.fail("riftd waits for the name server")
        rows = riftd.rows("SELECT attempts, done_ms FROM delivery")
        self.assertEqual(rows, [(0, 0)])


if __name__ == "__main__":
    unittest.main()
