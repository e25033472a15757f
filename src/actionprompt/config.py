"""Shared options as frozen dataclasses, and their JSON form. A method's own options are in its file. No torch."""

import dataclasses
import difflib
import math
import os
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Precision = Literal["no", "bf16"]
"""float32 throughout, or bf16 autocast."""
Progress = Callable[[int, int], None]
"""Is called with (done, total)."""
Fit = Literal["own", "crop", "squash", "letterbox", "auto"]
"""See `DataConfig.fit`."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of red, green and blue on [0, 1], of OpenAI's CLIP."""


@dataclass(frozen=True)
class Pixels:
    """What a backbone's checkpoint asks of its pixels; their side is the image tower's. The defaults are CLIP's."""

    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    """Of red, green and blue on [0, 1]; a frame is normalised to `(frame / 255 - mean) / std`."""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """Pillow's, with its antialiasing."""
    fit: Literal["crop", "squash"] = "crop"
    """The short side resized to the side, then a centre crop (CLIP); or the whole frame resized to the square, its
    aspect ratio ignored (SigLIP)."""


@dataclass(frozen=True)
class Augment:
    """Training augmentation in the order of application, RandAugment of the kind "ildoonet" before the crop; the
    defaults are random resized crop, flip and grey."""

    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Area of the random crop as a fraction of the frame, uniform in this range (Szegedy et al., 2015). `(1, 1)` is no
    random crop: the largest centred box that `crop_ratio` allows is taken, so that `crop_ratio=(1, 1)` with it is the
    centre crop of evaluation."""

    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width / height of the random crop in the source's true geometry, log-uniform in this range (Szegedy et al.)."""

    multi_scale: tuple[float, ...] = ()
    """Sizes of TSN's multi-scale crop, which then replaces the random resized crop: height and width are each one of
    these fractions of the short side, at most one place of this list apart, at one of 13 fixed places (Wang et al.,
    2016). PromptLearner-CLIP and ActionCLIP: `(1, 0.875, 0.75, 0.66)`; X-CLIP the same at 5 places."""

    flip: float = 0.5
    """Probability of a horizontal flip. Set it to 0 where left and right are classes of their own (Jester,
    Something-Something); `Info.flip` of a data set says so, and training then refuses other values."""

    colour_jitter: float = 0.0
    """Probability of colour jitter: brightness and contrast x [0.6, 1.4], saturation x [0.8, 1.2], hue +- 36 degrees,
    in random order (X-CLIP, ViFi-CLIP, ActionCLIP, PromptLearner-CLIP: 0.8)."""

    grey: float = 0.2
    """Probability of replacing the colours by their luma (X-CLIP, ViFi-CLIP, ActionCLIP, PromptLearner-CLIP: 0.2)."""

    rand_augment: tuple[int, int] | None = None
    """`(n, m)`: n random operations of magnitude m (RandAugment, Cubuk et al., 2020); None is off, or N = 0."""

    rand_augment_kind: Literal["timm", "ildoonet"] = "timm"
    """Whose operations and magnitudes. "timm": m in 0..10, each operation applied with probability 1/2, on the model's
    input; `(4, 7)` is what papers write as rand-m7-n4. "ildoonet": m in 0..30, every operation applied, Cutout among
    them, on the whole frame before the crop; PromptLearner-CLIP and ActionCLIP have `(2, 9)` on Kinetics, and None on
    HMDB-51 and UCF-101. See `distortions`."""

    random_erasing: float = 0.0
    """Probability of blanking one box, the same in all frames, to the mean colour (Zhong et al., 2020): area 2 % to
    33 % of the frame, ratio 0.3 to 3.3."""

    def __post_init__(self) -> None:
        for name in ("flip", "grey", "colour_jitter", "random_erasing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability in [0, 1], got {getattr(self, name)}")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale is (low, high) with 0 < low <= high <= 1, got {self.crop_scale}")
        low, high = self.crop_ratio
        if not 0 < low <= high < math.inf:
            raise ValueError(f"crop_ratio is (low, high) with 0 < low <= high, got {self.crop_ratio}")
        if not all(0 < size <= 1 for size in self.multi_scale):
            raise ValueError(f"multi_scale are fractions of the short side in (0, 1], got {self.multi_scale}")
        if self.multi_scale and (self.crop_scale, self.crop_ratio) != (Augment.crop_scale, Augment.crop_ratio):
            raise ValueError(
                "multi_scale replaces the random resized crop: expected crop_scale and crop_ratio at their defaults, "
                f"got {self.crop_scale} and {self.crop_ratio}; set multi_scale=() to use them"
            )
        kind, most = self.rand_augment_kind, {"timm": 10, "ildoonet": 30}
        if kind not in most:
            raise ValueError(f"rand_augment_kind is 'timm' or 'ildoonet', got {kind!r}")
        if self.rand_augment is not None:
            num_ops, magnitude = self.rand_augment
            if num_ops < 1 or not 0 <= magnitude <= most[kind]:
                raise ValueError(
                    f"rand_augment is (n, m) with n >= 1 and 0 <= m <= {most[kind]} for the kind {kind!r}, got "
                    f"{self.rand_augment}; rand-m7-n4 is (4, 7) of timm, N = 2 and M = 9 of 30 is (2, 9) of ildoonet, "
                    "and None turns it off"
                )


