"""What the server does not take: each with its status and one line that says why."""

import contextlib

import pytest

from page.client import Client
from page.clips import LABELS, Clips

pytestmark = pytest.mark.page
NO = "0123456789abcdef"
PREDICT = {"videos": [NO], "labels": ["a"]}
TIMELINE = {"video": NO, "labels": ["a"]}
ABSENT = {"video": NO}
TEACH = {"name": "m", "classes": [{"name": name, "clips": [ABSENT]} for name in "ab"]}
HOSTILE = (
    "<img src=x onerror=alert(1)>.mp4",
    '"; DROP TABLE videos; --.mp4',
    "\N{CLAPPER BOARD}\N{ZERO WIDTH JOINER}\N{FIRE}.mp4",
    "\N{RIGHT-TO-LEFT OVERRIDE}4pm.exe",
    "con.mp4",
    "..",
    "%2e%2e%2f.mp4",
    "a" * 300 + ".mp4",
)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/videos/{NO}"),
        ("DELETE", f"/api/videos/{NO}"),
        ("GET", f"/api/videos/{NO}/file"),
        ("GET", f"/api/videos/{NO}/preview"),
        ("POST", f"/api/videos/{NO}/preview"),
        ("GET", f"/api/videos/{NO}/thumbnail"),
        ("GET", f"/api/jobs/{NO}"),
        ("GET", f"/api/jobs/{NO}/events"),
        ("GET", f"/api/jobs/{NO}/result.json"),
        ("DELETE", f"/api/jobs/{NO}"),
        ("POST", f"/api/jobs/{NO}/film"),
        ("DELETE", f"/api/models/{NO}"),
        ("GET", "/static/no.js"),
        ("GET", "/nowhere"),
    ],
)
def test_what_does_not_exist(client: Client, method: str, path: str):
    answer = client.call(method, path)
    assert answer.status == 404
    assert answer.error


@pytest.mark.parametrize(
    "path",
    [
        "/static/../schemas.py",
        "/static/..%2fschemas.py",
        "/static/%2e%2e/schemas.py",
        "/static//etc/passwd",
        "/static/..%5cschemas.py",
        "/api/videos/..%2f..%2fetc%2fpasswd/file",
        "/api/videos/%00/file",
        "/api/jobs/..%2f..%2f/result.json",
        f"/api/jobs/{NO}/result.py",
    ],
)
def test_no_path_leads_out(client: Client, path: str):
    answer = client.call("GET", path)
    assert answer.status in (400, 404, 422)
    assert answer.error


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/videos"), ("POST", "/api/server"), ("DELETE", "/api/jobs"), ("GET", "/api/predict")],
)
def test_other_methods(client: Client, method: str, path: str):
    answer = client.call(method, path)
    assert answer.status in (404, 405)
    assert answer.error


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        ("predict", {**PREDICT, "labels": None}, "labels"),
        ("predict", {**PREDICT, "labels": []}, "labels"),
        ("predict", {**PREDICT, "labels": [""]}, "labels"),
        ("predict", {**PREDICT, "labels": ["a" * 300]}, "labels"),
        ("predict", {**PREDICT, "labels": "abc"}, "labels"),
        ("predict", {**PREDICT, "labels": [f"{n}" for n in range(1001)]}, "labels"),
        ("predict", {**PREDICT, "videos": []}, "videos"),
        ("predict", {**PREDICT, "videos": ["../../etc/passwd"]}, "videos"),
        ("predict", {**PREDICT, "top": 0}, "top"),
        ("predict", {**PREDICT, "model": "../../x"}, "model"),
        ("predict", {**PREDICT, "lables": ["a"]}, "lables"),
        ("predict", [], ""),
        ("predict", b"{", ""),
        ("predict", b'{"videos": ["\xff"]}', ""),
        ("predict", b"[" * 100_000, ""),
        ("timeline", {**TIMELINE, "window_s": 0}, "window_s"),
        ("timeline", {**TIMELINE, "hop_s": 3}, "hop_s"),
        ("timeline", b'{"video": "%b", "labels": ["a"], "window_s": NaN}' % NO.encode(), "window_s"),
        ("timeline", {**TIMELINE, "hop_s": 1e-9}, "hop_s"),
        ("teach", {**TEACH, "classes": []}, "classes"),
        ("teach", {**TEACH, "name": ""}, "name"),
        ("teach", {**TEACH, "classes": [{"name": "a", "clips": []}]}, "clips"),
        ("teach", {**TEACH, "classes": [{"name": "a", "clips": [{"video": NO, "start_s": 1}]}]}, "start_s"),
        ("teach", {**TEACH, "classes": [{"name": "a", "clips": [{"video": NO, "start_s": 2, "end_s": 1}]}]}, "start_s"),
    ],
)
def test_bodies_that_are_wrong(client: Client, path: str, body: object, part: str):
    answer = client.call("POST", f"/api/{path}", body)
    assert answer.status == 422 or (answer.status == 400 and isinstance(body, bytes))  # it is no JSON
    assert part in answer.error
    assert client.get("/api/jobs") == []


@pytest.mark.parametrize(("path", "body"), [("predict", PREDICT), ("timeline", TIMELINE), ("teach", TEACH)])
def test_videos_and_models_that_are_not_there(client: Client, clips: Clips, path: str, body: dict):
    answer = client.call("POST", f"/api/{path}", body)
    assert answer.status == 404
    assert NO in answer.error
    video = client.upload(clips.clip(LABELS[0]))["id"]
    filled = {
        "predict": {**PREDICT, "videos": [video], "model": NO},
        "timeline": {**TIMELINE, "video": video, "model": NO},
        "teach": {"name": "m", "classes": [{"name": name, "clips": [{"video": video}]} for name in "ab"], "add_to": NO},
    }
    answer = client.call("POST", f"/api/{path}", filled[path])
    assert answer.status == 404
    assert NO in answer.error


