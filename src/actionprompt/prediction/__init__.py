"""From a path to a `Prediction`."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import actionprompt
from actionprompt import checkpoint, methods, video
from actionprompt.backbone import CLIP, find_device
from actionprompt.clips import Broken, Clip, listed
from actionprompt.config import DataConfig, Fit, check_type, from_json, to_json, update
from actionprompt.evaluation import check_whole, pool_views, predict_clips, softmax
from actionprompt.layers import is_exporting
from actionprompt.method import Features, Method
from actionprompt.prediction import none_of_these
from actionprompt.prediction.precision import Precision, lowered, what_changes
from actionprompt.weights import AUTO, load_clip
from actionprompt.world.drawn import tiny_warnings

LONG_S, SPARSE_S = 20.0, 2.5
"""A video longer than the first, of which a model sees one frame in more than the second, is more than one clip."""
NO_THRESHOLD = (
    "this model has no rejection threshold: it answers with one of its classes whatever a video shows; teach it from "
    "more clips"
)
"""What is said of a taught model without one, unless null prompts take its place."""

NULLS_OF_TRAINED = (
    "null prompts reject unknown actions less well with a trained model than with frozen CLIP; a model of "
    "`actionprompt teach` has a rejection threshold of its own"
)
"""What is said where null prompts meet a trained model (results/timeline.md)."""


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one video."""

    path: Path
    labels: tuple[str, ...]
    """Class names, most probable first."""
    scores: tuple[float, ...]
    """Their probabilities. Over all classes they sum to 1, together with `none` where it was asked for; scored
    independently, each is a probability of its own."""
    times_s: tuple[float, ...]
    """Presentation times of the frames the model was given, in seconds; empty for an image folder, which has none."""
    none_of_these: bool = False
    """Whether the answer is "none of these": the best score is below the model's rejection threshold, which `teach`
    chooses, or `none` is above it."""
    none: float | None = None
    """The probability of none of these; None where it was not asked for."""
    warnings: tuple[str, ...] = ()
    """What is to be said of this video, a line each."""

    @property
    def ok(self) -> bool:
        """True; a video that cannot be read comes as `clips.Broken`, whose `ok` is False."""
        return True

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[0]

    @property
    def score(self) -> float:
        """Its probability."""
        return self.scores[0]


