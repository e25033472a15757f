"""From clips to features: the one loop that encodes, and the cache of frozen features on disk.

The cache holds a row for each clip (`store`), its key all that could change it: the backbone's weights, the code path
that encodes, sampling, transform, precision, each file's path, size and time of change, and the span of a clip that is
a part of a file; whatever differs is another key. Rows are appended as they are made, so an interrupted pass resumes
where it stopped, and several processes may fill a folder.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from actionprompt import data, files, store
from actionprompt.clips import Broken, Clip, some
from actionprompt.config import DataConfig, Precision, Progress, cache_root, to_json
from actionprompt.method import Features, Method
from actionprompt.store import Rows

VERSION = 3


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
    loaded = data.loader(dataset, batches, num_workers=num_workers if len(chosen) > 1 else 0)
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

    features: Rows
    """[C, V, ...], gathered on demand."""
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
    dtype: Literal["float32", "float16"] = "float32",
    share: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> CachedFeatures:
    """`encode_clips` of every clip, from the cache where it is there.

    What is damaged in the cache is encoded again, and where the cache cannot be written the features are only returned;
    a `files.Notice` says so. `dtype` is how they are kept; with float16 the features are rounded to it. `share` is the
    number of this process and of all that encode these clips together: each encodes every so-many-th batch, and what
    the others encode is not returned.

    Raises:
        ValueError: the method's features are not frozen, or features that are not finite, or too large for float16; the
            message names the clip.
    """
    if not method.frozen_features:
        raise ValueError(f"{method.name} changes its features while it trains")
    spec = _spec(method, config, mixed_precision, seed, dtype)
    folder = (root or cache_root()) / "features" / hashlib.sha256(spec.encode()).hexdigest()[:32]
    keys = _keys(spec, clips, by_key=config.random_groups)
    known = [index for index, key in enumerate(keys) if key is not None]
    found = store.find(folder, [key for key in keys if key is not None])
    part, row = np.full(len(clips), -1), np.zeros(len(clips), np.int64)
    part[known], row[known] = found.part, found.row
    missing = np.flatnonzero(part < 0)
    if share[0] == 0 and (found.damaged or (found.unnamed and len(missing))):
        names = [clips[known[index]].key for index in found.damaged]
        what = f"features of {len(names)} clips are damaged" if names else "parts are damaged"
        text = f"{folder}: {what} and encoded again{': ' if names else ''}{some(names)}"
        warnings.warn(text, files.Notice, stacklevel=2)
    # Numbers depend in their last bits on what else is in a batch, so a pass that was interrupted is continued with the
    # batches of one that was not, although some of their clips are in the cache already.
    batches = {batch for batch in (missing // batch_size).tolist() if batch % share[1] == share[0]}
    only = [
        i for batch in sorted(batches) for i in range(batch * batch_size, min(len(clips), (batch + 1) * batch_size))
    ]
    broken: dict[int, Broken] = {}
    appended, in_memory = len(found.parts), len(found.parts) + 1
    unkept: list[np.ndarray] = []
    encoding = encode_clips(
        method, clips, config, device=device, mixed_precision=mixed_precision, batch_size=batch_size,
        num_workers=num_workers, seed=seed, only=only, progress=progress,
    )  # fmt: skip
    with contextlib.closing(encoding), store.Appender(folder, spec) as appender:
        writable = True
        for encoded in encoding:
            broken.update((item.position[1], item) for item in encoded.broken if part[item.position[1]] < 0)
            if not encoded.index:
                continue
            views = encoded.features.unflatten(0, (-1, config.num_views)).float().cpu()
            views = _rounded(views, dtype, [clips[i].key for i in encoded.index])
            new = [(at, i) for at, i in enumerate(encoded.index) if part[i] < 0]
            keep = [(at, i, key) for at, i in new if (key := keys[i]) is not None and writable]
            try:
                if keep:
                    appender.add([key for *_, key in keep], views[[at for at, *_ in keep]])
                for number, (_, i, _) in enumerate(keep, start=appender.num_rows - len(keep)):
                    part[i], row[i] = appended, number
            except OSError as error:
                writable = False
                text = (
                    f"features cannot be kept in {folder} ({error.strerror or error}); the work continues without, "
                    f"ACTIONPROMPT_CACHE names another cache folder"
                )
                warnings.warn(text, files.Notice, stacklevel=2)
            for at, i in new:
                if part[i] < 0:
                    part[i], row[i] = in_memory, len(unkept)
                    unkept.append(views[at])
    nothing = np.empty(0, np.float32)
    parts = [
        *found.parts,
        appender.written() if appender.num_rows else nothing,
        np.stack(unkept) if unkept else nothing,
    ]
    readable = np.flatnonzero(part >= 0)
    return CachedFeatures(
        features=Rows(parts, part[readable], row[readable]),
        index=torch.from_numpy(readable),
        broken=tuple(broken[i] for i in sorted(broken)),
        num_encoded=len(readable) - (len(clips) - len(missing)),
    )


def _rounded(views: Tensor, dtype: Literal["float32", "float16"], keys: Sequence[str]) -> np.ndarray:
    """Features as they are kept."""
    kept = views if dtype == "float32" else views.half()
    finite = kept.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(
            f"{keys[int((~finite).nonzero()[0])]}: the features of this clip are too large for float16; keep them as "
            f"float32"
        )
    return kept.numpy()


def _spec(method: Method, config: DataConfig, mixed_precision: Precision, seed: int, dtype: str) -> str:
    pixels = method.clip.pixels
    views = {k: v for k, v in to_json(config.resolved(pixels)).items() if k not in ("augment", "pooling")}
    spec = {
        "version": VERSION,
        "backbone": method.clip_sha256,
        "encode": "image tower" if method.encodes_frames else [type(method).__module__, to_json(method.config)],
        "views": views,
        "seed": seed if config.random_groups else None,
        "heads": method.clip.image.num_heads,  # the weights, and their hash, do not show them
        "pixels": [method.clip.image.image_size, pixels.mean, pixels.std, pixels.interpolation],
        "precision": mixed_precision,
        "kept": dtype,
    }
    return json.dumps(spec, sort_keys=True)


def _keys(spec: str, clips: Sequence[Clip], *, by_key: bool) -> list[bytes | None]:
    """The key of each clip's features; None for a path that cannot be looked at (reading it then says what is wrong).
    With `by_key` frames are drawn by the clip's key."""
    start = hashlib.sha256(spec.encode())
    folders: dict[str, str] = {}  # real paths, since there are far fewer folders than clips
    keys: list[bytes | None] = []
    for clip in clips:
        path = os.fspath(clip.path)
        try:
            identity = _identity(path, folders)
        except (OSError, ValueError):  # ValueError: a null character in the name
            keys.append(None)
            continue
        part = f"\n{clip.span}" if clip.span is not None else ""
        # json.dumps escapes what is no valid UTF-8 in a name
        text = f"\n{json.dumps(identity)}\n{clip.key if by_key else ''}{part}"
        digest = start.copy()
        digest.update(text.encode("utf-8", "surrogateescape"))
        keys.append(digest.digest())
    return keys


def _identity(path: str, folders: dict[str, str], *, inside: bool = False) -> list[tuple[str, int, int]]:
    """The real path of a file, its size and its time of change; of a folder, those of what is in it."""
    status = os.lstat(path)
    if stat.S_ISREG(status.st_mode):
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return [(os.path.join(folders[folder], name), status.st_size, status.st_mtime_ns)]
    if not inside and os.path.isdir(path):
        names = sorted(os.listdir(path))
        return [part for name in names for part in _identity(os.path.join(path, name), folders, inside=True)]
    status = os.stat(path)
    return [(os.path.realpath(path), status.st_size, status.st_mtime_ns)]
