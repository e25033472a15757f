"""From clips to features: the one loop that encodes, and the cache of frozen features on disk.

The cache holds one small file per clip, its key all that could change it: the backbone's weights, the code path that
encodes, sampling, transform, precision, each file's path, size and time of change, and the span of a clip that is a
part of a file; whatever differs is another key. A file is a SHA-256 of the key and the rest, and the array in NumPy's
format. Files are written atomically, so an interrupted pass resumes where it stopped, and several processes may share a
folder.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from actionprompt import data, files
from actionprompt.clips import Broken, Clip, some
from actionprompt.config import DataConfig, Precision, Progress, cache_root, to_json
from actionprompt.method import Features, Method

VERSION = 2


@dataclass(frozen=True)
class Encoded:
    """One batch of clips after `encode`."""

    index: tuple[int, ...]
    """Positions in the list of the clips that could be read; B of them."""
    features: Features
    """Of all their views, first axis B * V; None where no clip could be read."""
    times_s: tuple[tuple[float, ...], ...]
    """Of each clip, when the frames it was made of are shown (`data.Sample.times_s`)."""
    broken: tuple[Broken, ...]
    """The other clips of the batch."""


def encode_clips(
    method: Method,
    clips: Sequence[Clip],
    config: DataConfig,
    *,
    device: torch.device | str = "cpu",
    mixed_precision: Precision = "no",
    batch_size: int = 8,
    num_workers: int = 2,
    seed: int = 0,
    only: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Generator[Encoded, None, None]:
    """`method.encode`, without gradients, of the evaluation views of the clips, in batches in their order.

    `only` are the positions of the clips to encode. Nothing about one clip depends on the others.

    Raises:
        ValueError: features that are not finite; the message names the clip.
    """
    method.to(device).eval()
    chosen = list(range(len(clips)) if only is None else only)
    batches = [[(0, i) for i in chosen[start : start + batch_size]] for start in range(0, len(chosen), batch_size)]
    dataset = data.VideoDataset(
        clips, config, side_px=method.frame_shape[-1], training=False, seed=seed, pixels=method.clip.pixels,
        flow=method.flow,
    )  # fmt: skip
    done = 0
    loaded = data.loader(dataset, batches, num_workers=num_workers if chosen else 0)
    with contextlib.closing(loaded):
        for positions, batch in zip(batches, loaded):
            features = None
            if len(batch.label):
                video = batch.video.to(device, non_blocking=True).flatten(0, 1)
                with torch.no_grad(), autocast(device, mixed_precision):
                    features = method.encode(method.normalise(video))
                _check_finite(features, batch.key)
            yield Encoded(tuple(index for _, index in batch.position), features, batch.times_s, batch.broken)
            done += len(positions)
            if progress is not None:
                progress(done, len(chosen))


def _check_finite(features: Features, keys: Sequence[str]) -> None:
    """Raise ValueError naming the first clip with a feature that is NaN or infinite."""
    fields = dataclasses.fields(features) if dataclasses.is_dataclass(features) else ()
    for value in [getattr(features, field.name) for field in fields] or [features]:
        finite = value.isfinite().reshape(len(keys), -1).all(1)
        if not bool(finite.all()):
            raise ValueError(
                f"{keys[int((~finite).nonzero()[0])]}: the features of this clip are not finite numbers; the weights "
                f"of the backbone or model are damaged, or the precision is too low for them"
            )


def autocast(device: torch.device | str, mixed_precision: Precision) -> torch.autocast:
    """The context in which a model computes in the named precision."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=mixed_precision == "bf16")


@dataclass(frozen=True)
class CachedFeatures:
    """Features of the readable clips of a list, in its order; C of them."""

    features: Float[Tensor, "C V ..."]
    index: Int[Tensor, " C"]
    """Position of each clip in the list."""
    broken: tuple[Broken, ...]
    num_encoded: int
    """How many were not in the cache."""


