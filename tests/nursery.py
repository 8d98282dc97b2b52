"""Processes of the `agentainer` command, forked from one that has imported it.

Starting Python and importing the command takes longer than most commands do. What runs is a process
as any other: it has its own environment, folder, files and exit code, and dies of signals.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import msgspec

#: What most commands import.
MODULES = (
    "anyio._backends._asyncio",
    "uvloop",
    "agentainer_flow.cli.bundles",
    "agentainer_flow.cli.doctor",
    "agentainer_flow.cli.main",
    "agentainer_flow.cli.looking",
    "agentainer_flow.cli.serving",
    "agentainer_flow.cli.starting",
)
ROOT = Path(__file__).parents[1]
#: Most bytes of an order.
LIMIT = 1 << 18


class Order(msgspec.Struct):
    arguments: list[str]
    cwd: str
    env: dict[str, str]


class Child:
    """One process. Has what is used of subprocess.Popen."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid = int(self._read())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._answers.setblocking(False)
            with suppress(BlockingIOError):
                self._take(self._read())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self._take(self._read())
            except TimeoutError:
                raise subprocess.TimeoutExpired("agentainer", timeout or 0) from None
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self) -> str:
        return self._answers.recv(32).decode()

    def _take(self, code: str) -> None:
        self.returncode = int(code)
        self._answers.close()


def spawn(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], out: int, err: int
) -> Child:
    """Run `agentainer ARGUMENTS` with these files as its output."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order = msgspec.json.encode(Order(list(arguments), str(cwd), dict(env)))
    with its:
        socket.send_fds(_nursery(), [order], [out, err, its.fileno()])
    return Child(ours)


@functools.cache
def _nursery() -> socket.socket:
    """The process that forks the others; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, "-m", __spec__.name, str(its.fileno())]
        process = subprocess.Popen(
            command,
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).parents[1],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(orders: socket.socket) -> None:
    for name in MODULES:
        import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        order, fds, _, _ = socket.recv_fds(orders, LIMIT, 3)
        if not order:
            return
        if os.fork() == 0:
            orders.close()
            _keep(msgspec.json.decode(order, type=Order), *fds)
        for fd in fds:
            os.close(fd)
        _reap()


def _reap() -> None:
    """Take leave of those that have answered."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _keep(order: Order, out: int, err: int, answers: int) -> NoReturn:
    """Fork the process, tell its pid, and how it ended."""
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        _become(order, out, err)
    os.write(answers, str(pid).encode())
    os.close(out)
    os.close(err)
    _, status = os.waitpid(pid, 0)
    os.write(answers, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(order: Order, out: int, err: int) -> NoReturn:
    """Run the command. It ends as the whole interpreter does."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    os.closerange(3, max(out, err) + 1)
    os.chdir(order.cwd)
    os.environ.clear()
    os.environ.update(order.env)
    sys.argv = ["agentainer", *order.arguments]
    sys.path[0] = order.cwd
    from agentainer_flow.cli.main import main

    main()
    sys.exit(0)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        _serve(orders)
