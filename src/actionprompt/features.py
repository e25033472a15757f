"""Frozen frame features, encoded once and kept on disk: one small file per clip, its key all that could change it.

The key covers the backbone's weights, the code path that encodes, sampling, transform, precision, and each file's path,
size and time of change; whatever differs is simply another key. Files are written atomically, so an interrupted pass
goes on where it stopped and several processes may share a folder.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from actionprompt import data, transforms
from actionprompt.config import DataConfig, to_json
from actionprompt.datasets._base import Clip
from actionprompt.methods._base import Method

VERSION = 1
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CachedFeatures:
    """Features of the readable clips of a list, in its order; C of them."""

    features: Float[Tensor, "C V ..."]
    index: Int[Tensor, " C"]
    """Position of each clip in the list."""
    broken: tuple[data.Broken, ...]
    num_encoded: int
    """How many were not in the cache."""


def cache_root() -> Path:
    """`$ACTIONPROMPT_CACHE`, else `~/.cache/actionprompt`."""
    return Path(os.environ.get("ACTIONPROMPT_CACHE", "~/.cache/actionprompt")).expanduser()


def cached(
    method: Method,
    clips: Sequence[Clip],
    config: DataConfig,
    *,
    device: torch.device | str = "cpu",
    autocast: torch.dtype | None = None,
    batch_size: int = 8,
    num_workers: int = 2,
    seed: int = 0,
    root: Path | None = None,
    progress: Progress | None = None,
) -> CachedFeatures:
    """`method.encode` of every clip's evaluation views, from the cache where it is there.

    Raises:
        ValueError: the method's features are not frozen.
    """
    if not method.frozen_features:
        raise ValueError(f"{type(method).__module__.rsplit('.', 1)[-1]} changes its features while it trains")
    folder = (root or cache_root()) / "features"
    side_px = method.clip.image.image_size
    spec = _spec(method, config, side_px, autocast, seed)
    paths = [_path(folder, spec, clip, clip.key if config.random_groups else "") for clip in clips]
    missing = [index for index, path in enumerate(paths) if path is None or not path.is_file()]
    broken: dict[int, data.Broken] = {}
    batches = [[(0, i) for i in missing[start : start + batch_size]] for start in range(0, len(missing), batch_size)]
    dataset = data.VideoDataset(clips, config, side_px=side_px, training=False, seed=seed)
    done = 0
    for positions, batch in zip(batches, data.loader(dataset, batches, num_workers=num_workers if missing else 0)):
        features = encode_batch(method, batch, device=device, autocast=autocast) if len(batch.label) else ()
        for (_, index), feature in zip(batch.position, features, strict=True):
            path = paths[index]
            assert path is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            with temporary.open("wb") as file:
                np.save(file, feature.float().cpu().numpy())
            temporary.replace(path)
        read = {index for _, index in batch.position}
        unread = [index for _, index in positions if index not in read]
        broken.update(zip(unread, batch.broken, strict=True))
        done += len(positions)
        if progress is not None:
            progress(done, len(missing))
    readable = [i for i in range(len(clips)) if i not in broken]
    stored = [torch.from_numpy(np.load(path)) for i in readable if (path := paths[i]) is not None]
    return CachedFeatures(
        features=torch.stack(stored) if stored else torch.empty(0, config.num_views),
        index=torch.tensor(readable, dtype=torch.long),
        broken=tuple(broken[i] for i in sorted(broken)),
        num_encoded=len(missing) - len(broken),
    )


@torch.no_grad()
def encode_batch(
    method: Method, batch: data.Batch, *, device: torch.device | str, autocast: torch.dtype | None = None
) -> Tensor:
    """`encode` over all views of a batch: [B, V, ...]."""
    clip = method.clip
    video = batch.video.to(device, non_blocking=True).flatten(0, 1)
    pixels = transforms.normalise(video, mean=clip.mean, std=clip.std)
    with torch.autocast(torch.device(device).type, dtype=autocast, enabled=autocast is not None):
        features = method.encode(pixels)
    return features.unflatten(0, batch.video.shape[:2])


def _spec(method: Method, config: DataConfig, side_px: int, autocast: torch.dtype | None, seed: int) -> str:
    own = type(method).encode is not Method.encode
    views = {k: v for k, v in to_json(config).items() if k not in ("augment", "pooling")}
    spec = {
        "version": VERSION,
        "backbone": method.clip_sha256,
        "encode": [type(method).__module__, to_json(method.config)] if own else "image tower",
        "views": views,
        "seed": seed if config.random_groups else None,
        "pixels": [side_px, method.clip.mean, method.clip.std],
        "precision": str(autocast),
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
