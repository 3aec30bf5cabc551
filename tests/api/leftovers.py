"""Workers outlive riftd on purpose; a test's must not outlive the test, nor write into what is removed next."""
import os
import signal
import time


def processes_end(state, deadline_s):
    """SIGKILL whatever was started with a state directory or something in it as an argument, until nothing is left."""
    deadline = time.monotonic() + deadline_s
    while strike(os.fsencode(state)):
        if time.monotonic() > deadline:
            raise AssertionError(f"processes of {state} are still there after {deadline_s} s")
        time.sleep(0.02)


def strike(state):
    """Whether there was any."""
    found = False
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if any(word == state or word.startswith(state + b"/") for word in words):
                found = True
                os.kill(int(entry), signal.SIGKILL)
        except OSError:  # it has just ended
            pass
    return found
