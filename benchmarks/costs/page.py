"""The server of the page under load: many clients, slow clients, a large upload, a killed worker.

    python benchmarks/costs/page.py [--clients 50] [--seconds 60] [--upload-gb 2] [--out results/costs/page.json]

One server on loopback, with the embedded model and a queue of 16. `--clients` clients post predict jobs of clips that
they uploaded, wait `Retry-After` where the queue is full, follow each accepted job, and read its result; five more send
an upload of one byte a second, and one asks for `GET /api/server` all the time, for its latency. Then a video file of
`--upload-gb` (an mp4 whose index is followed by free space) is uploaded, and last a worker is killed in a job. Memory
is the resident set of the server process alone, next to what it was before; its workers have the model.
"""

import argparse
import collections
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from actionprompt import records

CLIP = Path(__file__).parents[2] / "examples" / "handstand.mp4"
LABELS = ["doing a handstand", "reading a book", "running", "waving a hand"]
SLOW_CLIENTS, RISE_MB, DEAD_S = 5, 50.0, 5.0
FINAL = ("done", "failed", "cancelled")


class Server:
    """A server of the page in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "actionprompt", "serve", "--backbone", "tiny", "--no-open", "--port", "0"]
        command += ["--models", str(folder / "models"), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}
        )
        assert self.process.stdout is not None
        self.url = next(word.rstrip("/") for line in self.process.stdout for word in line.split() if "http://" in word)
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.memory = psutil.Process(self.process.pid)

    @property
    def rss_mb(self) -> float:
        return self.memory.memory_info().rss / 1e6

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers; `body` is JSON, or bytes in parts."""
        headers = {}
        if isinstance(body, dict):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        elif body is not None:
            body, headers = body[0], {"Content-Length": str(body[1])}
        request = urllib.request.Request(f"{self.url}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None, dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null"), dict(error.headers)

    def upload(self, path: Path) -> dict[str, Any]:
        status, video, _ = self.ask("POST", f"/api/videos?name={path.name}", (path.read_bytes(), path.stat().st_size))
        assert status == 201, video
        return video

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


def client(server: Server, video: str, until: float, seen: collections.Counter, times: list[float]) -> None:
    """Posts jobs until the time is over, and counts what becomes of them."""
    while time.monotonic() < until:
        try:
            began = time.monotonic()
            status, job, headers = server.ask("POST", "/api/predict", {"videos": [video], "labels": LABELS})
            if status == 429:
                seen["refused"] += 1
                seen["refused_without_retry_after"] += "retry-after" not in {name.lower() for name in headers}
                time.sleep(min(float(headers.get("retry-after", headers.get("Retry-After", 1))), until - began + 0.1))
                continue
            assert status == 202, job
            seen["accepted"] += 1
            while job["state"] not in FINAL:
                time.sleep(0.1)
                _, job, _ = server.ask("GET", f"/api/jobs/{job['id']}")
            status, result, _ = server.ask("GET", job["files"].get("json", "/nothing"))
            assert job["state"] == "done", job
            assert status == 200, result
            assert [one["labels"][0] for one in result["predictions"]] == LABELS[:1], result
            seen["answered"] += 1
            times.append(time.monotonic() - began)
        except Exception as error:
            seen["errors"] += 1
            print(f"{type(error).__name__}: {error}", file=sys.stderr)


