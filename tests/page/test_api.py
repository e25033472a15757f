"""The whole way by HTTP alone, as a program would go it: upload, ask, wait, fetch, delete."""

import csv
import io
import re
import shutil
from pathlib import Path

import av
import pytest
from PIL import Image

from page.client import FINAL, Client
from page.clips import LABELS, Clips

pytestmark = pytest.mark.page
THREE = list(LABELS[:3])
ENDPOINTS = {
    "/api/server": {"get"},
    "/api/models": {"get"},
    "/api/models/{id}": {"delete"},
    "/api/videos": {"get", "post"},
    "/api/videos/{id}": {"get", "delete"},
    "/api/videos/{id}/file": {"get"},
    "/api/videos/{id}/preview": {"get", "post"},
    "/api/videos/{id}/thumbnail": {"get"},
    "/api/predict": {"post"},
    "/api/timeline": {"post"},
    "/api/teach": {"post"},
    "/api/jobs": {"get"},
    "/api/jobs/{id}": {"get", "delete"},
    "/api/jobs/{id}/film": {"post"},
    "/api/jobs/{id}/events": {"get"},
    "/api/jobs/{id}/result.{format}": {"get"},
}


def length_s(data: bytes) -> float:
    """Of a video: from its first frame to the end of its last one."""
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.time for frame in container.decode(video=0)]
    return frames[-1] - frames[0] + (frames[-1] - frames[0]) / (len(frames) - 1)


def test_the_schema_names_every_endpoint(client: Client):
    paths = client.get("/openapi.json")["paths"]
    found = {re.sub(r"{\w+}", "{}", path): {*methods} for path, methods in paths.items() if path.startswith("/api")}
    assert found == {re.sub(r"{\w+}", "{}", path): methods for path, methods in ENDPOINTS.items()}


def test_the_page_and_its_reference_need_nothing_from_elsewhere(client: Client):
    for path in ("/", "/docs"):
        answer = client.call("GET", path)
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy or "default-src 'self'" in policy
        html = answer.data.decode()
        assert not re.findall(r"<script(?![^>]*\ssrc=)|\sstyle=|<style|\son\w+=|https?://(?!127\.0\.0\.1)", html)
        for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', html):
            assert client.call("GET", asset).status == 200, asset


def test_the_server_says_what_it_takes_and_what_it_sees_with(client: Client):
    server = client.get("/api/server")
    assert server["max_bytes"] == 40_000_000
    assert server["max_queue"] == 4
    assert server["program"].startswith("actionprompt ")
    offered = client.get("/api/models")
    assert offered["backbone"]["tiny"] is True
    assert "drawings" in offered["backbone"]["warning"]
    assert [(one["id"], one["takes_labels"]) for one in offered["models"]] == [("zero-shot", True)]


def test_a_video_is_stored_described_sent_and_deleted(client: Client, clips: Clips):
    path = clips.three
    used = client.get("/api/server")["used_bytes"]
    video = client.upload(path)
    assert video["name"] == "three.mp4"
    assert (video["bytes"], video["width_px"], video["height_px"]) == (path.stat().st_size, 112, 112)
    assert (video["duration_s"], video["fps"]) == (pytest.approx(12, abs=0.1), pytest.approx(20))
    assert (video["codec"], video["playable"], video["preview"]) == ("h264", True, None)
    assert client.get(f"/api/videos/{video['id']}") == video
    assert client.get("/api/videos") == [video]
    assert client.get("/api/server")["used_bytes"] >= used + video["bytes"]
    assert client.call("GET", video["file"]).data == path.read_bytes()
    thumbnail = client.call("GET", video["thumbnail"])
    assert thumbnail.headers.get_content_type() == "image/jpeg"
    assert min(Image.open(io.BytesIO(thumbnail.data)).size) >= 32
    client.delete(f"/api/videos/{video['id']}")
    for gone in (f"/api/videos/{video['id']}", video["file"], video["thumbnail"]):
        assert client.call("GET", gone).status == 404
    assert client.get("/api/videos") == []
    assert client.get("/api/server")["used_bytes"] == used


