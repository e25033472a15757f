"""The server stays, and keeps nothing that nobody has any more, whatever happens to its processes and its clients."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from page.client import Client
from page.clips import LABELS, Clips
from page.running import Running

pytestmark = pytest.mark.page
THREE = list(LABELS[:3])


@pytest.fixture
def slow(client: Client, clips: Clips) -> dict:
    """The request of a job that works for many seconds."""
    return {"video": client.upload(clips.minutes)["id"], "labels": THREE, "hop_s": 0.05}


def running_job(client: Client, request: dict) -> dict:
    """A job that has begun to compute."""
    job = client.post("/api/timeline", request)
    end = time.monotonic() + 60
    while not client.wait(job, "running")["progress"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    return job


def test_a_killed_worker_fails_its_job_alone(client: Client, slow: dict, server: Running, clips: Clips):
    job = running_job(client, slow)
    video = client.upload(clips.clip(THREE[0]))["id"]
    queued = client.post("/api/timeline", {"video": video, "labels": THREE})
    began = time.monotonic()
    server.busy.kill()
    failed = client.wait(job, timeout_s=5)
    assert time.monotonic() - began < 5
    assert failed["state"] == "failed"
    assert failed["error"]
    assert "\n" not in failed["error"]
    assert [*client.events(job)] == [failed]
    assert client.wait(queued)["state"] == "done"
    answer = client.result(client.work("/api/predict", {"videos": [video], "labels": THREE}))
    assert answer["predictions"][0]["labels"][0] == THREE[0]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
def test_a_worker_that_does_not_leave_a_cancelled_job_is_killed(
    client: Client, slow: dict, server: Running, clips: Clips
):
    job = running_job(client, slow)
    server.busy.suspend()
    client.delete(f"/api/jobs/{job['id']}", 202)
    assert client.wait(job, timeout_s=8)["state"] == "cancelled"
    client.work("/api/predict", {"videos": [client.upload(clips.clip(THREE[0]))["id"]], "labels": THREE})


def test_a_stopped_server_ends_its_processes_and_leaves_nothing(start, clips: Clips):
    one = start()
    job = running_job(one.client, {"video": one.client.upload(clips.minutes)["id"], "labels": THREE, "hop_s": 0.05})
    workers = one.workers
    assert workers
    listening = threading.Thread(target=lambda: [*one.client.events(job)], daemon=True)  # a page that is still open
    listening.start()
    time.sleep(0.3)
    assert one.interrupt() == 0, one.lines
    assert one.temporary == []
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert not [line for line in one.lines if "Traceback" in line or "rror" in line], one.lines


def test_what_a_killed_server_left_is_removed_by_the_next_one(start, clips: Clips, tmp_path):
    one = start()
    own = {path.partition("/")[0] for path in one.temporary}
    other = start(folder=tmp_path / "other", TMPDIR=str(tmp_path / "temporary"))
    running_job(one.client, {"video": one.client.upload(clips.minutes)["id"], "labels": THREE, "hop_s": 0.05})
    kept = other.client.upload(clips.clip(THREE[0]))
    workers = one.workers
    one.kill()
    assert psutil.wait_procs(workers, timeout=5)[1] == [], "workers that outlive their server"
    assert own <= {*one.temporary}
    third = start()
    assert third.client.get("/api/videos") == []
    assert other.client.call("GET", kept["file"]).status == 200, "of a server that still runs"
    assert not own & {*third.temporary}
    third.interrupt()
    other.interrupt()
    assert third.temporary == []


def test_what_was_taught_is_there_after_a_restart(start, clips: Clips):
    one = start()
    classes = [{"name": name, "clips": [{"video": one.client.upload(clips.clip(name))["id"]}]} for name in THREE[:2]]
    one.client.work("/api/teach", {"name": "Kept", "classes": classes})
    taught = [model for model in one.client.get("/api/models")["models"] if model["kind"] == "taught"]
    one.interrupt()
    again = start()
    assert [model for model in again.client.get("/api/models")["models"] if model["kind"] == "taught"] == taught
    video = again.client.upload(clips.clip(THREE[1], 1))
    job = again.client.work("/api/predict", {"videos": [video["id"]], "model": taught[0]["id"]})
    assert again.client.result(job)["predictions"][0]["labels"][0] == THREE[1]


def test_a_slow_or_vanished_client_holds_nobody_up(client: Client, clips: Clips, server: Running):
    before, size = server.temporary, 100_000
    head = b"POST /api/videos?name=a.mp4 HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n"
    host = ":".join(map(str, client.address)).encode()
    slow = []
    for _ in range(20):
        connection = socket.create_connection(client.address, 10)
        connection.sendall(head % (host, size) + b"\0")
        slow.append(connection)
    began = time.monotonic()
    video = client.upload(clips.clip(THREE[0]))
    client.work("/api/predict", {"videos": [video["id"]], "labels": THREE})
    assert time.monotonic() - began < 15
    for connection in slow:
        connection.close()
    client.forget()
    end = time.monotonic() + 5
    while server.temporary != before and time.monotonic() < end:
        time.sleep(0.1)
    assert server.temporary == before
    assert client.get("/api/server")["used_bytes"] == 0


def test_a_reader_that_leaves_an_event_stream(client: Client, slow: dict):
    job = running_job(client, slow)
    for _ in range(20):
        next(iter(client.events(job)))
    client.delete(f"/api/jobs/{job['id']}", 202)
    assert client.wait(job)["state"] == "cancelled"


def test_a_token_is_asked_of_everybody_but_who_opens_the_address(start, clips: Clips):
    one = start("--token")
    assert "?token=" in one.opened
    bare = Client(one.client.url)
    for path in ("/", "/docs", "/openapi.json", "/static/", "/api/server", "/api/jobs"):
        assert bare.call("GET", path).status == 401
    assert bare.try_upload(clips.clip(THREE[0]), "a.mp4").status == 401
    assert bare.call("GET", "/?token=wrong").status == 401
    assert one.client.get("/api/jobs") == []
    assert one.client.upload(clips.clip(THREE[0]))
    opened = bare.call("GET", one.opened.removeprefix(bare.url))
    assert opened.status in (302, 303, 307)
    assert opened.headers["Location"] == "/"
    cookie = opened.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie or "samesite=strict" in cookie
    assert bare.call("GET", "/api/jobs", headers={"Cookie": cookie.partition(";")[0]}).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:7860"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_sites_and_names_that_were_rebound(client: Client, headers: dict, status: int):
    for method, path in (("GET", "/api/jobs"), ("POST", "/api/predict"), ("DELETE", "/api/models/zero-shot")):
        answer = client.call(method, path, {} if method == "POST" else None, headers)
        assert (answer.status, bool(answer.error)) == (status, True)


def test_a_port_that_is_taken_is_said_in_a_line(start, server: Running):
    port = server.client.address[1]
    command = ["serve", "--no-open", "--backbone", "tiny", "--port", str(port)]
    done = subprocess.run(
        [sys.executable, "-m", "actionprompt", *command],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
