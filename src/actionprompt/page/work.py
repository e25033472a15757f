"""What the server's processes do: `python -m actionprompt.page.work` reads a task a line, and answers in lines.

Tasks and answers are JSON. What a task needs is imported with it, so that looking at a file costs no torch.
"""

import dataclasses
import gc
import json
import os
import shutil
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from actionprompt import errors, files
from actionprompt.video import VideoDecodeError

MOST_LETTERS = 2000
"""Of a reason; an answer has to fit in a line of `process.MOST_LINE`."""
THUMBNAIL_PX = 320
PREVIEW_LINES = 720
"""Of the short side of a preview at most."""
Task = dict[str, Any]
Answer = dict[str, Any]
Tell = Callable[[int, int, str], None]
"""Called with (done, total, of what)."""


class Cancelled(Exception):
    """The server has cancelled the task."""


class Desk:
    """Takes tasks from the server and answers."""

    def __init__(self) -> None:
        # libraries may print: what they say goes to stderr, and stdout belongs to the answers
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        # stdin is read without Python's buffer, whose lock a forked process would wait for when it ends
        self._in = os.dup(0)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        self._cancel = threading.Event()
        self._ready = threading.Condition()
        self._tasks: list[dict[str, Any]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """In a thread: a cancel is heard while a task is done, and the end of the server ends this process."""
        waiting = b""
        while part := os.read(self._in, 1 << 16):
            *lines, waiting = (waiting + part).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        os._exit(0)

    def _take(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            self._cancel.set()
            return
        with self._ready:
            self._cancel.clear()
            self._tasks.append(message["task"])
            self._ready.notify()

    def next_task(self) -> dict[str, Any]:
        """Waits for it."""
        with self._ready:
            self._ready.wait_for(lambda: self._tasks)
            return self._tasks.pop(0)

    def say(self, **answer: Any) -> None:
        """A line to the server."""
        self._out.write(json.dumps(answer) + "\n")
        self._out.flush()

    def tell(self, done: int, total: int, what: str) -> None:
        """Progress of the task; raises `Cancelled` if the server wants no more."""
        if self._cancel.is_set():
            raise Cancelled
        self.say(progress={"what": what, "done": int(done), "total": int(total)})


def main() -> None:
    """Does tasks until the server ends."""
    desk = Desk()
    while True:
        task = desk.next_task()
        scratch = Path(task["folder"]) / "scratch"
        try:
            said = answered(task, desk.tell, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)  # before the answer: the folder is measured, or deleted, then
        desk.say(**said)
        if task["do"] == "describe" and "done" in said:
            try:
                warm(task)
            except Exception:  # an answer now would be taken for that to the next task, which meets the fault itself
                traceback.print_exc()


def answered(task: Task, tell: Tell, scratch: Path) -> Answer:
    """Does a task, with `scratch` for temporary files: what is said of it."""
    named = task.get("named", {})
    try:
        scratch.mkdir(exist_ok=True)
        tempfile.tempdir = str(scratch)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", files.Notice)
            answer = DO[task["do"]](task, tell)
        notices = [str(w.message) for w in said if issubclass(w.category, files.Notice)]
        for other in said:
            if not issubclass(other.category, files.Notice):  # of libraries: to the terminal, as usual
                warnings.showwarning(other.message, other.category, other.filename, other.lineno)
        return {"done": renamed({**answer, "notices": notices}, named)}
    except Cancelled:
        return {"cancelled": True}
    except Exception as error:
        text = errors.of_a_user(error)
        if text is None:
            traceback.print_exc()
            text = f"a fault of the program ({type(error).__name__}: {error}); its traceback is in the terminal"
        reason = renamed(" ".join(text.split()), named)[:MOST_LETTERS]
        return {"failed": reason, "limit": isinstance(error, VideoDecodeError) and _is_limit(error)}


def _is_limit(error: VideoDecodeError) -> bool:
    """Whether a video wanted more than `video.Limits`; by its words, since a stream notes them as damage."""
    return "exceeds the limit" in error.reason


def renamed(value: Any, named: Mapping[str, str]) -> Any:
    """A value in whose texts the paths of uploads are the names that the user knows."""
    if isinstance(value, str):
        for place, name in named.items():
            value = value.replace(place, name)
        return value
    if isinstance(value, list | tuple):
        return [renamed(item, named) for item in value]
    return {key: renamed(item, named) for key, item in value.items()} if isinstance(value, dict) else value


# Files ----------------------------------------------------------------------------------------------------------------


def probe(task: Task, tell: Tell) -> Answer:
    """What an upload is, and a JPEG of its first frame. Only packets are read up to the end, so it is quick."""
    from PIL import Image

    from actionprompt import video
    from actionprompt.page.instead import instead
    from actionprompt.video.browsers import playing

    try:
        stream = video.Stream(task["path"])
    except VideoDecodeError as error:
        if not _is_limit(error) and (what := instead(Path(task["path"]))) is not None:
            raise VideoDecodeError(task["path"], what) from None
        raise
    found, damage = playing(task["path"]), list(stream.damage)
    with closing(stream.frames()) as frames:
        _, pixels = next(frames)
    frame = Image.fromarray(pixels)
    frame.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    with files.replacing(task["thumbnail"], durable=False) as temporary:
        frame.save(temporary, "JPEG", quality=80)
    return {
        "duration_s": stream.duration_s,
        "fps": stream.expected_fps,
        "height_px": pixels.shape[0],
        "width_px": pixels.shape[1],
        "codec": found.codec,
        "playable": found.plays,
        "media_type": found.media_type,
        "warnings": [f"the file is damaged: {line}" for line in damage],
    }


def preview(task: Task, tell: Tell) -> Answer:
    """An upload as H.264, for browsers, with the same times."""
    from actionprompt import video
    from actionprompt.video.writing import fitted, write_film

    stream = video.Stream(task["path"])
    total_s = max(1, round(stream.duration_s))

    def frames() -> Iterator[Any]:
        size_px = None
        for time_s, pixels in stream.frames():
            tell(min(int(time_s), total_s), total_s, "seconds of the preview")
            frame = fitted(pixels, size_px, least_px=1, most_px=PREVIEW_LINES)
            size_px = frame.shape[:2]
            yield time_s, frame

    with files.replacing(Path(task["folder"]) / "preview.mp4", durable=False) as temporary:
        fps, path = stream.expected_fps, task["path"]
        sound = write_film(temporary, frames(), stream.duration_s, fps=fps, sound_of=path, crf=23)
    return {"sound": sound}


def film(task: Task, tell: Tell) -> Answer:
    """The video of a timeline with its answers drawn in."""
    from actionprompt.apps.timeline import captions
    from actionprompt.apps.timeline import film as films

    folder = Path(task["folder"])
    answer = captions.from_json(files.read_json(folder / task["timeline"]), task["path"])
    out = folder / "result.mp4"
    sound = films.write(answer, out, lambda done, total: tell(done, total, "seconds of the video"))
    return {"sound": sound, "files": ["mp4"]}


# Models ---------------------------------------------------------------------------------------------------------------

_loaded: dict[str, Any] = {}
"""What the process keeps in memory: the `backbone` of the server, and one `predictor` with its `key`."""


def describe(task: Task, tell: Tell) -> Answer:
    """Loads the backbone of the server, and the model that it was given, for what is said of them."""
    from actionprompt.weights import TINY_WARNING, is_tiny

    clip = _backbone(task["backbone"])
    tiny = is_tiny(clip)
    about: Answer = {"name": clip.public_name, "tiny": tiny, "warning": TINY_WARNING if tiny else None}
    if task["model"] is None:
        return {"backbone": about, "model": None}
    predictor = _predictor({**task, "kind": "trained", "labels": None, "none": None, "independent": False})
    model = {
        "name": _name_of(Path(task["model"])),
        "labels": list(predictor.class_names),
        "takes_labels": bool(predictor.method.open_vocabulary),
        "rejects": predictor.none,
        "background": predictor.background,
        "note": "; ".join(predictor.warnings([])) or None,
    }
    return {"backbone": about, "model": model}


def _name_of(model: Path) -> str:
    """What a model is called: as somebody named it on the page, else as its folder."""
    from actionprompt.page.models import CARD

    card = model / CARD
    return str(files.read_json(card).get("name")) if card.is_file() else model.resolve().name


def warm(task: Task) -> None:
    """Encodes the null names (`prediction.none_of_these`) while nobody waits: at full size that takes long."""
    _predictor({**task, "model": None, "labels": ["walking"], "none": True, "independent": False})


def predict(task: Task, tell: Tell) -> Answer:
    """Recognises clips."""
    from actionprompt.clips import Broken
    from actionprompt.prediction.tables import as_csv, as_json

    tell(0, 1, "loading the model")
    predictor = _predictor(task)
    results: list[Any] = []
    broken: list[Any] = []
    paths = [Path(path) for path in task["paths"]]
    tell(0, len(paths), "videos")
    for _, result in predictor.predict_all(paths, top=task["top"], num_workers=0, batch_size=1):
        (broken if isinstance(result, Broken) else results).append(result)
        tell(len(results) + len(broken), len(paths), "videos")
    folder, named, ids = Path(task["folder"]), task["named"], task["ids"]
    about, said = predictor.about(), predictor.warnings(paths)
    answer = renamed(as_json(results, broken, about, said), named)
    for row, result in zip(answer["predictions"], results):
        row.update({"video": ids[str(result.path)], "name": row.pop("path")})
    answer["unreadable"] = [
        {"video": ids[item.key], "name": named[item.key], "reason": renamed(item.reason, named)} for item in broken
    ]
    files.write_json(folder / "result.json", answer)
    shown = [dataclasses.replace(result, path=Path(named[str(result.path)])) for result in results]
    files.write_text(folder / "result.csv", as_csv(shown, about, said))
    return {"files": ["json", "csv"]}


def timeline(task: Task, tell: Tell) -> Answer:
    """Says what happens when."""
    from actionprompt.apps.timeline import captions, picture
    from actionprompt.apps.timeline import timeline as make

    tell(0, 1, "loading the model")
    predictor = _predictor(task)
    tell(0, 1, "looking at the video")
    made = make(
        predictor, task["path"], window_s=task["window_s"], hop_s=task["hop_s"], smooth=task["smooth"],
        progress=lambda done, total: tell(done, total, "windows"),
    )  # fmt: skip
    folder, named = Path(task["folder"]), task["named"]
    tell(0, 1, "writing the results")
    picture.draw(made, folder / "result.png", title=named[task["path"]])
    answer = renamed(captions.as_json(made), named)
    answer = {"video": task["ids"][task["path"]], "name": answer.pop("path"), **answer}
    files.write_json(folder / "result.json", answer)
    files.write_text(folder / "result.csv", captions.as_csv(made))
    files.write_text(folder / "result.vtt", captions.as_vtt(made))
    return {"files": ["json", "csv", "vtt", "png"]}


def teach(task: Task, tell: Tell) -> Answer:
    """Learns a model."""
    from actionprompt.apps.teach import TRAIN
    from actionprompt.apps.teach import teach as learn
    from actionprompt.clips import with_span

    tell(0, 1, "loading the model")
    clip = _backbone(task["backbone"])
    _loaded.pop("key", None)
    _loaded.pop("predictor", None)
    classes = {
        group["name"]: [with_span(c["path"], tuple(c["span"]) if c["span"] else None) for c in group["clips"]]
        for group in task["classes"]
    }
    taught = learn(
        classes, task["out"], backbone=clip, background=task["background"], add_to=task["add_to"],
        config=dataclasses.replace(TRAIN, num_workers=0),  # forked ones would wait for the thread that reads stdin
        on_encode=lambda done, total: tell(done, total, "looking at the clips"),
        on_step=lambda done, total: tell(done, total, "training steps"),
    )  # fmt: skip
    answer = taught.as_json()
    answer = {"model": task["model_id"], "name": task["name"], **answer}
    files.write_json(Path(task["folder"]) / "result.json", renamed(answer, task["named"]))
    return {"files": ["json"]}


def _backbone(name: str) -> Any:
    """The backbone of the server, loaded once."""
    from actionprompt.weights import load_clip

    if "backbone" not in _loaded:
        _loaded["backbone"] = load_clip(name)
    return _loaded["backbone"]


def _predictor(task: Task) -> Any:
    """The predictor that a task asks for; the last one is kept."""
    from actionprompt import prediction

    labels = tuple(task["labels"]) if task["labels"] else None
    asked: Any = {"none": task["none"], "independent": task["independent"]}
    key, before = (task["model"], labels, *asked.values()), _loaded.pop("key", None)
    if key == before:
        predictor = _loaded["predictor"]
    elif before is not None and task["model"] is before[0] is None and key[2:] == before[2:]:
        predictor = _loaded["predictor"]
        predictor.set_classes(labels or ())  # names that it had before are not encoded again
    else:
        predictor = None
        _loaded.pop("predictor", None)
        gc.collect()  # one model at a time
        if task["model"] is None:
            predictor = prediction.zero_shot(labels or (), backbone=_backbone(task["backbone"]), **asked)
        else:
            # training may have changed the towers of a model, so only those that `teach` leaves alone are shared
            shared = _backbone(task["backbone"]) if task["kind"] == "taught" and _same_backbone(task) else None
            predictor = prediction.load(task["model"], class_names=labels, backbone=shared, **asked)
            if task["none"] is False:
                predictor.none_below = None  # a threshold that was chosen in teaching would still reject
    _loaded.update(predictor=predictor, key=key)
    return predictor


def _same_backbone(task: Task) -> bool:
    """Whether a model was taught on the backbone of the server."""
    from actionprompt.weights.run import read_manifest

    if "sha256" not in _loaded:
        _loaded["sha256"] = _backbone(task["backbone"]).fingerprint()
    return read_manifest(Path(task["model"]))["backbone"]["sha256"] == _loaded["sha256"]


DO: dict[str, Callable[[Task, Tell], Answer]] = {
    "probe": probe,
    "preview": preview,
    "film": film,
    "describe": describe,
    "predict": predict,
    "timeline": timeline,
    "teach": teach,
}


if __name__ == "__main__":
    main()
