"""What the security tests share: the server of tests/api, routes with something
to put into their paths, and a riftd that may refuse to start."""
import functools
import http.client
import json
import os
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
import server  # noqa: E402  (it lies in another folder)
import spec_schema  # noqa: E402

NOBODY_ID = str(uuid.UUID(int=0x7000 << 64 | 0x8 << 60))
UNSAFE = ("POST", "DELETE", "PATCH", "PUT")


@functools.lru_cache
def routes():
    """The route table, without the query parameters that would make a stream of an answer."""
    return spec_schema.tables(server.API_ALONE)["routes"]


def path_of(route, id=NOBODY_ID, name="x"):
    path = route["path"].replace("{id}", id).replace("{name...}", name)
    return path + ("?wait=0" if "wait" in route["query"].split(",") else "")


def body_of(route):
    """Not enough for anything, but of the right type."""
    return {} if route["method"] in ("POST", "PATCH", "PUT") else None


class Case(server.Case):
    @classmethod
    def make_server(cls):
        return server.Daemon()

    @classmethod
    def make_token(cls, role, **more):
        """A token, by an admin on the unix socket."""
        body = json.dumps({"name": more.pop("name", role), "role": role, **more})
        connection = OverSocket(os.path.join(cls.server.dir, "riftd.sock"))
        connection.request("POST", "/v1/tokens", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        made = json.loads(answer.read())
        connection.close()
        assert answer.status == 201, made
        return made

    def bearer(self, token):
        return {"Authorization": f"Bearer {token}"}

    def everything(self, token=None):
        """What a stranger might have changed."""
        headers = self.bearer(token) if token else {}
        return [self.expect(self.server.get(path, **headers), 200).body for path in ("/v1/jobs?limit=200", "/v1/models")]


class OverSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=server.DEADLINE_S)
        self.path = path

    def connect(self):
        import socket
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def first_token(state, *options):
    """`riftd token create`, which needs no riftd that runs."""
    return subprocess.run([server.RIFTD, "token", "create", "--state", state, *options], capture_output=True, text=True,
                          check=True, timeout=server.DEADLINE_S).stdout.strip()
