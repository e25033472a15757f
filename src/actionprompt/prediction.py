"""From a path to a `Prediction`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from actionprompt import checkpoint, methods, video
from actionprompt.backbone import find_device
from actionprompt.clips import Broken, Clip, listed
from actionprompt.config import DataConfig, check_type, from_json
from actionprompt.evaluation import predict_clips
from actionprompt.method import Method
from actionprompt.weights import TINY, load_clip


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one video."""

    path: Path
    labels: tuple[str, ...]
    """Class names, most probable first."""
    scores: tuple[float, ...]
    """Their probabilities; over all classes they sum to 1."""
    times_s: tuple[float, ...]
    """Presentation times of the frames the model was given, in seconds; empty for an image folder, which has none."""
    none_of_these: bool = False
    """Is the best score below the model's rejection threshold? Only a model that has one, as `teach` chooses it, can
    answer this way."""

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
    `none_below` is the rejection threshold: below this top probability the answer is "none of these"."""

    def __init__(
        self,
        method: Method,
        config: DataConfig,
        *,
        device: torch.device | str | None = None,
        none_below: float | None = None,
    ) -> None:
        check_type(config, DataConfig, "config")
        self.method, self.config, self.none_below = method.eval(), config, none_below
        self.device = find_device(device)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.method.class_names

    def set_classes(self, names: Iterable[str], names_zh: Iterable[str] | None = None) -> None:
        """Recognise these names from now on. ValueError where the model's head is closed and has other names."""
        with torch.no_grad():
            self.method.set_classes(listed(names), listed(names_zh) if names_zh is not None else None)
        self.none_below = None

    def predict(self, path: str | Path, *, top: int | None = 5) -> Prediction:
        """Recognise one video.

        Raises:
            VideoDecodeError: it cannot be read.
            ValueError: `top` below 1.
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
            ValueError: one path in place of several, or `top` below 1; before the first video is read.
        """
        if isinstance(paths, str | Path):
            raise ValueError(f"expected several paths, got one: {paths}; call predict, or predict_all([path])")
        if top is not None and top < 1:
            raise ValueError(f"expected top of at least 1, or None for all classes, got {top}")
        return self._predict_all(paths, top, num_workers, batch_size)

    def _predict_all(
        self, paths: Iterable[str | Path], top: int | None, num_workers: int, batch_size: int
    ) -> Iterator[tuple[Path, Prediction | Broken]]:
        clips = [Clip(key=str(path), path=Path(path), label=0) for path in paths]
        answers = predict_clips(
            self.method, clips, self.config, device=self.device, num_workers=num_workers, batch_size=batch_size
        )
        for index, answer in answers:
            path = clips[index].path
            if isinstance(answer, Broken):
                yield path, answer
                continue
            scores, order = answer.probabilities.sort(descending=True, stable=True)
            labels = tuple(self.class_names[i] for i in order[:top].tolist())
            none = self.none_below is not None and float(scores[0]) < self.none_below
            yield path, Prediction(path, labels, tuple(scores[:top].tolist()), answer.times_s, none)


def load(
    path: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    class_names_zh: Sequence[str] | None = None,
    backbone: str | Path | None = None,
    device: torch.device | str | None = None,
) -> Predictor:
    """A trained model from the folder that training wrote, by default with the names it was trained on. `backbone` says
    where the backbone lies, if it is not where the model's manifest says.

    Raises:
        ValueError: no model there, a backbone that is not the same, or names a closed head cannot take.
    """
    method, manifest = checkpoint.load(path, backbone=backbone, class_names=class_names, class_names_zh=class_names_zh)
    config = from_json(DataConfig, manifest["data"]) if "data" in manifest else DataConfig()
    threshold = (manifest.get("none_of_these") or {}).get("below") if class_names is None else None
    return Predictor(method, config, device=device, none_below=threshold)


def zero_shot(
    class_names: Iterable[str],
    *,
    backbone: str = TINY,
    config: DataConfig | None = None,
    device: torch.device | str | None = None,
) -> Predictor:
    """Frozen CLIP with any class names; `backbone` as in `weights.load_clip`.

    Raises:
        ValueError: no list of different names, no such backbone or device, or `config` is no `DataConfig`.
    """
    names = listed(class_names)
    config, device = config if config is not None else DataConfig(), find_device(device)
    return Predictor(methods.build("zeroshot", load_clip(backbone), names), config, device=device)
