"""What somebody who tried to break the page has found; each of these has broken it once."""

import errno
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI

from actionprompt import files, prediction
from actionprompt.page import schemas, work
from actionprompt.page.instead import instead
from actionprompt.page.models import Shelf
from actionprompt.page.refusals import refusals
from actionprompt.page.videos import Disk
from page.asking import ask
from page.client import Client
from page.clips import Clips

TOLD = {"backbone": {"name": "tiny", "tiny": True, "warning": None}, "model": None}
MANIFEST = {"class_names": ["running", "reading"]}


# Files that are no videos ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", None),
        (b"plan:\r\n\trun\n", "text, and not a video"),
        (b"\xff\xd8\xff\xe0 jpeg", "an image, and not a video"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "an image, and not a video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "sound only, without a video"),
        (b"ID3\3\0\0\0\0\0\0", "sound only, without a video"),
        (b"%PDF-1.7\n\x80", "a PDF document, and not a video"),
        (b"\0\0\0\x08wide", "incomplete: its end is missing, so a recording or a copy of it was cut off"),
        (b"\0\0\0\x08ftyp\0\0\0\x01mdat\0\0\0\0\0\0\0\0", "incomplete: its end is missing, so a recording or a copy"),
        (b"\0\0\0\x08ftyp\0\0\0\x10moov\0\0\0\0\0\0\0\0", None),  # all there: something else is wrong with it
        (b"\x1aE\xdf\xa3\x80\x80", None),
    ],
)
def test_what_is_there_instead_of_a_video(tmp_path: Path, data: bytes, said: str | None):
    (tmp_path / "file").write_bytes(data)
    found = instead(tmp_path / "file")
    assert found is said is None or found.startswith(said)


@pytest.mark.page
def test_half_a_video_is_called_incomplete(client: Client, clips: Clips):
    whole = clips.three.read_bytes()
    answer = client.try_upload(whole[: len(whole) // 2], "half.mp4")
    assert (answer.status, answer.error.partition(":")[2][:11]) == (415, " incomplete")


# Requests -------------------------------------------------------------------------------------------------------------


@pytest.mark.page
@pytest.mark.parametrize("name", ["a\nb\0c", "k" * 50_000])
def test_a_field_of_any_name_is_refused_in_a_short_line(client: Client, name: str):
    answer = client.call("POST", "/api/predict", {"videos": ["0" * 16], "labels": ["running"], name: 1})
    assert answer.status == 422
    assert len(answer.error) < 500
    assert answer.error.isprintable()


@pytest.mark.page
def test_an_upload_whose_client_left_before_the_answer_is_not_kept(client: Client, clips: Clips):
    data = clips.three.read_bytes()
    host, port = client.address
    head = f"POST /api/videos?name=a.mp4 HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(data)}\r\n\r\n"
    for _ in range(10):
        with socket.create_connection(client.address) as connection:
            connection.sendall(head.encode() + data)
    time.sleep(0.2)
    client.upload(clips.clip("running"), "mine.mp4")  # is looked at after all of them
    assert [video["name"] for video in client.get("/api/videos")] == ["mine.mp4"]


def test_a_disk_that_is_full_is_said_with_its_status():
    app = FastAPI(exception_handlers=refusals())

    @app.get("/full")
    async def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    answer = ask(app, path="/full")
    assert (answer.status, answer.error) == (507, "no room on the disk (No space left on device); free some space")


# Things that go while they are used -----------------------------------------------------------------------------------


@pytest.mark.page
def test_a_film_does_not_need_its_timeline_any_more(client: Client, clips: Clips):
    video = client.upload(clips.three)
    timeline = client.work("/api/timeline", {"video": video["id"], "labels": ["running"]})
    films = [client.post(f"/api/jobs/{timeline['id']}/film") for _ in range(2)]
    client.delete(f"/api/jobs/{timeline['id']}")
    assert [client.wait(film)["state"] for film in films] == ["done", "done"]


@pytest.mark.page
def test_a_file_that_has_gone_from_the_disk_is_not_found(client: Client, clips: Clips, server):
    video = client.upload(clips.clip("running"))
    (path,) = (server.folder / "temporary").glob(f"*/videos/{video['id']}/file")
    path.unlink()
    answer = client.call("GET", video["file"])
    assert (answer.status, answer.error) == (404, "this file is no longer there")


def test_a_folder_is_measured_while_files_in_it_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in "ab":
        (tmp_path / name).write_bytes(b"12345")
    really = Path.lstat

    def lstat(path: Path):
        if path.name == "a":
            raise FileNotFoundError(path)
        return really(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    disk = Disk(tmp_path, 1000)
    disk.measure(tmp_path)
    assert disk.used_bytes == 5


# Models ---------------------------------------------------------------------------------------------------------------


def put(folder: Path, name: str, card: dict, manifest: dict) -> None:
    files.write_json(folder / name / "page.json", card)
    files.write_json(folder / name / "model" / "manifest.json", manifest)


def test_a_model_that_cannot_be_told_hides_no_other(tmp_path: Path):
    good = {"name": "mine", "created": "2026-01-01T00:00:00+00:00"}
    for name in "123456":
        (tmp_path / (16 * name) / "model").mkdir(parents=True)
    put(tmp_path, 16 * "1", good, MANIFEST)
    put(tmp_path, 16 * "2", {**good, "name": 1000 * "n"}, MANIFEST)
    put(tmp_path, 16 * "3", good, {"class_names": ["running", 5]})
    (tmp_path / (16 * "4") / "page.json").write_text('{"name": "\\ud800", "created": null}')
    files.write_json(tmp_path / (16 * "4") / "model" / "manifest.json", MANIFEST)
    (tmp_path / (16 * "5") / "page.json").write_text("[" * 100_000)
    (tmp_path / (16 * "6") / "page.json").mkdir()
    listed = Shelf(tmp_path, None, TOLD).listed()
    assert {model.id[0]: len(model.name) for model in listed[1:]} == {"1": 4, "2": 200}
    schemas.Models(backbone=schemas.Backbone(**TOLD["backbone"]), models=listed).model_dump_json()


@pytest.mark.parametrize(("none", "below"), [(None, 0.8), (True, 0.8), (False, None)])
def test_a_taught_model_rejects_nothing_when_asked_not_to(monkeypatch: pytest.MonkeyPatch, none, below):
    monkeypatch.setattr(prediction, "load", lambda *_, **__: SimpleNamespace(none_below=0.8))
    monkeypatch.setattr(work, "_loaded", {})
    task = {"model": "m", "kind": "trained", "labels": None, "none": none, "independent": False}
    assert work._predictor(task).none_below == below


# The process that works -----------------------------------------------------------------------------------------------


class Ended(Exception):
    pass


def test_each_task_is_answered_once_and_when_its_scratch_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = []

    class Desk:
        def next_task(self):
            if said:
                raise Ended
            return {"do": "describe", "folder": str(tmp_path)}

        def say(self, **answer):
            said.append((answer, (tmp_path / "scratch").exists()))

        def tell(self, *_):
            pass

    def warm(_):
        raise ValueError("a fault while nobody waits")

    monkeypatch.setattr(work, "Desk", Desk)
    monkeypatch.setattr(work, "warm", warm)
    monkeypatch.setitem(work.DO, "describe", lambda task, tell: {"scratch": (tmp_path / "scratch").exists()})
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(Ended):
        work.main()
    assert said == [({"done": {"scratch": True, "notices": []}}, False)]
