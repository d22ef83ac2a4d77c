"""Runs a program whose standard output and error go where somebody does not read, or cannot be written: arguments are a kind for
each, then the program. Ends with the program's exit code; passes SIGTERM on. On SIGUSR1 the descriptors' shared mode is set back
to blocking, as a Node program that has inherited them does when it ends."""
import os
import pty
import signal
import socket
import sys
import time

kept = []


def filled(fd):
    """No byte more fits in."""
    os.set_blocking(fd, False)
    # A terminal takes more when the system has moved on what it holds: it is full when it stays so.
    while fill(fd) > 0:
        time.sleep(0.1)
    os.set_blocking(fd, True)
    return fd


def fill(fd):
    written = 0
    for size in (4096, 1):
        try:
            while True:
                written += os.write(fd, b"x" * size)
        except BlockingIOError:
            pass
    return written


def pipe():
    reader, writer = os.pipe()
    kept.append(reader)
    return filled(writer)


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def unix_socket():
    reader, writer = socket.socketpair()
    kept.append(reader)
    return filled(writer.detach())


def closed_socket():
    reader, writer = socket.socketpair()
    reader.close()
    return writer.detach()


def terminal():
    """One that stands still: nobody takes what it shows."""
    master, slave = pty.openpty()
    kept.append(master)
    return filled(slave)


KINDS = {
    "read": lambda: os.open("/dev/null", os.O_WRONLY),
    "pipe": pipe,
    "closed pipe": closed_pipe,
    "socket": unix_socket,
    "closed socket": closed_socket,
    "full disk": lambda: os.open("/dev/full", os.O_WRONLY),
    "terminal": terminal,
    "nothing": lambda: None,
}

kind_out, kind_err, *command = sys.argv[1:]
out = KINDS[kind_out]()
err = out if kind_err == "same" else KINDS[kind_err]()
child = os.fork()
if child == 0:
    for target, fd in ((1, out), (2, err)):
        if fd is None:
            os.close(target)
        else:
            os.dup2(fd, target)
    os.execv(command[0], command)
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
signal.signal(signal.SIGUSR1, lambda *_: [os.set_blocking(fd, True) for fd in (out, err) if fd is not None])
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
