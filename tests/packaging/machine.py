"""A Debian 12 of our own: a directory made by debootstrap, in namespaces of its own, with systemd as PID 1.

Not a virtual machine and not safe against what runs in it; it is root's. What it shares with us is the kernel and
the network card, and that only until it is booted.

RIFT_DEBIAN_ROOT names a directory that debootstrap has made already; it is copied, which saves some minutes."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE_S = 120
PACKAGES = "systemd,systemd-sysv,dbus,python3-minimal"
CGROUPS = [pathlib.Path("/sys/fs/cgroup/unified"), pathlib.Path("/sys/fs/cgroup")]

# What a container manager does before it starts PID 1. $1: the root directory.
BOOT = r"""
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
for device in null zero full random urandom tty; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
ln -s pts/ptmx dev/ptmx
mkdir -p old
pivot_root . old
cd /
umount -l /old
export container=rift-test
exec "$2"
"""
# A first process that only reaps: a machine without systemd.
PLAIN = "/plain-init"
PLAIN_TEXT = "#!/bin/bash\nsleep infinity &\nwait\n"



def why_not():
    """Why there can't be such a machine here, or None."""
    if os.getuid() != 0:
        return "only root can make a machine"
    if not os.environ.get("RIFT_DEBIAN_ROOT") and not shutil.which("debootstrap"):
        return "debootstrap is not installed"
    if not os.environ.get("RIFT_DEBIAN_ROOT"):
        try:
            socket.create_connection(("deb.debian.org", 80), 10).close()
        except OSError as why:
            return f"Debian's packages cannot be fetched: {why}"
    if not cgroup_root():
        return "there is no cgroup v2 that may be written"
    tried = subprocess.run(["unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", "--net", "true"],
                           capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespaces: {tried.stderr.strip()}"


def cgroup_root():
    return next((path for path in CGROUPS if (path / "cgroup.procs").exists() and os.access(path, os.W_OK)), None)


def until(what, condition, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {patience_s} s still not: {what}")
        time.sleep(0.05)


class Machine:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-machine-", dir="/var/tmp"))
        self.root = self.folder / "root"
        self.process = None
        self.pid = None  # of its PID 1, seen from here
        self.group = cgroup_root() / self.folder.name

    def make(self):
        given = os.environ.get("RIFT_DEBIAN_ROOT")
        command = ["cp", "-a", "--reflink=auto", given, self.root] if given else \
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", self.root]
        with open(self.folder / "made.log", "wb") as log:
            made = subprocess.run(command, stdout=log, stderr=log, check=False)
        if made.returncode:
            raise AssertionError((self.folder / "made.log").read_text()[-3000:])
        for name in ("resolv.conf", "hosts"):
            (self.root / "etc" / name).unlink(missing_ok=True)
            (self.root / "etc" / name).write_bytes(pathlib.Path("/etc", name).read_bytes())

    def away(self):
        self.stop()
        shutil.rmtree(self.folder)

    # ---- before it is booted: with our network ----

    def chroot(self, *words, check=True, **more):
        done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--root={self.root}",
                               "--mount-proc", *map(str, words)], capture_output=True, text=True, check=False,
                              timeout=600, env=self.environment(), **more)
        if check and done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return done

    @staticmethod
    def environment():
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}

    # ---- booted ----

    def boot(self, init="/lib/systemd/systemd"):
        """With systemd it has a network of its own, else ours."""
        self.group.mkdir(exist_ok=True)
        (self.root / PLAIN[1:]).write_text(PLAIN_TEXT)
        (self.root / PLAIN[1:]).chmod(0o755)
        network = [] if init == PLAIN else ["--net"]

        def enter():
            (self.group / "cgroup.procs").write_text(str(os.getpid()))

        with open(self.folder / "boot.log", "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--kill-child", "--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", *network,
                 "bash", "-c", BOOT, "boot", self.root, init],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=enter)  # one thread: safe here
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pid = int(until("a first process", lambda: self.process.poll() is None and children.read_text().split())[0])
        until("the machine's own init", lambda: b"pivot_root" not in pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes())
        if init != PLAIN:
            until("systemd has started everything",
                  lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"))
        return self

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)  # --kill-child: PID 1 goes too, and with it everything
            self.process.wait()
            self.process = None
        if self.group.exists():
            until("its processes gone", lambda: "populated 0" in (self.group / "cgroup.events").read_text())
            for path in sorted(self.group.rglob("*/"), key=lambda path: -len(path.parts)):
                path.rmdir()
            self.group.rmdir()

    def inside(self, *words):
        """The command that runs this in the booted machine."""
        return ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                *map(str, words)]

    def run(self, *words, check=True, **more):
        done = subprocess.run(self.inside(*words), capture_output=True, text=True, check=False, timeout=600,
                              env=self.environment(), **more)
        if check and done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return done

    def out(self, *words, **more):
        return self.run(*words, **more).stdout.strip()

    def show(self, unit, name):
        return self.out("systemctl", "show", "--value", "--property", name, unit)

    def main_pid(self, unit="riftd.service"):
        return int(self.show(unit, "MainPID") or 0)


if __name__ == "__main__":  # a look around: python3 machine.py, then nsenter as it says
    machine = Machine()
    machine.make()
    machine.boot()
    print(f"nsenter --target {machine.pid} --mount --uts --ipc --net --pid --cgroup bash   (Enter ends it)", file=sys.stderr)
    sys.stdin.readline()
    machine.away()