def test_parts_of_a_file_are_sent_as_players_ask_for_them(client: Client, clips: Clips):
    data, video = clips.three.read_bytes(), client.upload(clips.three)
    for asked, start, end in (("0-99", 0, 100), ("1000-", 1000, len(data)), ("-500", len(data) - 500, len(data))):
        part = client.call("GET", video["file"], headers={"Range": f"bytes={asked}"})
        assert part.status == 206
        assert part.data == data[start:end]
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
        assert part.headers["Accept-Ranges"] == "bytes"
    beyond = client.call("GET", video["file"], headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status == 416


def test_clips_are_recognised(client: Client, clips: Clips):
    videos = {client.upload(clips.clip(label))["id"]: label for label in THREE}
    job = client.work("/api/predict", {"videos": [*videos], "labels": THREE, "top": 2})
    assert (job["kind"], job["videos"]) == ("predict", [*videos])
    assert {"json", "csv"} <= job["files"].keys()
    result = client.result(job)
    assert result["about"]["labels"] == THREE
    assert any("drawings" in line for line in result["warnings"])
    assert result["unreadable"] == []
    assert [one["video"] for one in result["predictions"]] == [*videos]
    for one in result["predictions"]:
        assert one["labels"][0] == videos[one["video"]]
        assert len(one["labels"]) == len(one["scores"]) == 2
        assert 1 >= one["scores"][0] >= one["scores"][1] >= 0
        assert one["none_of_these"] is False
    rows = [*csv.DictReader(io.StringIO(client.call("GET", job["files"]["csv"]).data.decode()))]
    assert len(rows) >= 3
    assert {clips.clip(label).name for label in THREE} <= {value for row in rows for value in row.values()}


def test_a_timeline_says_what_happens_when(client: Client, clips: Clips):
    video = client.upload(clips.three, "a day.mp4")
    job = client.work("/api/timeline", {"video": video["id"], "labels": THREE})
    result = client.result(job)
    assert (result["video"], result["name"], result["labels"]) == (video["id"], "a day.mp4", THREE)
    segments = result["segments"]
    assert [one["label"] for one in segments] == THREE
    assert (segments[0]["start_s"], segments[-1]["end_s"]) == (0, pytest.approx(12, abs=0.1))
    assert [one["end_s"] for one in segments[:-1]] == [one["start_s"] for one in segments[1:]]
    assert [one["end_s"] for one in segments[:-1]] == pytest.approx([4, 8], abs=0.5)
    assert all(len(one["scores"]) == 3 for one in result["windows"])
    assert len(result["windows"]) >= 12 / 0.5 - 4
    files = {name: client.call("GET", job["files"][name]) for name in ("csv", "vtt", "png")}
    for name, answer in files.items():
        assert answer.status == 200
        assert re.search(rf"^attachment; filename\*=UTF-8''a%20day\S*\.{name}$", answer.headers["Content-Disposition"])
    rows = [*csv.DictReader(io.StringIO(files["csv"].data.decode()))]
    assert [row["label"] for row in rows] == THREE
    captions = files["vtt"].data.decode()
    assert captions.startswith("WEBVTT\n")
    assert len(re.findall(r"^[\d:.]+ --> [\d:.]+", captions, re.MULTILINE)) >= 3
    assert Image.open(io.BytesIO(files["png"].data)).format == "PNG"


def test_labels_of_their_own_may_be_true_at_once_or_not_at_all(client: Client, clips: Clips):
    video = client.upload(clips.three)
    job = client.work("/api/timeline", {"video": video["id"], "labels": THREE[:1], "independent": True})
    segments = client.result(job)["segments"]
    assert {one["label"] for one in segments} == {THREE[0]}
    assert all(one["end_s"] < 6 for one in segments), segments


def test_a_film_of_a_timeline(client: Client, clips: Clips):
    video = client.upload(clips.three)
    timeline = client.work("/api/timeline", {"video": video["id"], "labels": THREE})
    film = client.work(f"/api/jobs/{timeline['id']}/film")
    assert (film["kind"], film["of"], film["videos"]) == ("film", timeline["id"], [video["id"]])
    answer = client.call("GET", film["files"]["mp4"])
    assert length_s(answer.data) == pytest.approx(12, abs=0.1)
    part = client.call("GET", film["files"]["mp4"], headers={"Range": "bytes=0-9"})
    assert (part.status, part.data) == (206, answer.data[:10])


def test_what_browsers_do_not_play_gets_a_preview_of_the_same_length(client: Client, clips: Clips):
    video = client.upload(clips.avi)
    assert (video["codec"], video["playable"], video["preview"]) == ("mpeg4", False, None)
    url = f"/api/videos/{video['id']}/preview"
    assert client.call("GET", url).status == 404
    job = client.work(url)
    assert (job["kind"], job["videos"]) == ("preview", [video["id"]])
    assert client.get(f"/api/videos/{video['id']}")["preview"] == url
    data = client.call("GET", url).data
    assert length_s(data) == pytest.approx(video["duration_s"], abs=0.1)
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    assert client.call("GET", url, headers={"Range": "bytes=5-"}).data == data[5:]


def test_two_classes_are_taught_used_extended_and_forgotten(client: Client, clips: Clips):
    one, two = LABELS[1], LABELS[3]
    ids = {(label, n): client.upload(clips.clip(label, n))["id"] for label in (one, two) for n in range(4)}
    classes = [{"name": label, "clips": [{"video": ids[label, n]} for n in range(3)]} for label in (one, two)]
    job = client.work("/api/teach", {"name": "Two things", "classes": classes})
    result = client.result(job)
    assert result["num_clips"] == {one: 3, two: 3}
    offered = {model["id"]: model for model in client.get("/api/models")["models"]}
    model = offered[result["model"]]
    assert (model["name"], model["kind"], model["labels"]) == ("Two things", "taught", [one, two])
    tried = [ids[one, 3], ids[two, 3]]
    for asked in ({"labels": None}, {"labels": []}):
        answer = client.result(client.work("/api/predict", {"videos": tried, "model": model["id"], **asked}))
        assert [found["labels"][0] for found in answer["predictions"]] == [one, two]
    spans = {"name": "handstand", "clips": [{"video": client.upload(clips.three)["id"], "start_s": 0, "end_s": 3.5}]}
    more = client.result(client.work("/api/teach", {"name": "Three things", "classes": [spans], "add_to": model["id"]}))
    assert more["num_clips"] == {one: 3, two: 3, "handstand": 1}
    assert more["model"] != model["id"]
    client.delete(f"/api/models/{model['id']}")
    left = {found["id"] for found in client.get("/api/models")["models"]}
    assert left == {"zero-shot", more["model"]}
    assert client.call("POST", "/api/predict", {"videos": tried, "model": model["id"]}).status == 404


def test_a_model_that_knows_its_labels_alone_refuses_others(client: Client, clips: Clips):
    classes = [{"name": label, "clips": [{"video": client.upload(clips.clip(label))["id"]}]} for label in THREE]
    taught = client.result(client.work("/api/teach", {"name": "one clip each", "classes": classes}))
    model = next(one for one in client.get("/api/models")["models"] if one["id"] == taught["model"])
    asked = {"videos": [client.upload(clips.clip("running"))["id"]], "model": model["id"]}
    other = client.call("POST", "/api/predict", {**asked, "labels": ["running", "sleeping"]})
    if model["takes_labels"]:
        assert client.wait(other.json)["state"] == "done"
    else:
        assert other.status == 422
        assert "one clip each" in other.error
    assert client.result(client.work("/api/predict", {**asked, "labels": THREE}))["about"]["labels"] == THREE


def test_events_tell_a_job_from_the_start_to_its_end(client: Client, clips: Clips):
    video = client.upload(clips.three)
    job = client.post("/api/timeline", {"video": video["id"], "labels": THREE, "hop_s": 0.05})
    told = [*client.events(job)]
    assert {one["id"] for one in told} == {job["id"]}
    states = [one["state"] for one in told]
    assert sorted(states, key=["waiting", "running", *FINAL].index) == states
    assert states[-1] == "done"
    assert told[-1] == client.get(f"/api/jobs/{job['id']}")
    for one in told:
        assert (one["place"] is None) == (one["state"] != "waiting")
        if one["progress"]:
            assert 0 <= one["progress"]["done"] <= one["progress"]["total"]
    assert any(one["progress"] for one in told)
    assert [*client.events(job)] == told[-1:]


def test_jobs_wait_in_line_are_refused_beyond_it_and_answered_once(client: Client, clips: Clips):
    video = client.upload(clips.minutes)["id"]
    slow = {"video": video, "labels": THREE, "hop_s": 0.05}
    first = client.wait(client.post("/api/timeline", slow), "running")
    quick = {"videos": [client.upload(clips.clip(THREE[0]))["id"]], "labels": THREE}
    waiting = [client.post("/api/predict", quick) for _ in range(4)]
    assert [client.get(f"/api/jobs/{one['id']}")["place"] for one in waiting] == [1, 2, 3, 4]
    full = client.call("POST", "/api/timeline", slow)
    assert full.status == 429
    assert int(full.headers["Retry-After"]) >= 1
    assert full.error
    assert [one["id"] for one in client.get("/api/jobs")] == [one["id"] for one in (*waiting[::-1], first)]
    assert client.call("DELETE", f"/api/videos/{video}").status == 409
    client.delete(f"/api/jobs/{waiting[0]['id']}", 202)
    assert client.wait(waiting[0])["state"] == "cancelled"
    assert [client.get(f"/api/jobs/{one['id']}")["place"] for one in waiting[1:]] == [1, 2, 3]
    client.delete(f"/api/jobs/{first['id']}", 202)
    assert client.wait(first, timeout_s=5)["state"] == "cancelled"
    assert [client.wait(one)["state"] for one in waiting[1:]] == ["done"] * 3


def test_the_python_of_the_documentation_runs(client: Client, clips: Clips, tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[2] / "docs" / "tutorials" / "page.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert "http://127.0.0.1:7860" in code
    shutil.copy(clips.three, tmp_path / "match.mp4")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("http://127.0.0.1:7860", client.url), {})
    rows = [*csv.DictReader(io.StringIO(capsys.readouterr().out.strip()))]
    assert rows[0].keys() == {"start_s", "end_s", "label", "score"}


def test_a_finished_job_is_deleted_with_its_files(client: Client, clips: Clips, server):
    video = client.upload(clips.clip(THREE[0]))
    before = server.temporary
    job = client.work("/api/timeline", {"video": video["id"], "labels": THREE})
    assert {*server.temporary} > {*before}
    client.delete(f"/api/jobs/{job['id']}")
    for gone in (f"/api/jobs/{job['id']}", f"/api/jobs/{job['id']}/events", *job["files"].values()):
        assert client.call("GET", gone).status == 404
    assert server.temporary == before
