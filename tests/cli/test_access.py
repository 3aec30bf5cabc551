#!/usr/bin/env python3
"""Which token does riftctl show to whom, and can an admin give tokens out?"""
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

import client
import real

TOKEN = "rift_aaaaaaaaaaaa_" + "0" * 43
OTHER = "rift_bbbbbbbbbbbb_" + "1" * 43


class Case(client.Case):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="rift-test-")
        self.addCleanup(self.folder.cleanup)

    def file(self, text, mode=0o600, name="token"):
        path = os.path.join(self.folder.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path


class Shown(Case):
    """A scripted server remembers what it was shown."""

    def shown(self, *options, env=None, address="{url}"):
        with client.Server(lambda handler, *_: handler.reply(200, {"devices": []})) as server:
            options = [one.replace("{url}", server.url) for one in options]
            env = {key: value.replace("{url}", server.url) for key, value in (env or {}).items()}
            self.run_ctl(0, "devices", "--server", address.replace("{url}", server.url), *options, env=env)
            return server.seen[0][2].get("Authorization")

    def test_none_is_shown_when_nobody_gave_one(self):
        self.assertIsNone(self.shown())

    def test_the_environment_gives_one_and_a_named_file_counts_more(self):
        self.assertEqual(self.shown(env={"RIFT_TOKEN": TOKEN}), f"Bearer {TOKEN}")
        path = self.file(f"# of the lab\n\n{OTHER}\r\n")
        self.assertEqual(self.shown("--token-file", path, env={"RIFT_TOKEN": TOKEN}), f"Bearer {OTHER}")

    def test_the_usual_file_is_found_in_its_two_places(self):
        self.file(TOKEN, name="riftctl/token")
        self.assertEqual(self.shown(env={"XDG_CONFIG_HOME": self.folder.name}), f"Bearer {TOKEN}")
        self.file(OTHER, name=".config/riftctl/token")
        self.assertEqual(self.shown(env={"XDG_CONFIG_HOME": "", "HOME": self.folder.name}), f"Bearer {OTHER}")

    def test_a_line_with_an_address_is_for_that_server_alone(self):
        path = self.file(f"{OTHER} https://elsewhere.example:8717\n")
        self.assertIsNone(self.shown("--token-file", path))
        with client.Server(lambda handler, *_: handler.reply(200, {"devices": []})) as server:
            for text, token in ((f"{OTHER} {server.url}0\n{TOKEN} {server.url}/\n", TOKEN),
                                (f"{OTHER} {server.url[:-1]}\n", None),
                                (f"{OTHER} https://elsewhere\n{TOKEN}\n", TOKEN)):
                path = self.file(text)
                server.seen.clear()
                self.run_ctl(0, "devices", "--server", server.url, "--token-file", path)
                self.assertEqual(server.seen[0][2].get("Authorization"), token and f"Bearer {token}", text)

    def test_a_file_that_others_may_read_is_refused(self):
        for mode in (0o640, 0o604, 0o620):
            _, err = self.run_ctl(1, "devices", "--server", "http://127.0.0.1:1", "--token-file", self.file(TOKEN, mode))
            self.assertIn("chmod 600", err)
        _, err = self.run_ctl(1, "devices", "--token-file", os.path.join(self.folder.name, "none"))
        self.assertIn("No such file", err)

    def test_what_is_no_token_never_becomes_a_header(self):
        _, err = self.run_ctl(1, "devices", "--server", "http://127.0.0.1:1", env={"RIFT_TOKEN": "a\r\nX-Evil: 1"})
        self.assertIn("characters that none has", err)

    def test_a_token_in_the_clear_is_told_of(self):
        _, err = self.run_ctl(4, "devices", "--server", "http://192.0.2.1:1", env={"RIFT_TOKEN": TOKEN, "http_proxy":
                                                                                   "http://127.0.0.1:1"})
        self.assertIn("in the clear", err)
        self.assertNotIn(TOKEN, err)

    def test_a_refusal_has_an_exit_code_of_its_own(self):
        for status in (401, 403):
            with client.Server(lambda handler, *_: handler.problem(status, "not you")) as server:
                _, err = self.run_ctl(7, "devices", "--server", server.url)
                self.assertIn("not you", err)


class Given(Case):
    """The real riftd."""

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory(prefix="rift-test-")
        cls.socket = os.path.join(cls.place.name, "riftd.sock")
        cls.riftd = real.Daemon("--socket", cls.socket).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.riftd.__exit__(None)
        cls.place.cleanup()

    def test_who_may_not_open_the_socket_is_told_so_and_which_group_may(self):
        closed = os.path.join(self.place.name, "closed.sock")
        os.chmod(self.place.name, 0o711)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(closed)
            listening.listen()
            os.chmod(closed, 0)
            _, err = self.as_nobody("list", "--server", f"unix:{closed}")
        self.assertIn(f"unix:{closed}: you may not open it", err)
        self.assertIn("sudo adduser NAME rift", err)
        self.assertNotIn("localhost", err)

    def test_a_socket_without_riftd_is_called_by_its_path(self):
        for name, why in (("none.sock", "No such file or directory"), ("left.sock", "nobody listens there"),
                          ("text.sock", "it is no socket")):
            path = os.path.join(self.place.name, name)
            if name == "left.sock":
                with socket.socket(socket.AF_UNIX) as left:
                    left.bind(path)
            elif name == "text.sock":
                self.addCleanup(os.remove, path)
                with open(path, "w", encoding="utf-8") as file:
                    file.write("")
            _, err = self.run_ctl(4, "list", "--server", f"unix:{path}")
            self.assertIn(f"unix:{path}: {why}", err)
        out, _ = self.run_ctl(0, "version", "--server", f"unix:{self.socket}")
        self.assertIn(f" at unix:{self.socket}\n", out)

    def as_nobody(self, *words):
        """riftctl, run by a user to whom modes mean something; (stdout, stderr)."""
        with tempfile.TemporaryDirectory(prefix="rift-test-") as folder:  # root's own build may be out of his reach
            os.chmod(folder, 0o755)
            copy = shutil.copy(client.program("riftctl"), folder)
            who = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
            done = subprocess.run([copy, *words], capture_output=True, text=True, check=False, env={}, timeout=60, **who)
        self.assertEqual(done.returncode, 4, done.stderr)
        return done.stdout, done.stderr

    def test_an_admin_on_the_socket_gives_tokens_out_and_takes_them_back(self):
        admin = ("--server", f"unix:{self.socket}")
        out, _ = self.run_ctl(0, "whoami", *admin)
        self.assertRegex(out, r"^\w+, admin\n$")
        token, err = self.run_ctl(0, "admin", "token", "create", "ann", "--expires", "2h", *admin)
        self.assertRegex(token, r"^rift_[a-z0-9]{12}_[0-9A-Za-z]{43}\n$")
        id = token.split("_")[1]
        self.assertIn(f"Token {id} of ann may submit", err)
        self.run_ctl(7, "list", "--server", self.riftd.url)
        path = self.file(token)
        ann = ("--server", self.riftd.url, "--token-file", path)
        out, _ = self.run_ctl(0, "whoami", *ann)
        self.assertEqual(out, f"ann, submit, by token {id}\n")
        self.run_ctl(0, "list", *ann)
        self.run_ctl(7, "admin", "token", "list", *ann)
        out, _ = self.run_ctl(0, "admin", "token", "list", *admin)
        self.assertRegex(out, rf"(?m)^{id}  submit  ann +ann +20\d\d-.*Z  20\d\d-.*Z$")
        self.assertNotIn(token.strip().rsplit("_", 1)[1], out)
        self.run_ctl(0, "admin", "token", "revoke", id, *admin)
        self.run_ctl(7, "list", *ann)
        self.run_ctl(5, "admin", "token", "revoke", id, *admin)
        self.run_ctl(6, "admin", "token", "create", "x", "--role", "king", *admin)
        out, _ = self.run_ctl(0, "admin", "audit", *admin)
        self.assertRegex(out, rf"(?m)^20\d\d-.*Z +\w+ +- +unix:\d+ +204  DELETE /v1/tokens/{id}$")
        self.assertEqual(len(self.run_ctl(0, "admin", "audit", "--limit", "1", *admin)[0].splitlines()), 2)
        self.run_ctl(2, "admin", "token", "create", "x", "--expires", "soon", *admin)

    def test_admin_alone_lists_what_an_admin_can_do(self):
        for words in (("admin",), ("admin", "token")):
            _, err = self.run_ctl(2, *words)
            self.assertIn("admin token create NAME", err)
            self.assertNotIn("submit [FILE", err)
        _, err = self.run_ctl(2, "admin", "token", "destroy")
        self.assertIn('no command "admin token destroy"', err)

    def test_riftd_makes_the_first_token_itself_while_it_is_not_running(self):
        state = os.path.join(self.folder.name, "new")
        command = [client.program("riftd"), "token", "create", "--state", state]
        made = subprocess.run([*command, "--name", "me"], capture_output=True, text=True, timeout=client.DEADLINE_S, check=True)
        self.assertRegex(made.stdout, r"^rift_[a-z0-9]{12}_[0-9A-Za-z]{43}\n$")
        self.assertEqual(os.stat(state).st_mode & 0o777, 0o700)
        for wrong in (["--role", "king"], ["--name", ""], ["--what"]):
            self.assertNotEqual(subprocess.run([*command, *wrong], capture_output=True, check=False).returncode, 0)
        running = subprocess.run([client.program("riftd"), "token", "create", "--state", self.riftd.state],
                                 capture_output=True, text=True, timeout=client.DEADLINE_S, check=False)
        self.assertEqual(running.returncode, 1)
        self.assertIn("riftctl admin token create", running.stderr)


if __name__ == "__main__":
    real.skip_unless_built("riftctl", "riftd")
    unittest.main()
