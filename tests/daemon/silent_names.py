"""How does a program run whose name server never answers?

    unshare --user --map-root-user --net --mount silent_names.py ASKED PROGRAM [ARGUMENT...]

In namespaces of its own the only name server is a process that writes what it is asked
into the file ASKED and says nothing. It ends with the program, whose PID is this one.
"""
import ctypes
import fcntl
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys

SIOCSIFFLAGS, IFF_UP, PR_SET_PDEATHSIG = 0x8914, 1, 1


def main():
    asked, program = pathlib.Path(sys.argv[1]), sys.argv[2:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    conf = asked.with_suffix(".conf")
    conf.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    subprocess.run(["mount", "--bind", str(conf), os.path.realpath("/etc/resolv.conf")], check=True)
    switch = pathlib.Path("/etc/nsswitch.conf")
    if switch.exists():  # else a resolver of this machine may answer, which is asked over a unix socket
        conf = asked.with_suffix(".switch")
        conf.write_text("hosts: files dns\n")
        subprocess.run(["mount", "--bind", str(conf), os.path.realpath(switch)], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    heard, ready = os.pipe()
    if os.fork():
        os.close(ready)
        os.read(heard, 1)
        server.close()
        os.execv(program[0], program)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.close(1)  # who reads what the program says waits for its end alone
    os.close(2)
    os.write(ready, b"!")
    while True:
        with open(asked, "ab") as file:
            file.write(server.recv(2000))


main()
