"""What is left of a directory after a power cut?

    with Disk(folder) as disk:                 # everything below folder/disk is watched
        start(..., environment=disk.environment())
        with disk.frozen() as ice:             # nobody is between a change and its record
            kill(...)                          # kill those that shall die, wait for them
            ice.cut(rng, "scattered")          # the directory is now what the cut left

shim.c logs every change in order; this replays the log. A file's content is safe
as of its last sync, a name as of its directory's last sync. Everything later is
pending, and a cut keeps of it

    nothing      not one byte: the least that POSIX promises
    a prefix     of each file's writes, the last one torn at 512 bytes; of each directory's changes
    scattered    any sectors of it in any order (what is missing reads as zeros), any changes

in the strict rules. With rules="ext4" whatever is synced takes all earlier changes of
names with it, as one journal does.

Before each cut the replay must equal the directory byte by byte: a change that the
shim didn't see fails the test instead of making it easy.
"""
import contextlib
import copy
import fcntl
import os
import pathlib
import shutil
import stat
import struct

CREATE, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, LINK, REMOVE, SYNC_ALL = range(1, 10)
RECORD = struct.Struct("<IIQQQQqQII")
SECTOR = 512
LEFT = ("nothing", "prefix", "scattered")


def unfollowed(name):
    """Written past the shim: the worker's stderr, and SQLite's shared memory, which it makes anew."""
    return name.endswith("-shm") or name == "log.txt"


class Pending:
    """Changes that aren't safe yet, numbered on, so that a sync can say up to which it reaches."""

    def __init__(self):
        self.changes, self.folded = [], 0

    def add(self, change):
        self.changes.append(change)

    def reached(self):
        return self.folded + len(self.changes)

    def take(self, upto):
        count = max(0, upto - self.folded)
        taken, self.changes = self.changes[:count], self.changes[count:]
        self.folded += len(taken)
        return taken


def put(content, offset, data):
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset:offset + len(data)] = data


def resize(content, size):
    del content[size:]
    content.extend(bytes(size - len(content)))