def test_a_body_of_json_is_held_to_a_size(client: Client):
    answer = client.call("POST", "/api/predict", b'{"videos": ["' + b"a" * 5_000_000 + b'"]}')
    assert answer.status == 413
    assert answer.error


def test_teaching_that_makes_no_sense(client: Client, clips: Clips):
    video = client.upload(clips.clip(LABELS[0]))["id"]
    one = {"name": "a", "clips": [{"video": video}]}
    other = {"name": "b", "clips": [{"video": video}]}
    for wrong in (
        {"classes": [one, one]},
        {"classes": [one, other], "background": "c"},
        {"classes": [one, {"name": "b", "clips": [{"video": video, "start_s": 500, "end_s": 600}]}]},
    ):
        answer = client.call("POST", "/api/teach", {"name": "m", **wrong})
        if answer.status == 202:
            job = client.wait(answer.json)
            assert job["state"] == "failed", (wrong, job)
            assert job["error"]
            assert "\n" not in job["error"]
        else:
            assert answer.status == 422, (wrong, answer)
            assert answer.error


def test_only_taught_models_are_deleted(client: Client):
    assert client.call("DELETE", "/api/models/zero-shot").status == 403


def test_a_film_needs_a_timeline_that_is_done(client: Client, clips: Clips):
    video = client.upload(clips.clip(LABELS[0]))["id"]
    job = client.work("/api/predict", {"videos": [video], "labels": ["a", "b"]})
    answer = client.call("POST", f"/api/jobs/{job['id']}/film")
    assert answer.status == 409
    assert answer.error
    assert client.call("GET", f"/api/jobs/{job['id']}/result.vtt").status == 404


@pytest.mark.parametrize("name", ["", " ", "a/b.mp4", "../a.mp4", "..\\a.mp4", "/etc/passwd", "a\0b", "a\nb"])
def test_names_of_files_that_are_paths(client: Client, clips: Clips, name: str):
    answer = client.try_upload(clips.clip(LABELS[0]), name)
    assert answer.status == 400
    assert answer.error
    assert client.call("POST", "/api/videos", b"x").status in (400, 422)
    assert client.get("/api/videos") == []


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_from_end_to_end(client: Client, clips: Clips, server, name: str):
    video = client.upload(clips.clip(LABELS[0]), name)
    assert video["name"] == name
    for url in (video["file"], video["thumbnail"]):
        assert url.startswith(f"/api/videos/{video['id']}")
        assert client.call("GET", url).status == 200
    assert not [path for path in server.temporary if "img" in path or "aaaa" in path or ".." in path]
    label = name[:40]
    job = client.work("/api/timeline", {"video": video["id"], "labels": [label, "b"]})
    assert client.result(job)["labels"] == [label, "b"]
    for url in job["files"].values():
        answer = client.call("GET", url)
        assert answer.status == 200
        head = answer.headers["Content-Disposition"]
        assert head.startswith("attachment")
        assert "\n" not in head
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"#!/bin/sh\necho hello\n",
        b"<html><script>alert(1)</script></html>",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x44\xac\0\0\x88\x58\1\0\2\0\x10\0data\0\0\0\0",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
        b"PK\3\4" + bytes(60),
    ],
    ids=["empty", "text", "script", "html", "png", "sound", "hls", "concat", "sdp", "dash", "zip"],
)
def test_what_is_no_video_is_not_kept(client: Client, server, content: bytes):
    before = server.temporary
    answer = client.try_upload(content, "clip.mp4")
    assert answer.status == 415
    assert answer.error
    assert "/tmp" not in answer.error
    assert client.get("/api/videos") == []
    assert server.temporary == before


def test_a_bomb_is_refused_before_it_is_decoded(client: Client, clips: Clips, server):
    answer = client.try_upload(clips.bomb, "clip.mp4")
    assert answer.status == 422
    assert "16000x16000" in answer.error
    assert client.get("/api/videos") == []


def test_half_a_video_is_taken_with_a_warning_or_refused(client: Client, clips: Clips):
    data = clips.three.read_bytes()
    answer = client.try_upload(data[: len(data) // 2], "half.mp4")
    assert answer.status in (201, 415)
    if answer.status == 201:
        assert answer.json["warnings"]


def test_uploads_above_the_limit(client: Client, server):
    before = server.temporary
    declared = client.raw(
        b"POST /api/videos?name=a.mp4 HTTP/1.1\r\nHost: %s\r\nContent-Length: 40000001\r\nConnection: close\r\n\r\nx"
        % ":".join(map(str, client.address)).encode()
    )
    assert declared.startswith(b"HTTP/1.1 413 "), declared[:200]
    chunks = (b"a" * 1_000_000 for _ in range(45))  # no length is declared
    with contextlib.suppress(ConnectionError):  # the server may hang up before all is sent
        assert client.call("POST", "/api/videos?name=a.mp4", chunks).status == 413
    assert server.temporary == before
    assert client.get("/api/videos") == []


def test_a_full_disk_quota(start, clips: Clips):
    one = start("--max-gb", f"{clips.three.stat().st_size * 1.5 / 1e9:.9f}").client
    one.upload(clips.three)
    answer = one.try_upload(clips.three, "again.mp4")
    assert answer.status == 507
    assert answer.error
    one.forget()
    one.upload(clips.three)
