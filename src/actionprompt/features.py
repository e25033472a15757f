"""From clips to features: the one loop that encodes, and the cache of frozen features on disk.

The cache holds one small file per clip, its key all that could change it: the backbone's weights, the code path that
encodes, sampling, transform, precision, and each file's path, size and time of change; whatever differs is another
key. Files are written atomically, so an interrupted pass resumes where it stopped, and several processes may
share a folder.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from actionprompt import data
from actionprompt.clips import Broken, Clip
from actionprompt.config import DataConfig, Precision, Progress, cache_root, to_json
from actionprompt.method import Features, Method

VERSION = 1


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
) -> Iterator[Encoded]:
    """`method.encode`, without gradients, of the evaluation views of the clips, in batches in their order.

    `only` are the positions of the clips to encode. Nothing about one clip depends on the others."""
    method.to(device).eval()
    chosen = list(range(len(clips)) if only is None else only)
    batches = [[(0, i) for i in chosen[start : start + batch_size]] for start in range(0, len(chosen), batch_size)]
    dataset = data.VideoDataset(
        clips, config, side_px=method.frame_shape[-1], training=False, seed=seed, flow=method.flow
    )
    done = 0
    for positions, batch in zip(batches, data.loader(dataset, batches, num_workers=num_workers if chosen else 0)):
        features = None
        if len(batch.label):
            video = batch.video.to(device, non_blocking=True).flatten(0, 1)
            with torch.no_grad(), autocast(device, mixed_precision):
                features = method.encode(method.normalise(video))
        yield Encoded(tuple(index for _, index in batch.position), features, batch.times_s, batch.broken)
        done += len(positions)
        if progress is not None:
            progress(done, len(chosen))


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

    Raises:
        ValueError: the method's features are not frozen.
    """
    if not method.frozen_features:
        raise ValueError(f"{method.name} changes its features while it trains")
    folder = (root or cache_root()) / "features"
    spec = _spec(method, config, mixed_precision, seed)
    paths = [_path(folder, spec, clip, clip.key if config.random_groups else "") for clip in clips]
    missing = [index for index, path in enumerate(paths) if path is None or not path.is_file()]
    broken: dict[int, Broken] = {}
    for encoded in encode_clips(
        method, clips, config, device=device, mixed_precision=mixed_precision, batch_size=batch_size,
        num_workers=num_workers, seed=seed, only=missing, progress=progress,
    ):  # fmt: skip
        broken.update((item.position[1], item) for item in encoded.broken)
        views = encoded.features.unflatten(0, (-1, config.num_views)) if encoded.index else ()
        for index, feature in zip(encoded.index, views, strict=True):
            path = paths[index]
            assert path is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            with temporary.open("wb") as file:
                np.save(file, feature.float().cpu().numpy())
            temporary.replace(path)
    readable = [i for i in range(len(clips)) if i not in broken]
    stored = [torch.from_numpy(np.load(path)) for i in readable if (path := paths[i]) is not None]
    return CachedFeatures(
        features=torch.stack(stored) if stored else torch.empty(0, config.num_views),
        index=torch.tensor(readable, dtype=torch.long),
        broken=tuple(broken[i] for i in sorted(broken)),
        num_encoded=len(missing) - len(broken),
    )


def _spec(method: Method, config: DataConfig, mixed_precision: Precision, seed: int) -> str:
    own = type(method).encode is not Method.encode
    views = {k: v for k, v in to_json(config).items() if k not in ("augment", "pooling")}
    spec = {
        "version": VERSION,
        "backbone": method.clip_sha256,
        "encode": [type(method).__module__, to_json(method.config)] if own else "image tower",
        "views": views,
        "seed": seed if config.random_groups else None,
        "pixels": [method.clip.image.image_size, method.clip.mean, method.clip.std],
        "precision": mixed_precision,
    }
    return json.dumps(spec, sort_keys=True)


def _path(folder: Path, spec: str, clip: Clip, draw: str) -> Path | None:
    """Where this clip's features lie; None for a path that is not there (reading it then says what is wrong)."""
    try:
        files = sorted(clip.path.iterdir()) if clip.path.is_dir() else [clip.path]
        identity = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    except OSError:
        return None
    key = hashlib.sha256(f"{spec}\n{json.dumps(identity)}\n{draw}".encode()).hexdigest()
    return folder / key[:2] / f"{key}.npy"
