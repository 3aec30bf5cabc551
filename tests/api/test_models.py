#!/usr/bin/env python3
"""The registry of weights: uploads, artifacts of jobs, who reads what."""
import base64
import hashlib
import json
import os
import re
import socket
import sqlite3
import struct
import unittest

import server

ASIDE = re.compile(r"\.upload-")


def weights(size=1000, text="w"):
    """The smallest thing that looks like safetensors, and is."""
    header = json.dumps({text: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + os.urandom(size)


def digest(data):
    return "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"


class Models(server.Case):
    def upload(self, data, name="mine", **headers):
        return self.server.ask("POST", f"/v1/models?name={name}", data, Content_Type="application/octet-stream", **headers)

    def names(self):
        return sorted(os.listdir(os.path.join(self.server.dir, "models")))

    def files(self):
        """The names of all, once nothing is aside any more: that goes after the answer."""
        def settled():
            names = self.names()
            return not any(map(ASIDE.match, names)) and (names,)
        return server.until("nothing to be aside", settled)[0]

    def test_an_artifact_whose_file_is_gone_is_missed(self):
        job = self.made(data=weights())
        os.remove(os.path.join(self.server.job_dir(job), "artifacts", "best.safetensors"))
        self.expect(self.server.ask("POST", "/v1/models", {"name": "mine", "job": job}), 404, "no-such-file")

    def made(self, name="best.safetensors", data=b""):
        """A train job that has announced these bytes."""
        self.drain()
        job = self.submit()["id"]
        with open(os.path.join(self.server.job_dir(job), "artifacts", name), "wb") as file:
            file.write(data)
        self.server.start(job)
        self.server.event(job, "artifact", name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        self.server.do("move", job=job, state="succeeded")
        return job

    def test_an_upload_without_a_name_is_refused_before_its_bytes_come(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=server.DEADLINE_S) as sock:
            sock.sendall(f"POST /v1/models HTTP/1.1\r\nHost: localhost:{self.server.port}\r\n"
                         "Content-Type: application/octet-stream\r\nContent-Length: 100000000\r\n\r\n".encode())
            self.assertEqual(sock.makefile("rb").readline().split()[1], b"400")

    def test_a_file_whose_row_could_not_be_stored_goes_and_one_that_was_left_is_reported(self):
        other = sqlite3.connect(os.path.join(self.server.dir, "riftd.db"))
        self.addCleanup(other.close)
        before = self.files()
        other.execute("CREATE TRIGGER never BEFORE INSERT ON model BEGIN SELECT RAISE(ABORT, 'no'); END")
        self.server.may_fail = True
        self.assertEqual(self.upload(weights()).status, 500)
        self.server.may_fail = False
        other.execute("DROP TRIGGER never")
        self.assertEqual(self.files(), before)
        left = os.path.join(self.server.dir, "models", "0" * 64 + ".safetensors")
        with open(left, "wb") as file:
            file.write(b"left")
        self.addCleanup(os.remove, left)
        lines = [json.loads(line) for line in self.expect(self.server.get("/v1/admin/check"), 200).body.splitlines()]
        self.assertIn({"what": "file", "id": "0" * 64 + ".safetensors", "problem": "belongs to no model"}, lines)

    def test_an_upload_comes_back_byte_for_byte_with_its_hash(self):
        data = weights(300000)
        answer = self.expect(self.upload(data, "one", Content_Digest=digest(data)), 201)
        model = answer.json
        self.assertEqual(answer.headers["Location"], f"/v1/models/{model['id']}")
        self.assertEqual((model["name"], model["size"], model["job"], model["used_by"]), ("one", len(data), None, []))
        self.assertEqual(model["sha256"], hashlib.sha256(data).hexdigest())
        self.assertEqual(self.server.get(f"/v1/models/{model['id']}").json, model)
        back = self.server.get(model["links"]["weights"])
        self.assertEqual(back.body, data)
        self.assertEqual(back.headers["ETag"], f'"{model["sha256"]}"')
        self.assertEqual(back.headers["Repr-Digest"], digest(data))
        part = self.expect(self.server.get(model["links"]["weights"], Range="bytes=10-19"), 206)
        self.assertEqual(part.body, data[10:20])
        self.expect(self.server.get(model["links"]["weights"], Range=f"bytes={len(data)}-"), 416, "bad-range")
        self.expect(self.server.get(model["links"]["weights"], If_None_Match=back.headers["ETag"]), 304)

    def test_the_same_upload_again_is_the_same_model_and_another_name_shares_the_file(self):
        data = weights()
        first = self.expect(self.upload(data, "twice"), 201).json
        self.assertEqual(self.expect(self.upload(data, "twice"), 200).json["id"], first["id"])
        other = self.expect(self.upload(data, "other%20name"), 201).json
        self.assertEqual((other["name"], other["sha256"]), ("other name", first["sha256"]))
        self.assertEqual(self.files().count(first["sha256"] + ".safetensors"), 1)
        self.expect(self.server.ask("DELETE", f"/v1/models/{first['id']}"), 204)
        self.assertEqual(self.server.get(other["links"]["weights"]).body, data)
        self.expect(self.server.ask("DELETE", f"/v1/models/{other['id']}"), 204)
        self.assertNotIn(first["sha256"] + ".safetensors", self.files())
        self.expect(self.server.ask("DELETE", f"/v1/models/{other['id']}"), 404, "no-such-model")
        self.expect(self.server.get(f"/v1/models/{other['id']}/weights"), 404, "no-such-model")

    def test_bytes_other_than_announced_are_refused_and_leave_nothing(self):
        data, before = weights(), self.files()
        self.expect(self.upload(data, Content_Digest=digest(b"other")), 400, "digest-mismatch")
        self.expect(self.upload(data, Repr_Digest=digest(b"other")), 400, "digest-mismatch")
        self.expect(self.upload(data, "x&sha256=" + "0" * 64), 400, "digest-mismatch")
        self.expect(self.upload(b""), 422, "bad-model")
        self.expect(self.upload(b"PK\x03\x04 this is a pickle, zipped"), 422, "bad-model")
        self.expect(self.upload(struct.pack("<Q", 1 << 40) + b"{}"), 422, "bad-model")
        self.expect(self.upload(data, ""), 400, "bad-query")
        self.expect(self.upload(data, "a" * 101), 400, "bad-query")
        self.expect(self.upload(data, "%ff"), 400, "bad-query")
        self.expect(self.server.ask("POST", "/v1/models?name=x", data, Content_Type="text/plain"), 415, "unsupported-type")
        self.assertEqual(self.files(), before)

    def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(self):
        before = self.files()
        with socket.create_connection(("127.0.0.1", self.server.port)) as sock:
            sock.sendall(f"POST /v1/models?name=half HTTP/1.1\r\nHost: localhost:{self.server.port}\r\nContent-Length: 100000\r\n"
                         "Content-Type: application/octet-stream\r\n\r\n".encode() + weights(40000))
            server.until("its beginning is there", lambda: any(map(ASIDE.match, self.names())))
        self.assertEqual(self.files(), before)

    def test_a_chunked_upload_of_unknown_length_is_taken(self):
        data = weights(200000)
        answer = self.server.ask("POST", "/v1/models?name=chunked", iter([data[:7], data[7:100000], data[100000:]]),
                                 Content_Type="application/octet-stream")
        self.assertEqual(self.expect(answer, 201).json["sha256"], hashlib.sha256(data).hexdigest())

    def test_a_job_becomes_a_model_that_remembers_it(self):
        data = weights(5000)
        job = self.made(data=data)
        model = self.expect(self.server.ask("POST", "/v1/models", {"name": "from job", "job": job}), 201).json
        self.assertEqual((model["job"], model["artifact"]), (job, "best.safetensors"))
        self.assertEqual(self.server.get(model["links"]["weights"]).body, data)
        same = self.server.ask("POST", "/v1/models", {"name": "from job", "job": job, "artifact": "best.safetensors"})
        self.assertEqual(self.expect(same, 200).json["id"], model["id"])
        self.assertEqual([one["id"] for one in self.server.get(f"/v1/models?job={job}").json["models"]], [model["id"]])
        self.expect(self.server.ask("DELETE", f"/v1/jobs/{job}"), 204)
        self.assertEqual(self.server.get(f"/v1/models/{model['id']}").json["job"], job)

    def test_what_no_job_has_announced_is_refused(self):
        job = self.made(data=weights())
        nobody = "00000000-0000-4000-8000-000000000000"
        for body in ({"name": "x", "job": nobody}, {"name": "x", "job": job, "artifact": "other"}, {"name": "x"}, {},
                     {"name": "x", "job": job, "more": 1}, {"name": "", "job": job}, {"name": "x", "job": "../etc"},
                     {"name": "steers\u009b2Jterminals", "job": job},
                     {"name": "x", "job": job, "artifact": "../../riftd.db"}, [1]):
            self.expect(self.server.ask("POST", "/v1/models", body), 422, "bad-model")
        self.expect(self.server.ask("POST", "/v1/models", "{", Content_Type="application/json"), 400, "bad-json")

    def test_bytes_that_changed_after_their_announcement_dont_become_a_model(self):
        job = self.made(data=weights())
        with open(os.path.join(self.server.job_dir(job), "artifacts", "best.safetensors"), "wb") as file:
            file.write(weights())
        self.expect(self.server.ask("POST", "/v1/models", {"name": "x", "job": job}), 404, "no-such-file")
        self.drain()
        going = self.submit()["id"]
        self.server.start(going)
        self.server.event(going, "artifact", name="best.safetensors", size=9, sha256="0" * 64)
        with open(os.path.join(self.server.job_dir(going), "artifacts", "best.safetensors"), "wb") as file:
            file.write(weights())
        answer = self.expect(self.server.ask("POST", "/v1/models", {"name": "x", "job": going}), 503, "file-changing")
        self.assertEqual(answer.headers["Retry-After"], "1")
        self.server.do("move", job=going, state="failed")

    def test_a_model_that_a_job_still_reads_stays(self):
        self.drain()
        model = self.expect(self.upload(weights()), 201).json["id"]
        job = self.submit(model={"weights": {"model": model}})
        self.assertEqual(job["spec"]["model"]["weights"], {"model": model})
        rift = self.submit(**{**server.RIFT, "model": {"weights": {"model": model}}})
        readers = self.server.get(f"/v1/models/{model}").json["used_by"]
        self.assertIn(job["id"], readers)
        self.assertTrue(any(step["id"] in readers for step in rift["steps"]))
        self.expect(self.server.ask("DELETE", f"/v1/models/{model}"), 409, "in-use")
        self.server.run(job["id"])
        self.server.ask("POST", f"/v1/jobs/{rift['id']}/cancel")
        self.expect(self.server.ask("DELETE", f"/v1/models/{model}"), 204)
        wrong = self.server.ask("POST", "/v1/jobs", {**server.TRAIN, "model": {"weights": {"model": model}}})
        self.assertEqual(self.expect(wrong, 422, "bad-spec").json["errors"][0]["pointer"], "/model/weights")

    def test_lists_are_paged_newest_first_and_filtered_by_name(self):
        made = [self.expect(self.upload(weights(), "paged"), 201).json["id"] for _ in range(5)]
        seen, path = [], "/v1/models?name=paged&limit=2"
        while path:
            answer = self.server.get(path)
            seen += [one["id"] for one in answer.json["models"]]
            link = answer.headers.get("Link")
            self.assertEqual(link is None, answer.json["next"] is None)
            path = link and link[1:link.index(">")]
        self.assertEqual(seen, made[::-1])
        self.expect(self.server.get("/v1/models?cursor=nonsense!"), 400, "bad-query")
        self.expect(self.server.get("/v1/models?limit=0"), 400, "bad-query")


if __name__ == "__main__":
    unittest.main(verbosity=2)