class Predictor:
    """A method together with the sampling and preprocessing of its videos.

    `load` reads a trained model, `zero_shot` needs none. Predictions walk the same functions as evaluation.
    `none_below` is the rejection threshold: below this top probability the answer is "none of these". `none` asks for
    the probability of none of these: by the threshold if there is one, else by null prompts (`none_of_these`), those of
    frozen CLIP where a trained method takes its frame embeddings; None asks for it where it can be told well (not by
    the null prompts of a trained method, `rejects_poorly`). `independent` scores each label by itself against null
    prompts of the method, so that several can be true at once; none of these is then 1 less the highest of them.
    `can_reject` is False for a taught model for which no threshold could be chosen, which is said with its answers.
    `background` is the method's last class where it stands for none of these: it is no label, and where it is the most
    probable the answer is none of these. `facts` are further settings for `about`. In another `precision` than float32
    a copy of the method encodes the frames: bf16, or int8 on a CPU; `warnings` says what that changes.

    Raises:
        ValueError: a background that is not the last class, null prompts of a model that cannot be given other names
            than its own, or a precision that is not to be had here.
    """

    def __init__(
        self,
        method: Method,
        config: DataConfig,
        *,
        device: torch.device | str | None = None,
        none_below: float | None = None,
        none: bool | None = False,
        independent: bool = False,
        can_reject: bool = True,
        background: str | None = None,
        precision: Precision = "float32",
        facts: Mapping[str, Any] = {},
    ) -> None:
        check_type(config, DataConfig, "config")
        self.device, self.precision = find_device(device), precision
        self.method = method = lowered(method, precision, self.device).eval()
        self.config, self.none_below = config.resolved(method.clip.pixels), none_below
        self.independent, self.can_reject, self.facts = independent, can_reject, dict(facts)
        self._names, self._nulls = method.class_names, none_of_these.NO_NAMES
        self._judge: Method | None = None
        self.background = None if independent else background
        if background is not None:
            if method.class_names[-1:] != (background,) or len(method.class_names) < 2:
                raise ValueError(f"expected the background {background!r} to be the last of the model's classes")
            self._names = method.class_names[:-1]
        self._wants_none = none
        self._decide_none()
        if self._asks_nulls:
            names_zh = method.class_names_zh
            self._set_classes(self._names, names_zh[: len(self._names)] if names_zh is not None else None)

    def _decide_none(self) -> None:
        """Whether none of these is an answer: where it was wanted, or there is a background; by default where it can be
        told well."""
        self.none = bool(self._wants_none) or self.background is not None
        if self._wants_none is None and not self.independent:
            self.none = True
            self.none = not self._asks_nulls or self._judges or not _trained(self.method)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels that are asked for; the method's own names hold the null names as well."""
        return self._names

    def set_classes(self, names: Iterable[str], names_zh: Iterable[str] | None = None) -> None:
        """Recognise these names from now on. ValueError where the model's head is closed and has other names."""
        self.background = self.none_below = None
        self._decide_none()
        self._set_classes(listed(names), listed(names_zh) if names_zh is not None else None)

    @torch.no_grad()
    def _set_classes(self, names: tuple[str, ...], names_zh: tuple[str, ...] | None) -> None:
        judge = self._judges
        asked = methods.build("zeroshot", self.method.clip, names) if judge else self.method
        nulls = none_of_these.null_names(asked, names) if self._asks_nulls else none_of_these.NO_NAMES
        if judge:
            self.method.set_classes(names, names_zh)
            asked.set_classes((*names, *nulls.names))
            self._names, self._nulls, self._judge = names, nulls, asked.eval()
            return
        self._judge = None
        self.method.set_classes((*names, *nulls.names), (*names_zh, *nulls.names_zh) if names_zh is not None else None)
        self._names, self._nulls = names, nulls

    @property
    def _judges(self) -> bool:
        """Whether frozen CLIP says what is none of these: it can where a trained method takes frame embeddings of the
        tower as it was, and is far better at it than the method's own null prompts."""
        method = self.method
        frozen = method.frozen_features and method.encodes_frames
        tuned = any(parameter.requires_grad for parameter in method.clip.parameters())
        return self._asks_nulls and not self.independent and frozen and not tuned and _trained(method)

    @property
    def rejects_poorly(self) -> bool:
        """Whether none of these is told by null prompts of a trained model, where they are worse than a threshold."""
        return self._asks_nulls and self._judge is None and _trained(self.method)

    @property
    def _asks_nulls(self) -> bool:
        return self.independent or (self.none and self.none_below is None and self.background is None)

    @torch.no_grad()
    def probabilities(self, features: Features) -> Float[Tensor, "N K"]:
        """Probabilities of the K labels, and in one more column that of none of these where it is asked for, from the
        features that `method.encode` returned, one view per row, on any device; on the CPU."""
        self.method.to(self.device)
        logits = self._head(_on(self.device, features))
        return self._to_probabilities(logits.float()).cpu()

    @torch.no_grad()
    def of_clips(self, features: Features) -> Float[Tensor, "B K"]:
        """`probabilities` of B clips from the features of all their views, in order, pooled as in evaluation."""
        _moved(self.method, self.device)
        logits = self._head(_on(self.device, features)).unflatten(0, (-1, self.config.num_views))
        return pool_views(logits, self.config.pooling, self._to_probabilities).cpu()

    def _head(self, features: Features) -> Float[Tensor, "N L"]:
        """Logits of the method, and after them those of the judge, if there is one."""
        own = self.method.head(features)
        return own if self._judge is None else torch.cat([own, _moved(self._judge, own.device).head(features)], -1)

    def _to_probabilities(self, logits: Float[Tensor, "*N L"]) -> Float[Tensor, "*N K"]:
        if self.independent:
            scores = self._nulls.independent(logits)
            return torch.cat([scores, 1 - scores.amax(-1, keepdim=True)], -1) if self.none else scores
        if self.background is not None:
            return none_of_these.by_background(logits, self.none_below)
        if not self.none:
            return softmax(logits)
        if self.none_below is not None:
            return none_of_these.by_threshold(softmax(logits), self.none_below)
        if self._judge is not None:
            num_own = len(self._names)
            none = self._nulls.joint(logits[..., num_own:])[..., -1:]
            return torch.cat([logits[..., :num_own].softmax(-1) * (1 - none), none], -1)
        return self._nulls.joint(logits)

    def about(self) -> dict[str, Any]:
        """What answers: the program's version, method, backbone with its hash, labels and settings; plain JSON."""
        return {
            "program": f"actionprompt {actionprompt.__version__}",
            "method": self.method.name,
            "backbone": {"name": self.method.clip.public_name, "sha256": self.method.clip_sha256},
            "labels": list(self.class_names),
            "settings": {
                "data": {name: value for name, value in to_json(self.config).items() if name != "augment"},
                "method": to_json(self.method.config),
                "precision": self.precision,
                "none": self.none,
                "none_below": self.none_below,
                "background": self.background,
                "independent": self.independent,
                "num_null_names": len(self._nulls.names),
                **to_json(self.facts),
            },
        }

    def warnings(self, paths: Iterable[str | Path]) -> list[str]:
        """What has to be said with every answer on these videos, a line each."""
        lines = tiny_warnings(self.method, paths)
        if not self.can_reject and not self._asks_nulls and self.background is None:
            lines.append(NO_THRESHOLD)
        if self.rejects_poorly:
            lines.append(NULLS_OF_TRAINED)
        return [*lines, *what_changes(self.precision, self.device)]

    def predict(self, path: str | Path, *, top: int | None = 5) -> Prediction:
        """Recognise one video.

        Raises:
            VideoDecodeError: it cannot be read.
            ValueError: no path, or `top` below 1.
        """
        ((_, result),) = self.predict_all([path], top=top, num_workers=0)
        if isinstance(result, Broken):
            raise video.VideoDecodeError(path, result.reason)
        return result

    def predict_all(
        self, paths: Iterable[str | Path], *, top: int | None = 5, num_workers: int = 2, batch_size: int = 8
    ) -> Iterator[tuple[Path, Prediction | Broken]]:
        """Recognise many videos, in their order; one that cannot be read comes as `Broken`, in its place.

        Raises:
            ValueError: one path in place of several, something else in place of a path, or a number out of its range;
                before the first video is read.
        """
        one = isinstance(paths, str | bytes | os.PathLike)
        if one or not isinstance(paths, Iterable):
            got = f"one: {paths}" if one else repr(paths)
            raise ValueError(f"expected several paths, got {got}; call predict, or predict_all([path])")
        if top is not None:
            check_whole(top, 1, "top", "None for all classes")
        check_whole(num_workers, 0, "num_workers")
        check_whole(batch_size, 1, "batch_size")
        return self._predict_all(paths, top, num_workers, batch_size)

    def _predict_all(
        self, paths: Iterable[str | Path], top: int | None, num_workers: int, batch_size: int
    ) -> Iterator[tuple[Path, Prediction | Broken]]:
        clips = [_clip(path) for path in paths]
        answers = predict_clips(
            self.method, clips, self.config, device=self.device, num_workers=num_workers, batch_size=batch_size,
            head=self._head, to_probabilities=self._to_probabilities,
        )  # fmt: skip
        for index, answer in answers:
            path = clips[index].path
            if isinstance(answer, Broken):
                yield path, answer
                continue
            yield path, self._prediction(path, answer.probabilities, answer.times_s, top)

    def _prediction(
        self, path: Path, probabilities: Float[Tensor, " K"], times_s: tuple[float, ...], top: int | None
    ) -> Prediction:
        scores, order = probabilities[: len(self.class_names)].sort(descending=True, stable=True)
        none = float(probabilities[-1]) if self.none else None
        if none is not None:
            rejected = none > float(scores[0])
        else:
            rejected = not self.independent and self.none_below is not None and float(scores[0]) < self.none_below
        labels = tuple(self.class_names[i] for i in order[:top].tolist())
        return Prediction(
            path, labels, tuple(scores[:top].tolist()), times_s, rejected, none, tuple(self._sparse(path, times_s))
        )

    def _sparse(self, path: Path, times_s: tuple[float, ...]) -> Iterator[str]:
        """What is said of a video that is too long to be one clip."""
        seen = sorted(set(times_s))
        if len(seen) < 2:
            return
        if self.config.sampling == "segment":  # the frames are the centres of equal parts
            duration_s = (seen[-1] - seen[0]) * len(seen) / (len(seen) - 1)
        else:
            duration_s = float(video.frame_times(path, [video.count_frames(path) - 1])[0])
        if duration_s > LONG_S and duration_s / len(seen) > SPARSE_S:
            minutes, seconds = divmod(round(duration_s), 60)
            length = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
            seen_of = f"{len(seen)} frames of {length} were seen"
            yield f"{seen_of}; a timeline (`actionprompt timeline`) says what happens when"