NO_AUGMENTATION = Augment(crop_scale=(1, 1), crop_ratio=(1, 1), flip=0.0, grey=0.0)
"""The centre crop of evaluation."""


MOST = 10_000
"""Of the numbers in `DataConfig`, which a file from elsewhere can hold: one more would be a mistake."""


@dataclass(frozen=True)
class DataConfig:
    """How a clip becomes the input of a model."""

    num_frames: int = 8
    """Frames per view (T)."""
    test_frames: int | None = None
    """Frames per view in evaluation, where they are not `num_frames`; for methods that take any number of frames."""
    sampling: Literal["segment", "dense"] = "segment"
    """One frame from each of T equal segments (TSN), or T consecutive frames with a stride."""
    stride: int = 4
    """Step between the frames of a dense clip, in frames."""
    fit: Fit = "own"
    """How a frame becomes a square: what the backbone's checkpoint asks for ("own": CLIP the crop, SigLIP the squash);
    a centre crop; the whole frame squashed, its aspect ratio ignored; or the whole frame with black bars (letterbox),
    for clips whose aspect ratio reveals the class. "auto" is what zero-shot recognition does: with a backbone that
    squashes the squash, else the crop of a video that is nearly square (`transforms.MOST_CROPPED`) and the letterbox of
    others."""
    resize_side: int | None = None
    """Short side of a frame in evaluation before its crops, in pixels, for an input of 224 (so at least that) and in
    proportion for others; video papers have 256. None is CLIP's own, the side of the input, so that the crop spans the
    short side."""
    num_clips: int = 1
    """Temporal views in evaluation."""
    num_crops: Literal[1, 3] = 1
    """Spatial views in evaluation: the centre, or left, centre and right along the long side."""
    random_groups: bool = False
    """Evaluation draws its `num_clips` groups of frames at random (seeded per clip) instead of evenly."""
    pooling: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over the views; papers differ."""
    augment: Augment = field(default_factory=Augment)
    """Training augmentation. Recorded as `NO_AUGMENTATION` where frozen features were trained from the cache."""

    def __post_init__(self) -> None:
        for name, least in (
            ("num_frames", 1),
            ("test_frames", 1),
            ("stride", 1),
            ("num_clips", 1),
            ("resize_side", 224),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= MOST:
                raise ValueError(f"expected {name} of {least} to {MOST}, got {value}")
        if self.fit not in ("own", "crop"):
            for name, value, expected in (("num_crops", self.num_crops, 1), ("resize_side", self.resize_side, None)):
                if value != expected:
                    raise ValueError(
                        f"crops are taken with fit='crop' alone: expected {name}={expected} with fit={self.fit!r}, got "
                        f"{value}; choose fit='crop' (--data.fit crop)"
                    )

    def resolved(self, pixels: Pixels) -> "DataConfig":
        """These options for a backbone with these `pixels`: its fit in place of "own", and of "auto" where it squashes.

        Raises:
            ValueError: several crops or a `resize_side`, and the backbone squashes.
        """
        if self.fit == "own" and pixels.fit == "squash" and (self.num_crops != 1 or self.resize_side is not None):
            raise ValueError(
                f"this backbone squashes whole frames into its square, and crops were asked for, by the recipe or by "
                f"--data.num-crops and --data.resize-side (num_crops={self.num_crops}, resize_side="
                f"{self.resize_side}): add --data.fit crop, or --data.num-crops 1 --data.resize-side None"
            )
        if self.fit == "own" or (self.fit == "auto" and pixels.fit == "squash"):
            return dataclasses.replace(self, fit=pixels.fit)
        return self

    @property
    def num_views(self) -> int:
        """V: clips x crops in evaluation."""
        return self.num_clips * self.num_crops

    @property
    def centre_view(self) -> "DataConfig":
        """These options with one temporal and one spatial view of `num_frames`, the centre of both."""
        return dataclasses.replace(self, test_frames=None, num_clips=1, num_crops=1, random_groups=False)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained."""

    epochs: int = 30
    batch_size: int = 32
    """Clips per optimiser step, over all processes and micro-batches."""
    micro_batches: int = 1
    """Gradient accumulation: each process splits its share of a batch into this many micro-batches. Losses that
    compare the clips of a batch with each other then see one micro-batch at a time."""
    lr: float = 1e-4
    """Peak learning rate (AdamW); a method may scale it for some of its parameters."""
    weight_decay: float = 0.01
    """Applied to matrices; not to norms, biases and scalars."""
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_epochs: float = 0.0
    """Epochs of linear warm-up, followed by cosine decay to zero."""
    clip_grad_norm: float | None = 1.0
    """Global gradient norm above which gradients are clipped; None: no clipping."""
    label_smoothing: float = 0.0
    """Probability mass spread evenly over all classes; 0 is off."""
    mixup: float = 0.0
    """Alpha of mixup's Beta distribution; 0 is off."""
    feature_dtype: Literal["float32", "float16"] = "float32"
    """How the features of a method with frozen ones are kept in the cache; float16 rounds them and takes half the
    disk."""
    mixed_precision: Precision = "no"
    """bf16 is faster on a GPU and on processors with bf16 instructions; others emulate it and are far slower."""
    gradient_checkpointing: bool = False
    """Recompute the towers' layers in the backward pass: less memory, about a third more time."""
    seed: int = 0
    """Seed of everything that is drawn: new weights, order of clips, frames, augmentation."""
    hold_out: float = 0.0
    """Share of each class's training clips that is not trained on but kept for choosing a weight or threshold; drawn
    by `seed` and named in the manifest."""
    save_every_steps: int | None = None
    """Optimiser steps between resumable checkpoints; None: one per epoch."""
    max_broken: int = 0
    """Unreadable clips that an epoch may leave out; one more stops the run."""
    num_workers: int = 2
    """Decoding processes per training process; 0 decodes in the training process."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "micro_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        for name in ("lr", "weight_decay", "warmup_epochs", "mixup", "max_broken", "num_workers", "seed"):
            if not 0 <= getattr(self, name) < math.inf:  # NaN is neither
                raise ValueError(f"expected {name} of at least 0, got {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"expected betas in [0, 1), got {self.betas}")
        if self.clip_grad_norm is not None and not 0 < self.clip_grad_norm < math.inf:
            raise ValueError(f"expected clip_grad_norm above 0, or None for no clipping, got {self.clip_grad_norm}")
        if self.save_every_steps is not None and self.save_every_steps < 1:
            raise ValueError(f"expected save_every_steps of at least 1, or None, got {self.save_every_steps}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"expected label_smoothing in [0, 1), got {self.label_smoothing}")
        if not 0 <= self.hold_out < 1:
            raise ValueError(f"expected hold_out, a share of the clips, in [0, 1), got {self.hold_out}")


def num_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_root() -> Path:
    """`$ACTIONPROMPT_CACHE`, else `~/.cache/actionprompt`."""
    return Path(os.environ.get("ACTIONPROMPT_CACHE", "~/.cache/actionprompt")).expanduser()


def to_json(value: Any) -> Any:
    """A dataclass, and what it holds, as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_json(cls: Any, value: Any, *, where: str = "") -> Any:
    """The inverse of `to_json`, checked field by field.

    Raises:
        ValueError: an unknown field (with the nearest known one) or a value of another type, naming the field.
    """
    if dataclasses.is_dataclass(cls) and isinstance(cls, type):
        if not isinstance(value, dict):
            raise ValueError(
                f"{where or cls.__name__}: expected an object with the fields of {cls.__name__}, got {value!r}"
            )
        hints = typing.get_type_hints(cls)
        known = [f.name for f in dataclasses.fields(cls)]
        for name in value:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
                raise ValueError(f"{where}{cls.__name__} has no field {name!r}; {hint}")
        return cls(**{name: from_json(hints[name], item, where=f"{where}{name}: ") for name, item in value.items()})
    origin, args = typing.get_origin(cls), typing.get_args(cls)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return from_json(next(arg for arg in args if arg is not type(None)), value, where=where)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{where}expected one of {', '.join(map(repr, args))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not ... and len(value) != len(args)):
            raise ValueError(f"{where}expected a list as {cls}, got {value!r}")
        kinds = [args[0]] * len(value) if args[-1] is ... else args
        return tuple(from_json(kind, item, where=where) for kind, item in zip(kinds, value, strict=True))
    if cls is Any:
        return value
    if cls is Path and isinstance(value, str):
        return Path(value)
    if cls is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, cls) or (cls is int and isinstance(value, bool)):
        raise ValueError(f"{where}expected {cls.__name__}, got {value!r}")
    return value


def update(config: Any, changes: dict[str, Any]) -> Any:
    """A copy with some fields changed, checked like `from_json`."""
    return from_json(type(config), {**to_json(config), **to_json(changes)})


def check_type(value: Any, kind: type, name: str) -> None:
    """Raise ValueError for an argument `name` of another type, such as a dict in place of a `DataConfig`."""
    if not isinstance(value, kind):
        raise ValueError(f"expected {name} as a {kind.__name__}, got {type(value).__name__}")
