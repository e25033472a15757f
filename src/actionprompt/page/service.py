"""What the endpoints share: the uploads, the jobs and the models of a server."""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from actionprompt.clips import listed
from actionprompt.page import schemas
from actionprompt.page.jobs import Jobs, Work
from actionprompt.page.models import Shelf
from actionprompt.page.process import Bounds, Failed, Worker
from actionprompt.page.settings import Settings
from actionprompt.page.videos import Disk, Upload

PROBE_S = 120.0
"""Within which an upload has to say what it is."""
CHUNK = 1 << 20
"""Bytes of an upload that are written at once."""


class Service:
    """What the endpoints share."""

    def __init__(self, settings: Settings, root: Path, disk: Disk, jobs: Jobs, shelf: Shelf, memory: int) -> None:
        self.settings, self.root, self.disk, self.jobs, self.shelf = settings, root, disk, jobs, shelf
        self.uploads: dict[str, Upload] = {}
        self.prober = Worker()
        self.probing = asyncio.Lock()
        self.probe_bounds = Bounds(PROBE_S, memory)

    def upload(self, video: str) -> Upload:
        if video not in self.uploads:
            raise HTTPException(404, f"there is no video {video}; upload it, or see GET /api/videos")
        return self.uploads[video]

    def work(self, job: str) -> Work:
        if job not in self.jobs.works:
            raise HTTPException(404, f"there is no job {job}; it may have been deleted, see GET /api/jobs")
        return self.jobs.works[job]

    def model(self, model: str) -> schemas.Model:
        found = self.shelf.find(model)
        if found is None:
            raise HTTPException(404, f"there is no model {model}; see GET /api/models")
        return found

    def job(self, work: Work) -> schemas.Job:
        return schemas.Job(
            id=work.id, kind=work.kind, state=work.state, place=self.jobs.place(work), progress=work.progress,
            error=work.error, title=work.title, created=work.created, seconds=work.seconds, videos=list(work.videos),
            of=work.of, request=work.request,
            files={suffix: f"/api/jobs/{work.id}/result.{suffix}" for suffix in work.suffixes},
            notices=list(work.notices),
        )  # fmt: skip

    def add(self, kind: schemas.Kind, title: str, task: dict[str, Any], videos: list[str], **more: Any) -> schemas.Job:
        """Queue a job on these videos, of which each is named to `work` as its user calls it."""
        uploads = [self.upload(video) for video in videos]
        named = {str(upload.path): upload.video.name for upload in uploads}
        # the clips of a taught model are called by their path below the folder that all share
        named |= {f"{upload.folder.name}/{upload.path.name}": upload.video.name for upload in uploads}
        ids = {str(upload.path): upload.video.id for upload in uploads}
        task = {"do": kind, "named": named, "ids": ids, "backbone": self.settings.backbone, **task}
        work = Work(kind, title, task, self.root, tuple(videos), **more)
        return self.job(self.jobs.add(work))

    def asked(self, request: schemas.Asked) -> dict[str, Any]:
        """The part of a task that says which model is asked for what."""
        model = self.model(request.model)
        labels = list(request.labels or ())
        if labels:
            try:
                listed(labels)
            except ValueError as error:
                raise HTTPException(422, f"labels: {error}") from None
            if labels == model.labels:
                labels = []  # it keeps its rejection threshold
            elif not model.takes_labels:
                raise HTTPException(422, f"labels: {model.name} tells its own labels apart and takes no others")
        return {
            "model": model.folder,
            "kind": model.kind,
            "labels": labels,
            "none": request.none,
            "independent": request.independent,
        }


async def receive(request: Request, path: Path, service: Service) -> int:
    """Write the body to the disk as it comes; the number of its bytes."""
    num_bytes, waiting, folder = 0, bytearray(), path.parent
    with path.open("wb") as file:
        async for part in request.stream():
            waiting += part
            num_bytes += len(part)
            if len(waiting) >= CHUNK:
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
                service.disk.taken[folder] = num_bytes
                service.disk.check()
        file.write(waiting)
    service.disk.taken[folder] = num_bytes
    service.disk.check()
    return num_bytes


async def probe(folder: Path, name: str, service: Service) -> dict[str, Any]:
    """What an upload is, by opening it in a process of its own."""
    path = folder / "file"
    task = {
        "do": "probe", "path": str(path), "thumbnail": str(folder / "thumbnail.jpg"), "folder": str(folder),
        "named": {str(path): name},
    }  # fmt: skip
    try:
        async with service.probing:
            return await service.prober.do(task, service.probe_bounds)
    except Failed as error:
        raise HTTPException(422 if error.limit else 415, str(error)) from None
