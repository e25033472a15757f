"""The endpoints."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect

from actionprompt import __version__, files
from actionprompt.clips import listed
from actionprompt.page import reference, schemas
from actionprompt.page.jobs import FINAL, Work
from actionprompt.page.refusals import ERRORS, TOO_MANY
from actionprompt.page.service import Service, probe, receive
from actionprompt.page.videos import Upload, new_id

STATIC = Path(__file__).parent / "static"
BEAT_S = 15.0
"""A silent stream of events says this often that it is alive."""
MOST_VIDEOS = 2000
MEDIA_TYPES = {
    "json": "application/json", "csv": "text/csv; charset=utf-8", "vtt": "text/vtt; charset=utf-8",
    "png": "image/png", "mp4": "video/mp4",
}  # fmt: skip


def router(service: Service, openapi: Callable[[], dict[str, Any]]) -> APIRouter:
    """All endpoints of a server."""
    routes = APIRouter(responses={422: TOO_MANY[422]})
    _pages(routes, service, openapi)
    for add in (_models, _videos, _asking, _jobs):
        add(routes, service)
    return routes


def _pages(routes: APIRouter, service: Service, openapi: Callable[[], dict[str, Any]]) -> None:
    @routes.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @routes.get("/favicon.ico", include_in_schema=False)
    async def icon() -> RedirectResponse:
        return RedirectResponse("/static/icon.svg")

    @routes.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(reference.page(openapi()))

    @routes.get("/api/server", tags=["server"])
    async def server() -> schemas.Server:
        """What the server takes."""
        settings = service.settings
        return schemas.Server(
            program=f"actionprompt {__version__}",
            max_bytes=settings.max_bytes,
            quota_bytes=settings.quota_bytes,
            used_bytes=service.disk.used_bytes,
            max_queue=settings.max_queue,
            max_labels=schemas.MAX_LABELS,
        )


def _models(routes: APIRouter, service: Service) -> None:
    @routes.get("/api/models", tags=["models"])
    def models() -> schemas.Models:
        """What can recognise actions: the frozen backbone, the model given at the start, and the taught ones."""
        return schemas.Models(backbone=service.shelf.backbone, models=service.shelf.listed())

    @routes.delete("/api/models/{model}", status_code=204, tags=["models"], responses=ERRORS)
    def delete_model(model: schemas.ModelId) -> None:
        """Delete a taught model from the disk."""
        found = service.model(model)
        if found.kind != "taught":
            raise HTTPException(403, f"{found.name} was not taught on this page, so it cannot be deleted here")
        if any(
            work.state not in FINAL and model in (work.request.get("model"), work.request.get("add_to"))
            for work in service.jobs.works.values()
        ):
            raise HTTPException(409, f"a job uses {found.name}; wait for it, or cancel it")
        service.shelf.delete(model)


def _videos(routes: APIRouter, service: Service) -> None:
    body = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    answers: dict[int | str, dict[str, Any]] = {
        400: {"model": schemas.Error, "description": "A name that is empty, or a path."},
        413: {"model": schemas.Error, "description": "Larger than the server takes."},
        415: {"model": schemas.Error, "description": "Not a video that can be read; the reason is given."},
        422: {"model": schemas.Error, "description": "A video beyond the limits, such as frames of too many pixels."},
        507: TOO_MANY[507],
    }

    @routes.post(
        "/api/videos", status_code=201, tags=["videos"], responses=answers,
        openapi_extra={"requestBody": {"required": True, **body}},
    )  # fmt: skip
    async def post_video(
        request: Request, name: str = Query(max_length=1000, description="What the file is called.")
    ) -> schemas.Video:
        """Upload a video: the body is the file and nothing else. Its content decides what it is, not its name."""
        if not name.strip() or any(char in "/\\" or char < " " for char in name):
            raise HTTPException(400, f"name: expected a file's name, without a path or line ends, got {name[:100]!r}")
        if len(service.uploads) >= MOST_VIDEOS:
            raise HTTPException(507, f"there are {MOST_VIDEOS} videos already; delete some")
        service.disk.check()
        upload_id = new_id()
        folder = service.root / "videos" / upload_id
        folder.mkdir(parents=True)
        try:
            num_bytes = await receive(request, folder / "file", service)
            gone = asyncio.ensure_future(request.receive())  # after the body, all that can come is that the client went
            try:
                found = await probe(folder, name, service)
            finally:
                gone.cancel()
            if gone.done() and gone.result()["type"] == "http.disconnect":  # nobody would ever learn its id
                raise ClientDisconnect
        except BaseException:
            files.delete(folder)
            service.disk.measure(folder)
            raise
        service.disk.measure(folder)
        url = f"/api/videos/{upload_id}"
        media_type = found.pop("media_type")
        found["warnings"] += found.pop("notices")
        video = schemas.Video(
            id=upload_id, name=name, bytes=num_bytes, file=f"{url}/file", preview=None, thumbnail=f"{url}/thumbnail",
            **found,
        )  # fmt: skip
        service.uploads[upload_id] = Upload(video, folder, media_type)
        return video

    @routes.get("/api/videos", tags=["videos"])
    async def get_videos() -> list[schemas.Video]:
        """All uploads."""
        return [upload.video for upload in service.uploads.values()]

    @routes.get("/api/videos/{video}", tags=["videos"], responses=ERRORS)
    async def get_video(video: schemas.Id) -> schemas.Video:
        """One upload."""
        return service.upload(video).video

    @routes.delete("/api/videos/{video}", status_code=204, tags=["videos"], responses=ERRORS)
    async def delete_video(video: schemas.Id) -> None:
        """Delete an upload; results that were made from it stay."""
        upload = service.upload(video)
        if service.jobs.using(video):
            raise HTTPException(409, f"a job uses {upload.video.name}; wait for it, or cancel it")
        del service.uploads[video]
        files.delete(upload.folder)
        service.disk.measure(upload.folder)

    @routes.get("/api/videos/{video}/file", tags=["videos"], responses=ERRORS, response_class=FileResponse)
    async def get_file(video: schemas.Id) -> FileResponse:
        """The file as it came; parts of it by `Range`."""
        upload = service.upload(video)
        return _file(upload.path, upload.media_type, upload.video.name)

    @routes.get("/api/videos/{video}/thumbnail", tags=["videos"], responses=ERRORS, response_class=FileResponse)
    async def get_thumbnail(video: schemas.Id) -> FileResponse:
        """Its first frame, as JPEG."""
        return _file(service.upload(video).thumbnail, "image/jpeg", None)

    @routes.get("/api/videos/{video}/preview", tags=["videos"], responses=ERRORS, response_class=FileResponse)
    async def get_preview(video: schemas.Id) -> FileResponse:
        """The preview, once it was made."""
        upload = service.upload(video)
        if not upload.preview.is_file():
            raise HTTPException(404, f"there is no preview of {upload.video.name} yet; POST to this address makes it")
        return _file(upload.preview, "video/mp4", None)

    @routes.post("/api/videos/{video}/preview", status_code=202, tags=["videos"], responses=ERRORS | TOO_MANY)
    async def post_preview(video: schemas.Id) -> schemas.Job:
        """Make an H.264 preview of a video that browsers do not play, with the same times."""
        upload = service.upload(video)
        for work in service.jobs.works.values():
            if work.kind == "preview" and work.videos == (video,) and work.state not in FINAL:
                return service.job(work)  # two tabs ask for the same

        def done(work: Work) -> None:
            (work.folder / "preview.mp4").replace(upload.preview)
            upload.video.preview = f"/api/videos/{video}/preview"
            service.disk.measure(upload.folder)

        return service.add(
            "preview", f"preview of {upload.video.name}", {"path": str(upload.path)}, [video], request={}, done=done
        )


def _asking(routes: APIRouter, service: Service) -> None:
    responses = ERRORS | TOO_MANY

    @routes.post("/api/predict", status_code=202, tags=["jobs"], responses=responses)
    async def predict(request: schemas.PredictRequest) -> schemas.Job:
        """Recognise whole clips."""
        videos = list(dict.fromkeys(request.videos))
        uploads = [service.upload(video) for video in videos]
        more = f" and {len(uploads) - 1} more" if len(uploads) > 1 else ""
        task = {**service.asked(request), "paths": [str(upload.path) for upload in uploads], "top": request.top}
        return service.add(
            "predict", f"{uploads[0].video.name}{more}", task, videos, request=request.model_dump(mode="json")
        )

    @routes.post("/api/timeline", status_code=202, tags=["jobs"], responses=responses)
    async def timeline(request: schemas.TimelineRequest) -> schemas.Job:
        """Say what happens when in a video."""
        upload = service.upload(request.video)
        how = request.model_dump(include={"window_s", "hop_s", "smooth"})
        task = {**service.asked(request), **how, "path": str(upload.path)}
        return service.add(
            "timeline", upload.video.name, task, [request.video], request=request.model_dump(mode="json")
        )

    @routes.post("/api/teach", status_code=202, tags=["jobs"], responses=responses)
    async def teach(request: schemas.TeachRequest) -> schemas.Job:
        """Learn actions from clips; the model is then in `GET /api/models`."""
        add_to = service.model(request.add_to) if request.add_to is not None else None
        if add_to is not None and add_to.kind != "taught":
            raise HTTPException(422, f"add_to: expected a taught model, got {add_to.name}")
        names = [group.name for group in request.classes]
        try:
            listed(names)
        except ValueError as error:
            raise HTTPException(422, f"classes: {error}") from None
        if len(names) < 2 and add_to is None:
            raise HTTPException(422, f"classes: expected at least two to tell apart, got {len(names)}")
        classes = [
            {
                "name": group.name,
                "clips": [{"path": str(service.upload(clip.video).path), "span": _span(clip)} for clip in group.clips],
            }
            for group in request.classes
        ]
        videos = list(dict.fromkeys(clip.video for group in request.classes for clip in group.clips))
        model_id = new_id()
        task = {
            "out": str(service.shelf.place(model_id)),
            "model_id": model_id,
            "name": request.name,
            "classes": classes,
            "background": request.background,
            "add_to": add_to.folder if add_to is not None else None,
        }
        return service.add(
            "teach", request.name, task, videos, request=request.model_dump(mode="json"),
            done=lambda work: service.shelf.add(model_id, request.name),
            undone=lambda work: service.shelf.delete(model_id),
        )  # fmt: skip


def _span(clip: schemas.Example) -> list[float] | None:
    return None if clip.start_s is None or clip.end_s is None else [clip.start_s, clip.end_s]


def _jobs(routes: APIRouter, service: Service) -> None:
    @routes.get("/api/jobs", tags=["jobs"])
    async def get_jobs() -> list[schemas.Job]:
        """All jobs that are not deleted, the newest first."""
        return [service.job(work) for work in reversed(service.jobs.works.values())]

    @routes.get("/api/jobs/{job}", tags=["jobs"], responses=ERRORS)
    async def get_job(job: schemas.Id) -> schemas.Job:
        """One job."""
        return service.job(service.work(job))

    @routes.get("/api/jobs/{job}/events", tags=["jobs"], responses=ERRORS, response_class=StreamingResponse)
    async def get_events(job: schemas.Id) -> StreamingResponse:
        """The job at once and at every change, as server-sent events; the stream ends when the job has ended."""
        return StreamingResponse(_events(service, service.work(job)), media_type="text/event-stream")

    @routes.delete(
        "/api/jobs/{job}", tags=["jobs"], response_model=None,
        responses=ERRORS | {202: {"model": schemas.Job, "description": "It was cancelled."},
                            204: {"description": "It had ended; it and its files are gone."}},
    )  # fmt: skip
    async def delete_job(job: schemas.Id) -> Response:
        """Cancel a job that waits or runs; delete one that has ended, with its files."""
        work = service.work(job)
        if work.state in FINAL:
            service.jobs.delete(work)
            return Response(status_code=204)
        await service.jobs.cancel(work)
        return Response(service.job(work).model_dump_json(), status_code=202, media_type="application/json")

    @routes.get("/api/jobs/{job}/result.{suffix}", tags=["jobs"], responses=ERRORS, response_class=FileResponse)
    async def get_result(job: schemas.Id, suffix: str) -> FileResponse:
        """A result, in one of the formats that the job names in `files`."""
        work = service.work(job)
        if suffix not in work.suffixes:
            there = ", ".join(work.suffixes) or "none"
            raise HTTPException(404, f"this job has no result as {suffix[:20]}; there is: {there}")
        stem = Path(work.title).stem or "result"
        path, name = work.folder / f"result.{suffix}", f"{stem}.{work.kind}.{suffix}"
        return _file(path, MEDIA_TYPES[suffix], name, "attachment")

    @routes.post("/api/jobs/{job}/film", status_code=202, tags=["jobs"], responses=ERRORS | TOO_MANY)
    async def post_film(job: schemas.Id) -> schemas.Job:
        """Draw label, score and a running timeline into the video of a timeline, as mp4."""
        work = service.work(job)
        if work.kind != "timeline" or work.state != "done":
            raise HTTPException(409, f"expected a timeline that is done, got a {work.kind} that is {work.state}")
        upload = service.upload(work.videos[0])
        task = {"timeline": "timeline.json", "path": str(upload.path)}  # in the folder of the film
        made = service.add("film", work.title, task, list(work.videos), request={}, of=work.id)
        # a copy: the timeline may be deleted while the film waits
        shutil.copyfile(work.folder / "result.json", service.work(made.id).folder / task["timeline"])
        return made


async def _events(service: Service, work: Work) -> AsyncIterator[str]:
    states = service.jobs.watch(work)
    waiting = asyncio.ensure_future(anext(states))
    try:
        while True:
            ready, _ = await asyncio.wait({waiting}, timeout=BEAT_S)
            if not ready:
                yield ": still there\n\n"
                continue
            try:
                waiting.result()
            except StopAsyncIteration:
                return
            yield f"event: job\ndata: {service.job(work).model_dump_json()}\n\n"
            waiting = asyncio.ensure_future(anext(states))
    finally:
        waiting.cancel()


def _file(path: Path, media_type: str, name: str | None, kind: str = "inline") -> FileResponse:
    """A file, which no browser takes for a page; `name` is what it is called when it is saved."""
    headers = {}
    if not path.is_file():  # deleted a moment ago, here or by the system
        raise HTTPException(404, "this file is no longer there")
    if name is not None:
        clean = "".join(char if char.isprintable() and char not in '/\\"' else "_" for char in name)[:150]
        headers["content-disposition"] = f"{kind}; filename*=UTF-8''{quote(clean, safe='')}"
    return FileResponse(path, media_type=media_type, headers=headers)