def cached(
    method: Method,
    clips: Sequence[Clip],
    config: DataConfig,
    *,
    device: torch.device | str = "cpu",
    mixed_precision: Precision = "no",
    batch_size: int = 8,
    num_workers: int = 2,
    seed: int = 0,
    root: Path | None = None,
    progress: Progress | None = None,
) -> CachedFeatures:
    """`encode_clips` of every clip, from the cache where it is there.

    What is damaged in the cache is encoded again, and where the cache cannot be written the features are only returned;
    a `files.Notice` says so.

    Raises:
        ValueError: the method's features are not frozen, or features that are not finite; the message names the clip.
    """
    if not method.frozen_features:
        raise ValueError(f"{method.name} changes its features while it trains")
    folder = (root or cache_root()) / "features"
    spec = _spec(method, config, mixed_precision, seed)
    paths = [_path(folder, spec, clip, clip.key if config.random_groups else "") for clip in clips]
    stored: dict[int, Tensor] = {}
    damaged = []
    for index, path in enumerate(paths):
        if path is not None and path.is_file():
            try:
                stored[index] = _read(path)
            except (OSError, ValueError):
                damaged.append(clips[index].key)
                continue
            _check_finite(stored[index][None], [f"{clips[index].key} ({path})"])
    if damaged:
        text = f"{folder}: features of {len(damaged)} clips are damaged and encoded again: {some(damaged)}"
        warnings.warn(text, files.Notice, stacklevel=2)
    missing = [index for index in range(len(clips)) if index not in stored]
    # Numbers depend in their last bits on what else is in a batch, so a pass that was interrupted is continued with the
    # batches of one that was not, although some of their clips are in the cache already.
    batches = {index // batch_size for index in missing}
    only = [index for index in range(len(clips)) if index // batch_size in batches]
    broken: dict[int, Broken] = {}
    writable = True
    for parent in {path.parent for index in missing if (path := paths[index]) is not None}:
        files.sweep(parent, older_than_s=3600)  # the numbers of processes on other machines say nothing here
    encoding = encode_clips(
        method, clips, config, device=device, mixed_precision=mixed_precision, batch_size=batch_size,
        num_workers=num_workers, seed=seed, only=only, progress=progress,
    )  # fmt: skip
    with contextlib.closing(encoding):
        for encoded in encoding:
            broken.update((item.position[1], item) for item in encoded.broken if item.position[1] not in stored)
            views = encoded.features.unflatten(0, (-1, config.num_views)) if encoded.index else ()
            for index, feature in zip(encoded.index, views, strict=True):
                path = paths[index]
                if index in stored:
                    continue
                stored[index] = feature.float().cpu()
                if path is None or not writable:
                    continue
                try:
                    _write(path, stored[index])
                except OSError as error:
                    writable = False
                    text = (
                        f"features cannot be kept in {folder} ({error.strerror or error}); the work continues without, "
                        f"ACTIONPROMPT_CACHE names another cache folder"
                    )
                    warnings.warn(text, files.Notice, stacklevel=2)
    readable = sorted(stored)
    return CachedFeatures(
        features=torch.stack([stored[i] for i in readable]) if readable else torch.empty(0, config.num_views),
        index=torch.tensor(readable, dtype=torch.long),
        broken=tuple(broken[i] for i in sorted(broken)),
        num_encoded=len(missing) - len(broken),
    )


def _write(path: Path, feature: Tensor) -> None:
    content = io.BytesIO()
    np.save(content, feature.numpy(), allow_pickle=False)
    array = content.getvalue()
    with files.replacing(path, durable=False) as temporary:
        temporary.write_bytes(_checksum(path, array) + array)


def _read(path: Path) -> Tensor:
    """Raises ValueError for a file that is damaged or belongs to another key."""
    content = path.read_bytes()
    checksum, array = content[:32], content[32:]
    if checksum != _checksum(path, array):
        raise ValueError(f"{path} is damaged")
    return torch.from_numpy(np.load(io.BytesIO(array), allow_pickle=False))


def _checksum(path: Path, array: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + array).digest()


def _spec(method: Method, config: DataConfig, mixed_precision: Precision, seed: int) -> str:
    pixels = method.clip.pixels
    views = {k: v for k, v in to_json(config.resolved(pixels)).items() if k not in ("augment", "pooling")}
    spec = {
        "version": VERSION,
        "backbone": method.clip_sha256,
        "encode": "image tower" if method.encodes_frames else [type(method).__module__, to_json(method.config)],
        "views": views,
        "seed": seed if config.random_groups else None,
        "pixels": [method.clip.image.image_size, pixels.mean, pixels.std, pixels.interpolation],
        "precision": mixed_precision,
    }
    return json.dumps(spec, sort_keys=True)


def _path(folder: Path, spec: str, clip: Clip, draw: str) -> Path | None:
    """Where this clip's features lie; None for a path that cannot be looked at (reading it then says what is wrong)."""
    try:
        parts = sorted(clip.path.iterdir()) if clip.path.is_dir() else [clip.path]
        identity = [[os.path.realpath(part), part.stat().st_size, part.stat().st_mtime_ns] for part in parts]
    except (OSError, ValueError):  # ValueError: a null character in the name
        return None
    part = f"\n{clip.span}" if clip.span is not None else ""
    text = f"{spec}\n{json.dumps(identity)}\n{draw}{part}"  # json.dumps escapes what is no valid UTF-8 in a name
    key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return folder / key[:2] / f"{key}.features"
