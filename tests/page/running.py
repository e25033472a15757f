"""The server as people start it: `actionprompt serve` in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from page.client import Client

START_S, STOP_S = 60, 15


@dataclass(frozen=True)
class Running:
    """A server that was started in `folder`: models in `folder/models`, temporary files in `folder/temporary`."""

    process: subprocess.Popen
    opened: str
    """The address it prints, with its token if it has one."""
    lines: list[str]
    """All it printed."""
    folder: Path

    @property
    def client(self) -> Client:
        address, _, token = self.opened.partition("/?token=")
        return Client(address.rstrip("/"), {"Authorization": f"Bearer {token}"} if token else {})

    @property
    def temporary(self) -> list[str]:
        """What lies in its temporary folder, at any depth."""
        top = self.folder / "temporary"
        return sorted(path.relative_to(top).as_posix() for path in top.rglob("*"))

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that decode and compute."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in children if "actionprompt.page.work" in " ".join(one.cmdline())]

    @property
    def busy(self) -> psutil.Process:
        """The process that computes: it takes the most time of a processor now."""
        workers = self.workers
        before = [one.cpu_times().user for one in workers]
        time.sleep(0.3)
        return max(zip(workers, before), key=lambda pair: pair[0].cpu_times().user - pair[1])[0]

    def interrupt(self) -> int:
        """The exit code after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(STOP_S)

    def close(self) -> None:
        """End it if it still runs, and all that it started."""
        if self.process.poll() is not None:
            return
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        for child in children:
            if child.is_running():
                child.kill()


def start(folder: Path, *options: str, **environment: str) -> Running:
    """Starts a server with the tiny backbone at a port that is free, and waits until it says its address."""
    models, temporary = folder / "models", folder / "temporary"
    for place in (models, temporary):
        place.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "actionprompt", "serve", "--no-open", "--backbone", "tiny"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--models", str(models), *options],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        env={
            **os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "200",
            **environment,
        },
    )  # fmt: skip
    lines: list[str] = []
    found: list[str] = []
    said = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if not found and (address := re.search(r"http://\S+", line)):
                found.append(address[0])
                said.set()
        said.set()

    threading.Thread(target=read, daemon=True).start()
    if not said.wait(START_S) or not found:
        process.kill()
        raise AssertionError(f"the server did not say its address; it said: {lines}")
    return Running(process, found[0], lines, folder)
