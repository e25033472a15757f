"""The one evaluator: views, pooling, report. It knows only `Method`.

Letters: B clips of a batch, V views, K classes, C clips of a list.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from jaxtyping import Float
from torch import Tensor

from actionprompt import data, features, records, transforms
from actionprompt.config import DataConfig, to_json
from actionprompt.datasets._base import Clip, ClipList
from actionprompt.methods._base import Method
from actionprompt.metrics import Metrics, measure

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """An evaluation, with everything a reader needs to compare it with another."""

    name: str
    """The list of clips."""
    metrics: Metrics
    broken: tuple[data.Broken, ...]
    """Clips nobody could read: counted as wrong, never left out."""
    probabilities: dict[str, tuple[float, ...]]
    """By clip key: class probabilities after pooling over the views."""
    labels: dict[str, int]
    """By clip key, of all clips."""
    class_names: tuple[str, ...]
    facts: dict[str, Any]
    """Hashes of list and class texts, data options, method, backbone."""


def pool_views(logits: Float[Tensor, "B V K"], pooling: Literal["probabilities", "logits"]) -> Float[Tensor, "B K"]:
    """Class probabilities of a clip from the logits of its views: the mean of the views' probabilities, or the
    softmax of their mean logits."""
    logits = logits.float()
    return logits.softmax(-1).mean(1) if pooling == "probabilities" else logits.mean(1).softmax(-1)


def predict_clips(
    method: Method,
    clips: Sequence[Clip],
    config: DataConfig,
    *,
    device: torch.device | str = "cpu",
    precision: Literal["no", "bf16"] = "no",
    batch_size: int = 8,
    num_workers: int = 2,
    seed: int = 0,
    cache: bool = False,
    progress: Progress | None = None,
) -> Iterator[tuple[int, Tensor | data.Broken]]:
    """Index into `clips` and class probabilities [K] of each clip, or why it could not be read; in the clips' order.

    `cache` keeps frozen features on disk. Nothing about one clip depends on the others."""
    method = method.to(device).eval()
    autocast = torch.bfloat16 if precision == "bf16" else None
    in_precision = partial(torch.autocast, torch.device(device).type, dtype=autocast, enabled=autocast is not None)

    def pooled(feature: Any, num_clips: int) -> Tensor:
        with torch.no_grad(), in_precision():
            logits = method.head(feature)
        return pool_views(logits.unflatten(0, (num_clips, -1)), config.pooling).cpu()

    if cache and method.frozen_features:
        stored = features.cached(
            method, clips, config, device=device, autocast=autocast, batch_size=batch_size, num_workers=num_workers,
            seed=seed, progress=progress,
        )  # fmt: skip
        answers: dict[int, Tensor | data.Broken] = {}
        for index, feature in zip(stored.index.split(256), stored.features.split(256)):
            probabilities = pooled(feature.to(device).flatten(0, 1), len(feature)) if len(feature) else ()
            answers.update(zip(index.tolist(), probabilities, strict=True))
        unread = [index for index in range(len(clips)) if index not in answers]
        answers.update(zip(unread, stored.broken, strict=True))
        yield from sorted(answers.items())
        return
    batches = [[(0, i) for i in range(s, min(s + batch_size, len(clips)))] for s in range(0, len(clips), batch_size)]
    dataset = data.VideoDataset(clips, config, side_px=method.clip.image.image_size, training=False, seed=seed)
    for positions, batch in zip(batches, data.loader(dataset, batches, num_workers=num_workers)):
        answers = {}
        if len(batch.label):
            video = batch.video.to(device, non_blocking=True).flatten(0, 1)
            pixels = transforms.normalise(video, mean=method.clip.mean, std=method.clip.std)
            with torch.no_grad(), in_precision():
                feature = method.encode(pixels)
            probabilities = pooled(feature, len(batch.label))
            answers.update(zip((index for _, index in batch.position), probabilities, strict=True))
        unread = [index for _, index in positions if index not in answers]
        answers.update(zip(unread, batch.broken, strict=True))
        yield from sorted(answers.items())
        if progress is not None:
            progress(positions[-1][1] + 1, len(clips))


def evaluate(
    method: Method,
    clips: ClipList,
    config: DataConfig,
    *,
    device: torch.device | str = "cpu",
    precision: Literal["no", "bf16"] = "no",
    batch_size: int = 8,
    num_workers: int = 2,
    seed: int = 0,
    cache: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Evaluate on a list of clips whose classes are the method's classes.

    Under `accelerate launch` the clips are shared between the processes and every process gets the whole report.

    Raises:
        ValueError: no clips, or other class names than the method has now.
    """
    if clips.class_names != method.class_names:
        raise ValueError(
            f"{clips.name} has classes {list(clips.class_names[:3])}..., the model {list(method.class_names[:3])}...; "
            f"call set_classes with the list's names first"
        )
    if not clips.clips:
        raise ValueError(f"{clips.name}: expected clips to evaluate, got none")
    state = PartialState()
    mine = range(state.process_index, len(clips.clips), state.num_processes)
    answers = [
        (mine[index], answer)
        for index, answer in predict_clips(
            method, [clips.clips[i] for i in mine], config, device=device, precision=precision, batch_size=batch_size,
            num_workers=num_workers, seed=seed, cache=cache, progress=progress,
        )
    ]  # fmt: skip
    if state.num_processes > 1:
        answers = gather_object(answers)
    answers.sort(key=lambda pair: pair[0])
    read = [(clips.clips[i], answer) for i, answer in answers if isinstance(answer, Tensor)]
    broken = [(clips.clips[i], answer) for i, answer in answers if isinstance(answer, data.Broken)]
    probabilities = torch.stack([p for _, p in read]) if read else torch.empty(0, len(clips.class_names))
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
        probabilities={clip.key: tuple(p.tolist()) for clip, p in read},
        labels={clip.key: clip.label for clip in clips.clips},
        class_names=clips.class_names,
        facts={
            "list_sha256": clips.sha256,
            "classes_sha256": clips.classes_sha256,
            "method": type(method).__module__.rsplit(".", 1)[-1],
            "config": to_json(method.config),
            "backbone": {"name": method.clip.name, "sha256": method.clip_sha256},
            "data": to_json(config),
            "precision": precision,
        },
    )


def to_record(report: Report, *, seed: int, started: float, **facts: Any) -> dict[str, Any]:
    """The report as a record: provenance, facts and metrics; the clips' scores go to a file of their own."""
    return {
        **records.provenance(seed=seed, started=started),
        "list": report.name,
        **report.facts,
        **facts,
        "metrics": to_json(report.metrics),
        "broken": to_json(report.broken),
    }


def write_scores(path: Path, report: Report) -> None:
    """The clips' class probabilities, for late fusion: `{"class_names", "scores": {key: [K]}, "labels", "broken"}`."""
    scores = {key: [round(p, 6) for p in row] for key, row in report.probabilities.items()}
    labels, broken = report.labels, [item.key for item in report.broken]
    record = {"class_names": report.class_names, "scores": scores, "labels": labels, "broken": broken}
    records.write(path, record)