def _clip(path: str | Path) -> Clip:
    """A video without a label."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"expected the path of a video as a str or Path, got {path!r}")
    return Clip(key=str(path), path=Path(path), label=0)


def _trained(method: Method) -> bool:
    """Whether it has weights of its own. That of the base class, since a method may have none to save while it is asked
    for other names than those of training."""
    return bool(Method.trained_state(method))


def _moved(method: Method, device: torch.device) -> Method:
    """The method, on a device; weights that are traced for a graph stay where they are."""
    return method if is_exporting() else method.to(device)


def _on(device: torch.device, features: Features) -> Features:
    """Features, a tensor or a dataclass of tensors, on a device."""
    if isinstance(features, Tensor):
        return features.to(device)
    return dataclasses.replace(
        features, **{field.name: getattr(features, field.name).to(device) for field in dataclasses.fields(features)}
    )


def load(
    path: str | Path,
    *,
    class_names: Iterable[str] | None = None,
    class_names_zh: Iterable[str] | None = None,
    backbone: str | Path | CLIP | None = None,
    fit: Fit | None = None,
    none: bool | None = False,
    independent: bool = False,
    device: torch.device | str | None = None,
    precision: Precision = "float32",
) -> Predictor:
    """A trained model from the folder that training wrote, by default with the names it was trained on, and with the
    `DataConfig.fit` it was trained with. `backbone` is the backbone, or says where it is if it is not where the model's
    manifest says. `none`, `independent` and `precision` are those of `Predictor`.

    Raises:
        ValueError: no model there, a backbone that is not the same, names that a closed head cannot take, null prompts
            for one, or a precision that is not to be had here.
    """
    clip, place = (backbone, None) if isinstance(backbone, CLIP) else (None, backbone)
    names = listed(class_names) if class_names is not None else None
    names_zh = tuple(class_names_zh) if class_names_zh is not None else None
    method, manifest = checkpoint.load(path, clip=clip, backbone=place, class_names=names, class_names_zh=names_zh)
    config = from_json(DataConfig, manifest["data"]) if "data" in manifest else DataConfig()
    if fit is not None:
        config = update(config, {"fit": fit})
    threshold = (manifest.get("none_of_these") or {}).get("below") if class_names is None else None
    facts = {"weights_sha256": checkpoint.weights_sha256(path)}
    background = manifest.get("background") if class_names is None else None
    taught_without = "none_of_these" in manifest and manifest["none_of_these"] is None
    return Predictor(
        method, config, device=device, none_below=threshold, none=none, independent=independent, facts=facts,
        can_reject=not taught_without, background=background, precision=precision,
    )  # fmt: skip


def zero_shot(
    class_names: Iterable[str],
    *,
    backbone: str | Path | CLIP = AUTO,
    config: DataConfig | None = None,
    none: bool | None = False,
    independent: bool = False,
    device: torch.device | str | None = None,
    precision: Precision = "float32",
) -> Predictor:
    """Frozen CLIP with any class names; `backbone` is one, or a name for `weights.load_clip`; `none`, `independent` and
    `precision` are those of `Predictor`. Without a `config` the whole frame is seen, unless it is nearly square and the
    backbone crops (`fit="auto"`).

    Raises:
        ValueError: no list of different names, no such backbone, device or precision, or `config` is no `DataConfig`.
    """
    names = listed(class_names)
    config, device = config if config is not None else DataConfig(fit="auto"), find_device(device)
    clip = backbone if isinstance(backbone, CLIP) else load_clip(backbone)
    method = methods.build("zeroshot", clip, names)
    return Predictor(method, config, device=device, none=none, independent=independent, precision=precision)
