"""Do published data sets arrive whole, and nothing but them? Against a local
server that knows ranges, breaks connections, redirects and serves what it
shouldn't."""
import hashlib
import http.server
import io
import os
import tarfile
import tempfile
import threading
import unittest
import zipfile

from client import Case

FOLDER = {"cifar10": "cifar-10-batches-bin", "cifar100-c": "CIFAR-100-C", "tiny-imagenet": "tiny-imagenet-200"}
ARCHIVE = {"cifar10": "cifar-10-binary.tar.gz", "cifar100-c": "CIFAR-100-C.tar", "tiny-imagenet": "tiny-imagenet-200.zip"}


def tar(entries, mode="w"):
    """entries: (name, bytes) or ready TarInfos."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1])
            archive.addfile(info, io.BytesIO(entry[1]))
    return out.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


class World:
    """A web server with one file. break_after: bytes that each connection lives for."""

    def __init__(self, data, break_after=None, ranges=True):
        world = self
        self.data, self.break_after, self.ranges, self.asked = data, break_after, ranges, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                world.asked.append((self.path, self.headers.get("Range")))
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", "/file")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                if self.path != "/file":
                    return self.send_error(404)
                first = 0
                if self.headers.get("Range") and world.ranges:
                    first = int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
                    if first >= len(world.data):
                        return self.send_error(416)
                rest = world.data[first:]
                self.send_response(206 if first else 200)
                if first:
                    self.send_header("Content-Range", f"bytes {first}-{len(world.data) - 1}/{len(world.data)}")
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest if world.break_after is None else rest[:world.break_after])
                self.close_connection = True
                return None

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/file"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


GOOD = tar([("cifar-10-batches-bin/", b""), ("cifar-10-batches-bin/data_batch_1.bin", os.urandom(300000)),
            ("cifar-10-batches-bin/test_batch.bin", b"test")], "w:gz")


class Published(Case):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.to = os.path.realpath(folder.name)

    def fetch(self, code, world, name="cifar10", *more, sha256=None, url=None):
        sha256 = sha256 or hashlib.sha256(world.data).hexdigest()
        return self.run_ctl(code, "dataset", "fetch", name, "--to", self.to, "--url", url or world.url,
                            "--sha256", sha256, *more)

    def at(self, *names):
        return os.path.join(self.to, *names)

    def test_a_whole_file_is_unpacked_and_riftd_is_told_how(self):
        with World(GOOD) as world:
            out, _ = self.fetch(0, world)
            self.assertIn(f"riftd --dataset cifar10=cifar10:{self.at('cifar-10-batches-bin')}", out)
            self.assertEqual(os.listdir(self.to), ["cifar-10-batches-bin"])
            with open(self.at("cifar-10-batches-bin", "test_batch.bin"), "rb") as file:
                self.assertEqual(file.read(), b"test")
            before = len(world.asked)
            _, err = self.fetch(0, world)
            self.assertIn("is there already", err)
            self.assertEqual(len(world.asked), before, "what is there is not asked for")

    def test_the_place_is_made_where_there_is_none(self):
        self.to = os.path.join(self.to, "new", "place")
        with World(GOOD) as world:
            self.fetch(0, world)
        self.assertEqual(os.listdir(self.to), ["cifar-10-batches-bin"])
        self.to = self.at("cifar-10-batches-bin", "test_batch.bin", "x")
        with World(GOOD) as world:
            self.assertIn("Not a directory", self.fetch(1, world)[1])

    def test_zip_and_plain_tar_come_too_and_copies_are_for_evaluate(self):
        with World(zipped([("tiny-imagenet-200/train/n01/images/n01_0.JPEG", b"x"), ("tiny-imagenet-200/wnids.txt", b"n01")])) as world:
            self.assertIn("tiny-imagenet=tiny-imagenet:", self.fetch(0, world, "tiny-imagenet")[0])
            self.assertTrue(os.path.exists(self.at("tiny-imagenet-200", "train", "n01", "images", "n01_0.JPEG")))
        with World(tar([("./CIFAR-100-C/fog.npy", b"x")])) as world:
            self.assertIn(f'"corruptions": {{ "path": "{self.at("CIFAR-100-C")}" }}', self.fetch(0, world, "cifar100-c")[0])

    def test_broken_connections_are_taken_up_where_they_broke(self):
        with World(GOOD, break_after=100000) as world:
            self.fetch(0, world)
            self.assertEqual([asked for _, asked in world.asked], [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"])
        self.assertTrue(os.path.exists(self.at("cifar-10-batches-bin", "test_batch.bin")))

    def test_what_an_earlier_try_left_is_kept(self):
        with open(self.at(ARCHIVE["cifar10"] + ".part"), "wb") as file:
            file.write(GOOD[:1234])
        with World(GOOD) as world:
            self.fetch(0, world)
            self.assertEqual(world.asked, [("/file", "bytes=1234-")])

    def test_what_is_all_there_needs_no_byte_more(self):
        with open(self.at(ARCHIVE["cifar10"] + ".part"), "wb") as file:
            file.write(GOOD)
        with World(GOOD) as world:
            self.fetch(0, world)

    def test_a_server_without_ranges_begins_anew(self):
        with open(self.at(ARCHIVE["cifar10"] + ".part"), "wb") as file:
            file.write(GOOD[:1234])
        with World(GOOD, ranges=False) as world:
            self.fetch(0, world)

    def test_a_redirection_is_followed_but_not_to_a_file_of_this_machine(self):
        with World(GOOD) as world:
            self.fetch(0, world, url=world.url.replace("/file", "/moved"))
        self.assertIn("rotocol", self.run_ctl(4, "dataset", "fetch", "cifar100-c", "--to", self.to, "--url", "file:///etc/passwd",
                                              "--sha256", "0" * 64)[1])

    def test_another_file_than_was_published_is_removed(self):
        with World(GOOD) as world:
            _, err = self.fetch(1, world, sha256="0" * 64)
            self.assertIn(hashlib.sha256(GOOD).hexdigest(), err)
            self.assertEqual(os.listdir(self.to), [])
            _, err = self.run_ctl(1, "dataset", "fetch", "cifar10", "--to", self.to, "--url", world.url, "--md5", "0" * 32)
            self.assertIn(f"the MD5 of cifar-10-binary.tar.gz is {hashlib.md5(GOOD).hexdigest()}, must be", err)
            self.run_ctl(0, "dataset", "fetch", "cifar10", "--to", self.to, "--url", world.url, "--md5",
                         hashlib.md5(GOOD).hexdigest().upper())

    def test_md5_is_right_for_every_length_of_the_last_block(self):
        for size in (0, 1, 55, 56, 63, 64, 65, 119, 16384, 16385):
            data = os.urandom(size)
            with World(data) as world, self.subTest(size):
                _, err = self.run_ctl(1, "dataset", "fetch", "cifar10", "--to", self.to, "--url", world.url, "--md5", "0" * 32)
                self.assertIn(hashlib.md5(data).hexdigest(), err)

    def test_the_published_size_counts(self):
        with World(GOOD) as world:
            _, err = self.run_ctl(1, "dataset", "fetch", "cifar10", "--to", self.to, "--url", world.url)
            self.assertIn(f"{len(GOOD)} bytes came, it has 170052171", err)
            self.assertEqual(os.listdir(self.to), [ARCHIVE["cifar10"] + ".part"], "more of it may come")

    def test_an_address_without_the_file_says_so(self):
        with World(GOOD) as world:
            self.assertIn("404", self.fetch(4, world, url=world.url + "s")[1])

    def test_evil_and_damaged_archives_are_refused_and_leave_nothing(self):
        inside = "cifar-10-batches-bin/"
        evil = {
            "an absolute name": (tar([("/tmp/evil", b"x")]), "isn't below"),
            "a name that leads out": (tar([(inside + "../../evil", b"x")]), "isn't below"),
            "a name that begins with ..": (tar([("../cifar-10-batches-bin/evil", b"x")]), "isn't below"),
            "another folder": (tar([("cifar-10-batches-binx/evil", b"x")]), "isn't below"),
            "a symlink": (tar([special(inside + "a", tarfile.SYMTYPE, "/etc")]), "neither a file nor a directory"),
            "a hard link": (tar([special(inside + "a", tarfile.LNKTYPE, "/etc/passwd")]), "neither a file nor a directory"),
            "a device": (tar([special(inside + "a", tarfile.CHRTYPE)]), "neither a file nor a directory"),
            "a file twice": (tar([(inside + "a", b"x"), (inside + "a", b"y")]), "File exists"),
            "a file as a folder": (tar([(inside + "a", b"x"), (inside + "a/b", b"y")]), "Not a directory"),
            "cut": (GOOD[:200000], ""),
            "no archive": (b"<html>not found</html>", ""),
            "a zip that leads out": (zipped([(inside + "../../evil", b"x")]), "isn't below"),
        }
        for what, (data, words) in evil.items():
            with World(data) as world, self.subTest(what):
                _, err = self.fetch(1, world)
                self.assertIn(words, err)
                self.assertFalse(os.path.exists(self.at("cifar-10-batches-bin")))
                self.assertFalse([name for name in os.listdir(self.to) if "unpacking" in name])
                os.unlink(self.at(ARCHIVE["cifar10"] + ".part"))
        self.assertFalse(os.path.exists(os.path.join(os.path.dirname(self.to), "evil")))

    def test_a_bomb_is_left_in_its_archive(self):
        class Zeros(io.RawIOBase):
            def readable(self):
                return True

            def readinto(self, buffer):
                buffer[:] = bytes(len(buffer))
                return len(buffer)

        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
            info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
            info.size = 201 * 1000 * 1000
            archive.addfile(info, io.BufferedReader(Zeros(), 1 << 20))
        with World(out.getvalue()) as world:
            _, err = self.fetch(1, world)
        self.assertIn("unpacks to more", err)
        self.assertFalse(os.path.exists(self.at("cifar-10-batches-bin")))

    def test_an_unknown_name_is_told_the_known_ones(self):
        _, err = self.run_ctl(2, "dataset", "fetch", "tiny-imagnet")
        self.assertIn('did you mean "tiny-imagenet"?', err)
        self.assertIn("cifar10, cifar100, cifar10-c, cifar100-c, tiny-imagenet", err)


if __name__ == "__main__":
    unittest.main()
