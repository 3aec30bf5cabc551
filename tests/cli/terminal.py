"""A real terminal for tests: tmux, which has a size, a screen to look at and keys to press."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from client import BUILD, DEADLINE_S


def skip_without_tmux():
    if not shutil.which("tmux"):
        print("skipped: tmux is not installed (./setup test installs it)")
        sys.exit(77)


BASH = ("bash", "--norc", "--noprofile", "-i")


class Terminal:
    """with Terminal() as terminal: a bash whose prompt is "$ ", with the riftctl under test in its path."""

    def __init__(self, columns=80, rows=24, env=None, shell=BASH):
        self.directory = tempfile.TemporaryDirectory(prefix="rift-tmux-")
        self.socket = os.path.join(self.directory.name, "socket")
        clean = {"PATH": BUILD + ":" + os.environ["PATH"], "PS1": "$ ", "LC_ALL": "C.UTF-8", "HOME": self.directory.name,
                 "XDG_CONFIG_HOME": "/nonexistent", "HISTFILE": "", **(env or {})}
        words = ["env", "-i", *(f"{name}={value}" for name, value in {"TERM": "screen-256color", **clean}.items()), *shell]
        self.tmux("-f", "/dev/null", "-u", "new-session", "-d", "-x", str(columns), "-y", str(rows), *words)
        self.tmux("set-option", "-g", "window-size", "manual")

    def tmux(self, *words):
        # tmux itself draws UTF-8, whatever the locale of the program inside.
        return subprocess.run(["tmux", "-S", self.socket, *words], text=True, capture_output=True, timeout=DEADLINE_S,
                              check=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}).stdout

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def run(self, line):
        self.type(line)
        self.keys("Enter")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self, history=False, colours=False):
        return self.tmux("capture-pane", "-p", *(["-S", "-"] if history else []), *(["-e"] if colours else []))

    def ask(self, what):
        return self.tmux("display-message", "-p", "#{%s}" % what).strip()

    def wait(self, what, **options):
        """Until the screen matches; returns the screen."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            text = self.screen(**options)
            if re.search(what, text):
                return text
            time.sleep(0.03)
        raise AssertionError(f"not seen within {DEADLINE_S} s: {what}\n{text}")

    def calm(self):
        """The screen once it no longer changes: the prompt is back and waits."""
        return self.wait(r"(?m)^\$ *\n*\Z")

    def __enter__(self):
        try:
            self.wait(r"\$")
        except BaseException:  # then nobody calls __exit__
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=DEADLINE_S, check=False)
        self.directory.cleanup()
