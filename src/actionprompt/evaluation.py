"""The one evaluator: views, pooling, report. It knows only `Method`.

Letters: B clips of a batch, V views, K classes, L logits, C clips of a list.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from actionprompt import records
from actionprompt.backbone import find_device
from actionprompt.clips import Broken, Clip, ClipList, public_key
from actionprompt.config import DataConfig, Precision, Progress, check_type, to_json
from actionprompt.features import autocast, cached, encode_clips
from actionprompt.method import Features, Method, check_frames, check_method
from actionprompt.metrics import Metrics, measure


@dataclass(frozen=True)
class Report:
    """An evaluation, with everything a reader needs to compare it with another."""

    name: str
    """The list of clips."""
    metrics: Metrics
    broken: tuple[Broken, ...]
    """Clips nobody could read: counted as wrong, never left out."""
    probabilities: dict[str, tuple[float, ...]]
    """By clip key: class probabilities after pooling over the views."""
    labels: dict[str, int]
    """By clip key, of all clips."""
    class_names: tuple[str, ...]
    facts: dict[str, Any]
    """Hashes of list and class texts, data options, method, backbone."""


def softmax(logits: Float[Tensor, "*N K"]) -> Float[Tensor, "*N K"]:
    """Logits -> probabilities that sum to 1."""
    return logits.softmax(-1)


def pool_views(
    logits: Float[Tensor, "B V L"],
    pooling: Literal["probabilities", "logits"],
    to_probabilities: Callable[[Tensor], Tensor] = softmax,
) -> Float[Tensor, "B K"]:
    """Class probabilities of a clip from the logits of its views: the mean of the views' probabilities, or those of
    their mean logits. There are as many logits as classes, unless `to_probabilities` makes one of several."""
    logits = logits.float()
    return to_probabilities(logits).mean(1) if pooling == "probabilities" else to_probabilities(logits.mean(1))


@dataclass(frozen=True)
class Answer:
    """What a method says of one clip."""

    probabilities: Float[Tensor, " K"]
    """Pooled over the views."""
    times_s: tuple[float, ...] = ()
    """When the frames it was shown appear in the video; empty for image folders and cached features."""


def check_whole(value: Any, least: int, name: str, other: str = "") -> None:
    """Raise ValueError for an argument `name` that is no whole number, or below `least`; `other` is what else it may
    be."""
    if not isinstance(value, Integral) or int(value) < least:
        also = f", or {other}" if other else ""
        raise ValueError(f"expected {name} of at least {least}{also}, got {value!r}; give a whole number")


def predict_clips(
    method: Method,
    clips: Sequence[Clip],
    config: DataConfig,
    *,
    device: torch.device | str = "cpu",
    mixed_precision: Precision = "no",
    batch_size: int = 8,
    num_workers: int = 2,
    seed: int = 0,
    cache: bool = False,
    progress: Progress | None = None,
    head: Callable[[Features], Tensor] | None = None,
    to_probabilities: Callable[[Tensor], Tensor] = softmax,
) -> Iterator[tuple[int, Answer | Broken]]:
    """Index into `clips` and the answer to each clip, or why it could not be read; in the clips' order.

    `cache` keeps frozen features on disk. `head` takes the place of the method's own, and `to_probabilities` is that of
    `pool_views`. Nothing about one clip depends on the others.

    Raises:
        ValueError: features or scores that are not finite; the message names the clip.
    """
    check_frames(method, config)
    options: Any = {
        "device": device, "mixed_precision": mixed_precision, "batch_size": batch_size, "num_workers": num_workers,
        "seed": seed, "progress": progress,
    }  # fmt: skip

    def pooled(features: Features) -> Tensor:
        with torch.no_grad(), autocast(device, mixed_precision):
            logits = (head or method.head)(features)
        return pool_views(logits.unflatten(0, (-1, config.num_views)), config.pooling, to_probabilities).cpu()

    if cache and method.frozen_features:
        stored = cached(method, clips, config, **options)
        answers: dict[int, Answer | Broken] = {item.position[1]: item for item in stored.broken}
        for rows in torch.arange(len(stored.index)).split(256) if len(stored.index) else ():
            probabilities = pooled(stored.features[rows].to(device).flatten(0, 1))
            index = stored.index[rows].tolist()
            answers.update((i, _answer(clips[i], p)) for i, p in zip(index, probabilities, strict=True))
        yield from sorted(answers.items())
        return
    with contextlib.closing(encode_clips(method, clips, config, **options)) as encoding:
        for encoded in encoding:
            answers = {item.position[1]: item for item in encoded.broken}
            if encoded.index:
                rows = zip(encoded.index, pooled(encoded.features), encoded.times_s, strict=True)
                answers.update((i, _answer(clips[i], probabilities, times_s)) for i, probabilities, times_s in rows)
            yield from sorted(answers.items())


def _answer(clip: Clip, probabilities: Tensor, times_s: tuple[float, ...] = ()) -> Answer:
    """Raises ValueError naming the clip for scores that are not finite."""
    if not bool(probabilities.isfinite().all()):
        raise ValueError(f"{clip.key}: the model's scores of this clip are not finite numbers; its weights are damaged")
    return Answer(probabilities, times_s)


def evaluate(
    method: Method,
    clips: ClipList,
    config: DataConfig,
    *,
    device: torch.device | str = "cpu",
    mixed_precision: Precision = "no",
    batch_size: int = 8,
    num_workers: int = 2,
    seed: int = 0,
    cache: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Evaluate on a list of clips whose classes are the method's classes.

    Under `accelerate launch` the clips are shared between the processes and every process gets the whole report.

    Raises:
        ValueError: no clips, other class names than the method has now, no such device, or arguments of another type
            or out of their range.
    """
    check_method(method)
    check_type(clips, ClipList, "clips")
    check_type(config, DataConfig, "config")
    check_whole(batch_size, 1, "batch_size")
    check_whole(num_workers, 0, "num_workers")
    device = find_device(device)
    if clips.class_names != method.class_names:
        raise ValueError(
            f"{clips.name} has classes {list(clips.class_names[:3])}..., the model {list(method.class_names[:3])}...; "
            f"call set_classes with the list's names first"
        )
    if not clips.clips:
        raise ValueError(f"{clips.name}: expected clips to evaluate, got none")
    config = config.resolved(method.clip.pixels)
    from accelerate import PartialState  # imported here: a prediction runs in one process
    from accelerate.utils import gather_object

    state = PartialState()
    mine = range(state.process_index, len(clips.clips), state.num_processes)
    answers = [
        (mine[index], answer)
        for index, answer in predict_clips(
            method, [clips.clips[i] for i in mine], config, device=device, mixed_precision=mixed_precision,
            batch_size=batch_size, num_workers=num_workers, seed=seed, cache=cache, progress=progress,
        )
    ]  # fmt: skip
    if state.num_processes > 1:
        answers = gather_object(answers)
    answers.sort(key=lambda pair: pair[0])
    read = [(clips.clips[i], answer) for i, answer in answers if isinstance(answer, Answer)]
    broken = [(clips.clips[i], answer) for i, answer in answers if isinstance(answer, Broken)]
    probabilities = (
        torch.stack([answer.probabilities for _, answer in read]) if read else torch.empty(0, len(clips.class_names))
    )
    metrics = measure(
        probabilities,
        torch.tensor([clip.label for clip, _ in read], dtype=torch.long),
        clips.class_names,
        broken=torch.tensor([clip.label for clip, _ in broken], dtype=torch.long),
    )
    return Report(
        name=clips.name,
        metrics=metrics,
        broken=tuple(answer for _, answer in broken),
        probabilities={clip.key: tuple(answer.probabilities.tolist()) for clip, answer in read},
        labels={clip.key: clip.label for clip in clips.clips},
        class_names=clips.class_names,
        facts={
            "list_sha256": clips.sha256,
            "classes_sha256": clips.classes_sha256,
            "method": method.name,
            "config": to_json(method.config),
            "backbone": {"name": method.clip.public_name, "sha256": method.clip_sha256},
            "data": to_json(config),
            "mixed_precision": mixed_precision,
        },
    )


def to_record(report: Report, *, seed: int, started: float, **facts: Any) -> dict[str, Any]:
    """The report as a record: provenance, facts and metrics; the clips' scores go to a file of their own."""
    return {
        **records.provenance(seed=seed, started=started),
        "list": report.name,
        **report.facts,
        **facts,
        "metrics": _defined(to_json(report.metrics)),
        "broken": [{**to_json(item), "key": public_key(item.key)} for item in report.broken],
    }


def _defined(value: Any) -> Any:
    """None in place of NaN, which stands for a figure that is not defined: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _defined(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_defined(item) for item in value]
    return None if value != value else value


def write_scores(path: Path, report: Report) -> None:
    """The clips' class probabilities, for late fusion: the fields list, class_names, scores (by key, [K]), labels and
    broken."""
    scores = {key: [round(p, 6) for p in row] for key, row in report.probabilities.items()}
    labels, broken = report.labels, [item.key for item in report.broken]
    lists = {"list": report.name, "class_names": report.class_names}
    record = {**lists, "scores": scores, "labels": labels, "broken": broken}
    records.write(path, record)
