"""The tests that hold for the API alone and for riftd alike."""
import json
import os
import socket
import threading

import malformed
import server


class Refusals:
    """Mixed into a Case: nothing a stranger sends does harm."""

    def test_malformed_requests_get_the_documented_status_and_a_problem(self):
        self.assertGreater(len(malformed.REFUSED), 60)
        for what, method, path, headers, body, status, code in malformed.REFUSED:
            with self.subTest(what):
                names = {name.replace("-", "_"): value for name, value in headers.items()}
                answer = self.expect(self.server.ask(method, path, body, **names), status, code)
                self.assertTrue(answer.json["detail"])
                if status == 405:
                    self.assertTrue(answer.headers["Allow"])
        self.assertEqual(self.server.get("/healthz").json, {"status": "ok"})

    def test_bytes_that_are_no_request_are_answered_or_hung_up_on(self):
        for what, data, start in malformed.RAW:
            with self.subTest(what):
                data = data.replace(b"PORT", str(self.server.port).encode())
                received = server.raw(self.server.port, data, len(start))
                self.assertEqual(received[:len(start)], start)
        self.assertEqual(self.server.get("/healthz").status, 200)

    def test_nothing_is_stored_of_what_is_refused(self):
        before = self.server.get("/v1/jobs?limit=200").json
        for _, method, path, headers, body, _, _ in malformed.REFUSED:
            names = {name.replace("-", "_"): value for name, value in headers.items()}
            self.server.ask(method, path, body, **names)
        self.assertEqual(self.server.get("/v1/jobs?limit=200").json, before)

    def test_every_answer_has_the_security_headers(self):
        for path in ("/", "/web/app.js", "/v1/jobs", "/v1/nothing", "/healthz", "/v1/openapi.yaml"):
            headers = self.server.get(path).headers
            with self.subTest(path):
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["Referrer-Policy"], "no-referrer")
                self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
                self.assertNotIn("unsafe", headers["Content-Security-Policy"])
                self.assertIsNone(headers["Access-Control-Allow-Origin"])
                self.assertTrue(headers["Cache-Control"])

    def test_a_body_over_the_limit_is_413_however_it_comes(self):
        size = 2 << 20
        headers = {"Content_Type": "application/json"}
        self.expect(self.server.ask("POST", "/v1/jobs", b"x" * size, **headers), 413, "too-large")
        chunks = (b"x" * 65536 for _ in range(size // 65536))
        self.expect(self.server.ask("POST", "/v1/jobs", chunks, **headers), 413, "too-large")
        # Who asks first is told before sending anything, and who announces too much at once.
        for extra in (b"Expect: 100-continue\r\nContent-Length: 5000000\r\n", b"Content-Length: 99999999999\r\n"):
            received = server.raw(self.server.port, b"POST /v1/jobs HTTP/1.1\r\nHost: localhost:%d\r\n"
                                  b"Content-Type: application/json\r\n%s\r\n" % (self.server.port, extra))
            self.assertEqual(received[:12], b"HTTP/1.1 413")
            self.assertNotIn(b"100 Continue", received)

    def test_expect_100_continue_is_honoured_when_the_body_is_welcome(self):
        body = json.dumps(server.TRAIN).encode()
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=server.DEADLINE_S) as sock:
            sock.sendall(b"POST /v1/jobs?dry_run=1 HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
                         b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                         % (self.server.port, len(body)))
            self.assertEqual(sock.recv(1024)[:12], b"HTTP/1.1 100")
            sock.sendall(body)
            self.assertEqual(sock.recv(65536)[:12], b"HTTP/1.1 200")

    def test_head_gives_the_headers_of_get(self):
        for path in ("/v1/version", "/", "/v1/jobs", "/v1/openapi.yaml", "/v1/nothing"):
            with self.subTest(path):
                head, get = self.server.ask("HEAD", path), self.server.get(path)
                self.assertEqual(head.status, get.status)
                self.assertEqual(head.headers["Content-Type"], get.headers["Content-Type"])
                self.assertEqual(head.body, b"")

    def test_requests_sent_at_once_on_one_connection_are_answered_in_order(self):
        request = b"GET /v1/version HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % self.server.port
        last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        received = server.raw(self.server.port, request * 9 + last)
        self.assertEqual(received.count(b"HTTP/1.1 200"), 10)

    def test_many_clients_that_hang_up_at_any_moment_do_no_harm(self):
        body = json.dumps(server.TRAIN).encode()
        request = (b"POST /v1/jobs?dry_run=1 HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\n\r\n" % (self.server.port, len(body))) + body

        def cut(length):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=server.DEADLINE_S) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with RST
                sock.sendall(request[:length])

        threads = [threading.Thread(target=cut, args=(length,)) for length in range(1, len(request) + 1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.server.get("/healthz").status, 200)

    def test_the_document_that_is_served_is_the_one_in_the_repository(self):
        with open(os.path.join(server.ROOT, "openapi.yaml"), "rb") as file:
            self.assertEqual(self.server.get("/v1/openapi.yaml").body, file.read())