class File:
    def __init__(self, mode, content=b""):
        self.mode, self.safe, self.now, self.pending = mode, bytearray(content), bytearray(content), Pending()

    @staticmethod
    def apply(content, change):
        offset, data = change
        put(content, offset, data) if data is not None else resize(content, offset)

    def change(self, offset, data):
        self.apply(self.now, (offset, data))
        self.pending.add((offset, data))

    def sync(self, upto):
        for change in self.pending.take(upto):
            self.apply(self.safe, change)

    def left(self, rng, how):
        content, changes = bytearray(self.safe), self.pending.changes
        if how == "prefix" and changes:
            count = rng.randrange(len(changes) + 1)
            for change in changes[:count]:
                self.apply(content, change)
            if count < len(changes) and changes[count][1]:
                offset, data = changes[count]
                ends = list(range((offset // SECTOR + 1) * SECTOR, offset + len(data), SECTOR))
                put(content, offset, data[:(rng.choice([offset, *ends]) - offset)])
        if how == "scattered":
            for offset, data in changes:
                if data is None:
                    if rng.random() < 0.5:
                        resize(content, offset)
                    continue
                at = offset
                while at < offset + len(data):
                    end = min((at // SECTOR + 1) * SECTOR, offset + len(data))
                    if rng.random() < 0.5:
                        put(content, at, data[at - offset:end - offset])
                    at = end
            if len(self.now) > len(content) and rng.random() < 0.5:
                resize(content, len(self.now))  # the length came, the bytes didn't
        return bytes(content)


class Directory:
    def __init__(self, mode):
        self.mode, self.safe, self.now, self.pending = mode, {}, {}, Pending()

    @staticmethod
    def apply(names, change):
        for name, node in change:
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node

    def change(self, *names):
        self.apply(self.now, names)
        self.pending.add(names)

    def sync(self, upto):
        for change in self.pending.take(upto):
            self.apply(self.safe, change)

    def left(self, rng, how):
        names, changes = dict(self.safe), self.pending.changes
        kept = {"nothing": [], "prefix": changes[:rng.randrange(len(changes) + 1)],
                "scattered": [change for change in changes if rng.random() < 0.5]}[how]
        for change in kept:
            self.apply(names, change)
        return names


class Disk:
    def __init__(self, folder, shim, rules="strict", sync_us=0):
        assert rules in ("strict", "ext4"), rules
        self.folder = pathlib.Path(os.path.realpath(folder))
        self.root, self.log = self.folder / "disk", self.folder / "changes"
        self.shim, self.rules, self.sync_us, self.boots = shim, rules, sync_us, 0
        self.root.mkdir(parents=True)
        self.log.touch()
        self.lock = open(f"{self.log}.lock", "wb")
        self.load()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lock.close()

    def environment(self):
        return {"LD_PRELOAD": str(self.shim), "POWERCUT_ROOT": str(self.root), "POWERCUT_LOG": str(self.log),
                "POWERCUT_SYNC_US": str(self.sync_us),
                "POWERCUT_BOOT_ID": f"00000000-0000-4000-8000-{self.boots:012}"}

    def story(self):
        """The log so far as records, without taking them in: each moment of it can be cut at."""
        text, at, records = self.log.read_bytes(), 0, []
        while at < len(text):
            fields, name, name2, data, at = self._read(text, at)
            records.append((fields, name, name2, data))
        return records

    def imagine(self, records, folder, rng, how):
        """Into the new folder: what a cut after these records would have left of the tree that load() saw."""
        tree, nodes = copy.deepcopy((self.tree, self.nodes))
        there, self.tree, self.nodes, self.begun = (self.tree, self.nodes), tree, nodes, {}
        for record in records:
            self._record(*record)
        self._write(tree, pathlib.Path(folder), rng, how)
        (self.tree, self.nodes), self.begun = there, {}

    def _write(self, node, path, rng, how):
        if isinstance(node, Directory):
            path.mkdir()
            for name, below in node.left(rng, how).items():
                self._write(below, path / name, rng, how)
        else:
            path.write_bytes(node.left(rng, how))

    # ---- the tree as it is ----

    def load(self):
        """All that is there is safe: so it is after a boot."""
        self.nodes, self.begun = {}, {}
        self.tree = self._load(self.root)

    def _load(self, path):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            node = Directory(status.st_mode)
            for entry in path.iterdir():
                node.safe[entry.name] = node.now[entry.name] = self._load(entry)
        else:
            node = File(status.st_mode, path.read_bytes())
        self.nodes[status.st_ino] = node
        return node

    def verify(self):
        """The replay says what is there, or the shim has missed something."""
        dead = pathlib.Path(f"{self.log}.dead")
        assert not dead.exists(), f"a process did what the shim can't log: {dead.read_text()}"
        self._verify(self.tree, self.root)

    def _verify(self, node, path):
        there = {name for name in os.listdir(path) if not unfollowed(name)}
        known = {name for name in node.now if not unfollowed(name)}
        assert there == known, f"{path}: there is {sorted(there - known)}, which the shim missed; " \
                               f"it knows of {sorted(known - there)}, which isn't there"
        for name in known:
            below = node.now[name]
            if isinstance(below, Directory):
                self._verify(below, path / name)
            else:
                content = (path / name).read_bytes()
                assert content == below.now, f"{path / name}: {len(content)} bytes there, other than the " \
                                             f"{len(below.now)} that the shim saw written"

    # ---- the log ----

    def replay(self):
        """Take in what was logged since the last time, and empty the log. Under the lock."""
        text = self.log.read_bytes()
        os.truncate(self.log, 0)
        at = 0
        while at < len(text):
            *record, at = self._read(text, at)
            self._record(*record)
        assert at == len(text), "the log ends in the middle of a record"

    @staticmethod
    def _read(text, at):
        fields = RECORD.unpack_from(text, at)
        at += RECORD.size
        size = fields[7] if fields[0] == WRITE else 0
        name_end = at + fields[8]
        name2_end = name_end + fields[9]
        return (fields, text[at:name_end].decode(), text[name_end:name2_end].decode(),
                text[name2_end:name2_end + size], name2_end + size)

    def _record(self, fields, name, name2, data):
        kind, mode, ino, parent, parent2, token, offset, *_ = fields
        node = self.nodes.get(ino)
        if kind == CREATE:
            node = self.nodes[ino] = Directory(mode) if stat.S_ISDIR(mode) else File(mode)
            self.nodes[parent].change((name, node))
        elif kind == LINK:
            self.nodes[parent].change((name, node))
        elif kind == REMOVE:
            self.nodes[parent].change((name, None))
        elif kind == RENAME and parent == parent2:
            self.nodes[parent].change((name, None), (name2, self.nodes[parent].now[name]))
        elif kind == RENAME:
            self.nodes[parent2].change((name2, self.nodes[parent].now[name]))
            self.nodes[parent].change((name, None))
        elif kind == SYNC_ALL:
            self._sync({id(each): (each, each.pending.reached()) for each in self.nodes.values()})
        elif kind == SYNC_END:
            self._sync(self.begun.pop(token, {}))
        elif node is None:
            pass  # a file that isn't followed; verify() finds any other
        elif kind == SYNC_BEGIN:
            reach = [node] if self.rules == "strict" else \
                [node, *(each for each in self.nodes.values() if isinstance(each, Directory) and each.pending.changes)]
            self.begun[token] = {id(each): (each, each.pending.reached()) for each in reach}
        elif kind == WRITE:
            node.change(offset, data)
        elif kind == TRUNCATE:
            node.change(offset, None)
        else:
            raise AssertionError(f"record of type {kind}")

    @staticmethod
    def _sync(reaches):
        for node, upto in reaches.values():
            node.sync(upto)

    # ---- the cut ----

    @contextlib.contextmanager
    def frozen(self):
        """Nobody changes anything meanwhile. Whoever is to be killed is killed in here, and waited for."""
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            yield self
            self.replay()
        finally:
            fcntl.flock(self.lock, fcntl.LOCK_UN)

    def cut(self, rng, how):
        """All processes are dead: the directory becomes what the cut left. Returns the number of changes lost or torn."""
        self.replay()
        self.verify()
        lost = sum(len(node.pending.changes) for node in self._reachable(self.tree, set()))
        self._place(self.tree, self.root, rng, how)
        self.load()
        self.boots += 1
        return lost

    def _reachable(self, node, seen):
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            if isinstance(node, Directory):
                for below in [*node.now.values(), *node.safe.values()]:
                    yield from self._reachable(below, seen)

    def _place(self, node, path, rng, how):
        names = node.left(rng, how)
        for name in os.listdir(path):
            if names.get(name) is not node.now.get(name) or name not in names:
                there = path / name
                shutil.rmtree(there) if there.is_dir() else there.unlink()
        for name in sorted(names):
            below, there = names[name], path / name
            if isinstance(below, Directory):
                if not there.exists():
                    there.mkdir()
                    there.chmod(stat.S_IMODE(below.mode))
                    below.now = {}  # as it is on the disk now
                self._place(below, there, rng, how)
                continue
            content = below.left(rng, how)
            if not there.exists() or content != below.now or unfollowed(name):
                there.write_bytes(content)
                there.chmod(stat.S_IMODE(below.mode))
