"""What a method is. The only base class; a method is one file that subclasses it once, as `Model`.

A method file, top to bottom: docstring (paper, equations, source of every number, differences from the paper),
`Config`, the blocks only it uses, `Model`, then optional tables: `VARIANTS` (ablation rows of the paper by name),
`RECIPES` (its training settings by protocol: fields of `config.TrainConfig` and `config.DataConfig`), `ABLATIONS`
(which rows are compared with each other), `CARD` (its row in the README) and `PUBLISHED` (its paper's numbers).

Letters: N videos (batch x views), T frames, S side in pixels, h x w patches, E width of the joint space, K classes.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from actionprompt import transforms
from actionprompt.backbone import CLIP, TextTower
from actionprompt.clips import listed
from actionprompt.config import DataConfig

Features = Any
"""What `encode` returns and `head` takes: a tensor, or a small dataclass of tensors whose first axis is N."""


class Method(nn.Module):
    """Base of all methods.

    A subclass takes `(config, clip, class_names, class_names_zh=None)`, calls `super().__init__(config, clip)` (this
    freezes the backbone), builds its blocks, unfreezes what it trains, and ends with `self.set_classes(...)`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """An override of `set_classes` gets tuples, whatever iterables it is called with: it reads them repeatedly."""
        super().__init_subclass__(**options)
        if (own := vars(cls).get("set_classes")) is not None:

            @functools.wraps(own)
            def set_classes(self: Any, names: Any, names_zh: Any = None) -> None:
                own(self, listed(names), tuple(names_zh) if names_zh is not None else None)

            cls.set_classes = set_classes  # type: ignore[method-assign]

    def __init__(self, config: Any, clip: CLIP) -> None:
        super().__init__()
        self.config = config
        self.clip = clip.requires_grad_(False)
        self._clip_sha256: str | None = None
        self.class_names: tuple[str, ...] = ()
        self.class_names_zh: tuple[str, ...] | None = None
        self._class_features: Tensor | None = None

    @property
    def name(self) -> str:
        """The name of the method, which is the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    # Properties that a subclass overrides

    @property
    def flow(self) -> Literal["dis", "tvl1"] | None:
        """The algorithm of the optical flow that `encode` takes in place of RGB frames; None: RGB."""
        return None

    @property
    def text_tower(self) -> TextTower:
        """The text tower of the backbone as it was loaded, or as it was trained."""
        return self.clip.text

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the frames that `encode` takes."""
        side_px = self.clip.image.image_size
        return 3, side_px, side_px

    @property
    def frozen_features(self) -> bool:
        """Whether `encode` returns the same for the same video throughout training, so that its output may be cached.
        Such an `encode` returns a single tensor and has no trained parameters."""
        return False

    @property
    def encodes_frames(self) -> bool:
        """Whether `encode` is the image tower on every frame, so that frames can be encoded one by one."""
        return type(self).encode is Method.encode

    @property
    def open_vocabulary(self) -> bool:
        """Whether `set_classes` accepts other class names after training."""
        return True

    def training_only(self) -> Iterable[nn.Module]:
        """Modules that no prediction depends on; they are not saved in the inference model."""
        return ()

    @property
    def per_class(self) -> tuple[str, ...]:
        """Names of the trained tensors, or of modules of them, with one row per class along their first axis. They are
        drawn anew where a model starts from another one, which may know other classes (`checkpoint.start_from`)."""
        return ()

    # From a video to logits

    def normalise(self, video: UInt8[Tensor, "N T C S S"]) -> Float[Tensor, "N T C S S"]:
        """Stored frames -> what `encode` takes: pixel normalisation with the backbone's mean and standard deviation."""
        return transforms.normalise(video, mean=self.clip.pixels.mean, std=self.clip.pixels.std)

    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        """Set the class names, and optionally their Chinese names in the same order. Subclasses then encode the prompts
        into non-persistent buffers.

        Raises:
            ValueError: no names, a duplicate name, names that are the same to the backbone, not one Chinese name per
                class, or other names than before although the model is not `open_vocabulary`; the same names in another
                order reorder what it has learned.
        """
        names, names_zh = listed(names), tuple(names_zh) if names_zh is not None else None
        if not names:
            raise ValueError("expected at least one class name, got none")
        self._check_told_apart(names)
        if names_zh is not None and len(names_zh) != len(names):
            raise ValueError(f"expected one Chinese name per class, got {len(names_zh)} for {len(names)} classes")
        if self.class_names and names != self.class_names and not self.open_vocabulary:
            if sorted(names) == sorted(self.class_names):
                row = {name: index for index, name in enumerate(self.class_names)}
                self._reorder([row[name] for name in names])
            else:
                raise ValueError(
                    f"this model has learned parameters of its own for its {len(self.class_names)} classes "
                    f"({', '.join(self.class_names[:3])}, ...) and cannot be given other names; train an "
                    f"open-vocabulary method or configuration for that"
                )
        self._class_features = None
        self.class_names = names
        self.class_names_zh = names_zh

    def _check_told_apart(self, names: Sequence[str]) -> None:
        """Raise ValueError for names that are the same tokens, or none: SigLIP reads no punctuation, and to a BERT all
        that it does not know is one token."""
        tokenizer, seen = self.text_tower.tokenizer, dict[tuple[int, ...], str]()
        for name, ids in zip(names, tokenizer.encode(names), strict=True):
            if len(ids) <= tokenizer.num_start + tokenizer.num_end:
                raise ValueError(
                    f"expected class names with words in them, got {name!r}: the backbone reads none of it"
                )
            if (other := seen.setdefault(tuple(ids), name)) != name:
                raise ValueError(
                    f"the class names {other!r} and {name!r} are the same text to the backbone {self.clip.name!r}; "
                    f"rename one of them, or choose another backbone"
                )

    @torch.no_grad()
    def _reorder(self, order: list[int]) -> None:
        """Row k of every trained tensor with one row per class becomes what row order[k] was."""
        for name, tensor in self.trained_state().items():
            if any(name == part or name.startswith(f"{part}.") for part in self.per_class):
                tensor.copy_(tensor[order])

    def encode(self, video: Float[Tensor, "N T 3 S S"]) -> Features:
        """Pixel-normalised frames -> features. Default: the image tower applied to every frame, embeddings [N, T, E],
        not L2-normalised.

        Raises:
            ValueError: `video` is not [N, T, 3, S, S], or S is not the image size of the backbone.
        """
        check_video(video)
        return self.clip.image(video.flatten(0, 1)).unflatten(0, video.shape[:2])

    def class_features(self) -> Tensor:
        """The result of `encode_classes`. In evaluation mode without gradients, where it cannot change, it is computed
        once and reused until `train`, `eval` or `set_classes` is called."""
        if self._class_features is not None and not torch.is_grad_enabled():
            return self._class_features
        features = self.encode_classes()
        self._class_features = features if not (self.training or features.requires_grad) else None
        return features

    def encode_classes(self) -> Tensor:
        """Text features of the current classes, for methods whose `head` uses `class_features`."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "Method":
        self._class_features = None
        return super().train(mode)

    def head(self, features: Features) -> Float[Tensor, "N K"]:
        """Features -> logits over the current class names."""
        raise NotImplementedError

    def loss(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """The loss to minimise under the key `loss`; other keys are its named parts, for the log.

        `labels` are class indices [N], or soft targets [N, K] (label smoothing, mixup). Default: cross-entropy."""
        return {"loss": F.cross_entropy(self.head(features).float(), labels)}

    def forward(
        self, video: Tensor | None, labels: Tensor | None = None, *, features: Features | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Logits [N, K]; with `labels`, the losses. Cached `features` replace the video."""
        if features is None:
            assert video is not None
            features = self.encode(video)
        return self.head(features) if labels is None else self.loss(features, labels)

    @torch.no_grad()
    def attention_maps(self, video: Float[Tensor, "N T 3 S S"], *, num_layers: int = 3) -> Float[Tensor, "N T h w"]:
        """Attention weights to each frame's h x w patches, in the image tower as this method runs it: the mean over the
        heads. With a class token, they are those of this token, the mean of the last `num_layers` layers; a frame's map
        sums to at most 1, and the remainder is attention to the class token itself and to prompts. With an attention
        pool, they are those of its probe at the end of the tower, without `num_layers`; a map sums to 1.

        The method's tokens are assumed to be the frame's own, then added tokens. A method with another order, or one
        that bypasses `Layer.attend`, overrides this.

        Raises:
            ValueError: a layer is not called exactly once, on all frames, or the tower averages its patches.
        """
        image, frames = self.clip.image, video.shape[:2]
        if image.pieces.pooling == "mean":
            raise ValueError(
                f"the backbone {self.clip.name!r} averages its patches, so that no attention tells what it looks at; "
                f"attention maps need one with a class token or an attention pool"
            )
        if image.pool is not None:
            record = self._recorded([image.pool], video)[0][-1:]  # methods may read frame tokens before the end, too
            weights = [image.pool.attention_weights(x) for x in record if len(x) == frames.numel()]
        else:
            layers: list[Any] = list(image.layers)[-num_layers:]
            records = self._recorded(layers, video)
            once = all(len(record) == 1 and len(record[0][0]) == frames.numel() for record in records)
            patches = slice(image.num_prefix, image.num_prefix + image.grid**2)
            weights = [m.attention_weights(*r[0])[:, :, 0, patches] for m, r in zip(layers, records)] if once else []
        if not weights:
            raise ValueError(
                f"expected every layer of the image tower to be called once, on all frames; {self.name} runs the tower "
                f"in another way and offers no attention maps"
            )
        return torch.stack(weights).float().mean((0, 2)).unflatten(0, frames).unflatten(-1, (image.grid, image.grid))

    def _recorded(self, parts: Sequence[Any], video: Tensor) -> list[list[Any]]:
        """What reaches the attention of each part of the image tower while it encodes a video."""
        records: list[list[Any]] = [[] for _ in parts]
        try:
            for part, record in zip(parts, records):
                part.record = record
            self.encode(video)
        finally:
            for part in parts:
                part.record = None
        return records

    @property
    def clip_sha256(self) -> str:
        """SHA-256 of the backbone's weights as loaded, computed at first use: read it before training changes them."""
        if self._clip_sha256 is None:
            self._clip_sha256 = self.clip.fingerprint()
        return self._clip_sha256

    @clip_sha256.setter
    def clip_sha256(self, value: str) -> None:
        self._clip_sha256 = value

    # Training and saving

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Optimiser groups over exactly the trained tensors. Default: one learning rate for all."""
        return groups((p for p in self.parameters() if p.requires_grad), lr)

    def trained_state(self, *, inference: bool = False) -> dict[str, Tensor]:
        """The trained tensors and the method's own persistent buffers, by name; with `inference`, without the modules
        of `training_only`. Everything else is rebuilt from the backbone and the class names."""
        skip = {id(p) for module in self.training_only() for p in [*module.parameters(), *module.buffers()]}
        frozen = {id(p) for p in self.parameters() if not p.requires_grad} | {id(b) for b in self.clip.buffers()}
        leave = frozen | (skip if inference else set())
        return {name: value for name, value in self.state_dict(keep_vars=True).items() if id(value) not in leave}

    @torch.no_grad()
    def load_trained_state(self, state: dict[str, Tensor], *, inference: bool = False) -> None:
        """Strict inverse of `trained_state`.

        Raises:
            ValueError: names or shapes do not match exactly.
        """
        own = self.trained_state(inference=inference)
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise ValueError(
                f"the weights do not fit this configuration: {len(missing)} missing (first: {missing[:1]}), "
                f"{len(unknown)} unknown (first: {unknown[:1]})"
            )
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name}: expected shape {list(tensor.shape)}, got {list(state[name].shape)}")
            tensor.copy_(state[name])
        self.set_classes(self.class_names, self.class_names_zh)


def check_method(value: Any) -> None:
    """Raise ValueError for something else in place of a method, such as its name."""
    if not isinstance(value, Method):
        raise ValueError(
            f"expected method as a Method, got {type(value).__name__}; `load(folder).method` is a trained one, "
            f"`methods.build(name, clip, class_names)` a new one"
        )


def check_video(video: Tensor) -> None:
    """Raise ValueError for a video whose shape is not [N, T, 3, S, S]."""
    if video.ndim != 5 or video.shape[2] != 3:
        hint = "; axes 1 and 2 look swapped" if video.ndim == 5 and video.shape[1] == 3 else ""
        raise ValueError(f"expected video [N, T, 3, S, S], got {list(video.shape)}{hint}")


def check_frames(method: Method, config: DataConfig) -> None:
    """Raise ValueError for data with another number of frames than the method has learned tables for."""
    num_frames = getattr(method.config, "num_frames", None)
    for given in (config.num_frames, config.test_frames):
        if num_frames is not None and given not in (num_frames, None):
            raise ValueError(
                f"{method.name} is configured for num_frames={num_frames}, the data for {given}: expected the same; "
                f"set --method.num-frames and --data.num-frames, or a --variant that sets both"
            )


def groups(parameters: Iterable[nn.Parameter], lr: float, **options: Any) -> list[dict[str, Any]]:
    """Two optimiser groups at one learning rate: matrices with weight decay; vectors and scalars without it."""
    parameters = list(parameters)
    parts = [p for p in parameters if p.ndim >= 2], [p for p in parameters if p.ndim < 2]
    decayed = {"params": parts[0], "lr": lr, **options}
    return [g for g in (decayed, {"params": parts[1], "lr": lr, "weight_decay": 0.0, **options}) if g["params"]]