def slow_client(server: Server, until: float, seen: collections.Counter) -> None:
    """An upload of one byte a second."""
    host, port = server.url.removeprefix("http://").split(":")
    content = CLIP.read_bytes()
    with socket.create_connection((host, int(port))) as line:
        head = (
            f"POST /api/videos?name=slow.mp4 HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        line.sendall(head.encode())
        for place in range(len(content)):
            if time.monotonic() >= until:
                return
            line.sendall(content[place : place + 1])
            seen["bytes_of_slow_clients"] += 1
            time.sleep(1)


def load(server: Server, num_clients: int, seconds: float) -> dict[str, Any]:
    """Many clients at once."""
    video = server.upload(CLIP)["id"]
    server.ask("POST", "/api/predict", {"videos": [video], "labels": LABELS})
    time.sleep(5)
    before_mb, until = server.rss_mb, time.monotonic() + seconds
    seen: collections.Counter = collections.Counter()
    times: list[float] = []
    latencies: list[float] = []
    most_mb = before_mb
    threads = [threading.Thread(target=client, args=(server, video, until, seen, times)) for _ in range(num_clients)]
    threads += [threading.Thread(target=slow_client, args=(server, until, seen)) for _ in range(SLOW_CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        began = time.monotonic()
        server.ask("GET", "/api/server")
        latencies.append(time.monotonic() - began)
        most_mb = max(most_mb, server.rss_mb)
        time.sleep(0.1)
    jobs = server.ask("GET", "/api/jobs")[1]
    states = collections.Counter(job["state"] for job in jobs)
    return {
        "clients": num_clients,
        "seconds": seconds,
        **{name: seen[name] for name in ("accepted", "answered", "refused", "refused_without_retry_after", "errors")},
        "bytes_of_slow_clients": seen["bytes_of_slow_clients"],
        "job_states": dict(states),
        "median_s": round(statistics.median(times), 3) if times else None,
        "latency_median_ms": round(1e3 * statistics.median(latencies), 1),
        "latency_worst_ms": round(1e3 * max(latencies), 1),
        "server_mb_before": round(before_mb, 1),
        "server_mb_most": round(most_mb, 1),
        "rise_mb": round(most_mb - before_mb, 1),
    }


def padded(size: int) -> Iterator[bytes]:
    """The clip with a `free` box behind it, which players pass over, so that the file has this many bytes."""
    content = CLIP.read_bytes()
    free = size - len(content)
    yield content + (1).to_bytes(4, "big") + b"free" + free.to_bytes(8, "big")
    left, part = free - 16, bytes(1 << 20)
    while left > 0:
        yield part[:left]
        left -= len(part)


def large_upload(server: Server, num_bytes: int) -> dict[str, Any]:
    """Upload a large video; what the server holds meanwhile."""
    before_mb = most_mb = server.rss_mb
    answer: list[Any] = []
    began = time.monotonic()
    body = (padded(num_bytes), num_bytes)
    thread = threading.Thread(target=lambda: answer.append(server.ask("POST", "/api/videos?name=large.mp4", body)))
    thread.start()
    while thread.is_alive():
        most_mb = max(most_mb, server.rss_mb)
        time.sleep(0.02)
    status, video, _ = answer[0]
    assert (status, video["bytes"]) == (201, num_bytes), answer
    return {
        "bytes": num_bytes,
        "seconds": round(time.monotonic() - began, 1),
        "server_mb_before": round(before_mb, 1),
        "server_mb_most": round(most_mb, 1),
        "rise_mb": round(most_mb - before_mb, 1),
    }


def killed_worker(server: Server, folder: Path) -> dict[str, Any]:
    """Kill the process that works on a job; the next job has to work."""
    from actionprompt.video import read_frames, write_video

    frames = read_frames(CLIP, range(40))
    path = folder / "long.mp4"
    write_video(path, (frame for _ in range(300) for frame in frames), 20)
    video = server.upload(path)["id"]
    _, job, _ = server.ask("POST", "/api/timeline", {"video": video, "labels": LABELS, "hop_s": 0.05})
    while job["progress"] is None or job["progress"]["what"] != "windows":
        time.sleep(0.05)
        _, job, _ = server.ask("GET", f"/api/jobs/{job['id']}")
        assert job["state"] in ("waiting", "running"), job
    worker = max(server.memory.children(recursive=True), key=lambda process: process.cpu_times().user)
    worker.send_signal(signal.SIGKILL)
    began = time.monotonic()
    while job["state"] not in FINAL:
        time.sleep(0.02)
        _, job, _ = server.ask("GET", f"/api/jobs/{job['id']}")
    failed_s = time.monotonic() - began
    _, after, _ = server.ask("POST", "/api/predict", {"videos": [video], "labels": LABELS})
    while after["state"] not in FINAL:
        time.sleep(0.1)
        _, after, _ = server.ask("GET", f"/api/jobs/{after['id']}")
    return {"state": job["state"], "reason": job["error"], "failed_s": round(failed_s, 2), "next": after["state"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--upload-gb", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=Path("results/costs/page.json"))
    args = parser.parse_args()
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            found = {
                "load": load(server, args.clients, args.seconds),
                "large_upload": large_upload(server, int(1e9 * args.upload_gb)),
                "killed_worker": killed_worker(server, Path(folder)),
            }
        finally:
            server.stop()
        left = [path.name for path in Path(folder).glob("actionprompt-page-*")]
    crowd, large, killed = found["load"], found["large_upload"], found["killed_worker"]
    met = {
        "every accepted job is answered once": crowd["accepted"] == crowd["answered"] > 0,
        "no error but a full queue, with Retry-After": not crowd["errors"] + crowd["refused_without_retry_after"],
        "memory under load": crowd["rise_mb"] < RISE_MB,
        "memory of a large upload": large["rise_mb"] < RISE_MB,
        "a killed worker": killed["state"] == "failed" and killed["failed_s"] < DEAD_S and killed["next"] == "done",
        "nothing is left": not left,
    }
    record = {
        "benchmark": "page",
        **records.provenance(seed=0, started=started),
        "goals": {"rise_mb": RISE_MB, "failed_s": DEAD_S, "met": met},
        **found,
    }
    records.write(args.out, record)
    for name, values in found.items():
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in values.items())}")
    print(f"{', '.join(name for name, fine in met.items() if not fine) or 'nothing'} missed; {args.out}")


if __name__ == "__main__":
    main()
