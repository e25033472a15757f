"""The weight lambda between English and Chinese in `dual_semantic_tpr` (Eq. 18), chosen on validation clips.

The paper does not report lambda. Here it is a hyperparameter: chosen on clips that are used neither for training nor
for testing, and written into the model's manifest together with the list it was chosen on. Where the official lists
have no validation part, training with `TrainConfig.hold_out` leaves a share of its own list for this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from actionprompt import checkpoint
from actionprompt.clips import Broken, ClipList, some
from actionprompt.config import DataConfig, Progress, from_json, to_json
from actionprompt.evaluation import pool_views
from actionprompt.features import encode_clips

CANDIDATES = tuple(round(0.05 * i, 2) for i in range(21))
BY_CLIP = "every clip compared with those of the training"
BY_LIST = f"only the hash of the list compared: the model has no {checkpoint.TRAINED_CLIPS}"

# Letters: C clips, V views, K classes


@dataclass(frozen=True)
class Choice:
    """The chosen lambda, and the accuracy of every candidate."""

    weight: float
    """lambda: 1 is English only, 0 Chinese only."""
    candidates: tuple[float, ...]
    top1: tuple[float, ...]
    """Top-1 accuracy on the readable clips in percent, by candidate."""
    num_clips: int
    """Readable clips lambda was chosen on."""
    broken: tuple[Broken, ...] = ()
    unseen: str = ""
    """How it was checked that the model was not trained on these clips: `BY_CLIP` or `BY_LIST`."""


def choose(
    english: Float[Tensor, "C V K"],
    chinese: Float[Tensor, "C V K"],
    labels: Int[Tensor, " C"],
    *,
    tau: float,
    pooling: Literal["probabilities", "logits"] = "probabilities",
    candidates: Sequence[float] = CANDIDATES,
) -> Choice:
    """The lambda with the highest top-1 accuracy; ties go to the highest mean log-probability of the true class.

    `english` and `chinese` are the cosine similarities S_VT and S_VC of every view; `tau` and `pooling` as in the model
    and its data options.

    Raises:
        ValueError: no clips.
    """
    if not len(labels):
        raise ValueError("expected validation clips that can be read, got none")
    top1, likelihood = [], []
    for weight in candidates:
        probabilities = pool_views((weight * english + (1 - weight) * chinese) / tau, pooling)
        top1.append(100 * float((probabilities.argmax(1) == labels).float().mean()))
        truth = probabilities.gather(1, labels[:, None])
        likelihood.append(float(truth.clamp_min(1e-12).log().mean()))
    best = max(range(len(candidates)), key=lambda i: (top1[i], likelihood[i]))
    return Choice(candidates[best], tuple(candidates), tuple(top1), len(labels))


def check_unseen(model: str | Path, clips: ClipList) -> str:
    """How it was checked that a model was not trained on any of `clips`: `BY_CLIP`, or `BY_LIST` for a model that was
    saved without `TRAINED_CLIPS`.

    Raises:
        ValueError: the model was trained on some of the clips, or, without `TRAINED_CLIPS`, on exactly this list.
    """
    manifest, seen = checkpoint.read_manifest(Path(model)), checkpoint.seen_in_training(model, clips)
    if seen:
        raise ValueError(
            f"{clips.name}: the model was trained on {len(seen)} of its {len(clips.clips)} clips ({some(seen)}); "
            f"choose lambda on clips it has not seen, such as those that training with --train.hold-out leaves out"
        )
    if seen is not None:
        return BY_CLIP
    if clips.sha256 == manifest.get("list_sha256"):
        raise ValueError(f"{clips.name} is the list the model was trained on: choose lambda on clips it has not seen")
    return BY_LIST


def held_out(model: str | Path, clips: ClipList) -> ClipList:
    """Those of `clips`, the train list of a model, that its training left out (`TrainConfig.hold_out`).

    Raises:
        ValueError: nothing was held out, or some of the clips held out are not in the list.
    """
    manifest = checkpoint.read_manifest(Path(model))
    keys = set(manifest.get("held_out", {}).get("keys", ()))
    if not keys:
        raise ValueError(f"{model} was trained on its whole list; expected a model trained with --train.hold-out")
    chosen = tuple(clip for clip in clips.clips if clip.key in keys)
    if len(chosen) < len(keys):
        missing = sorted(keys - {clip.key for clip in chosen})
        raise ValueError(
            f"{clips.name}: {len(missing)} of the {len(keys)} clips held out in training are not in this list "
            f"({some(missing)}); give the data set, root and split of the training"
        )
    return replace(clips, name=f"{clips.name}/held-out", clips=chosen)


@torch.no_grad()
def tune(
    model: str | Path,
    clips: ClipList,
    *,
    backbone: str | Path | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 8,
    num_workers: int = 2,
    progress: Progress | None = None,
) -> Choice:
    """Choose lambda for a trained `dual_semantic_tpr` on `clips`, and write it into the manifest of its folder.

    Only `config.fusion` changes, and an entry `fusion` records how it was chosen; the weights are not changed.

    Raises:
        ValueError: another method or no Chinese branch, a test list, clips the model was trained on, other class names,
            or no readable clip.
    """
    manifest = checkpoint.read_manifest(Path(model))
    if manifest["method"] != "dual_semantic_tpr" or manifest["config"]["chinese"] is None:
        raise ValueError(
            f"{model}: expected a dual_semantic_tpr with a Chinese branch, got {manifest['method']} with "
            f"chinese={manifest['config'].get('chinese')}; there is no second language to weight"
        )
    if "test" in clips.name.split("/"):
        raise ValueError(f"{clips.name} is a test list: choose lambda on validation clips, then test once")
    unseen = check_unseen(model, clips)
    if list(clips.class_names) != manifest["class_names"]:
        raise ValueError(f"{clips.name} and {model} do not have the same class names")
    method, _ = checkpoint.load(model, backbone=backbone)
    config = from_json(DataConfig, manifest["data"]) if "data" in manifest else DataConfig()
    labels = torch.tensor([clip.label for clip in clips.clips])
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    broken: list[Broken] = []
    for encoded in encode_clips(
        method, clips.clips, config, device=device, batch_size=batch_size, num_workers=num_workers, progress=progress
    ):
        broken += encoded.broken
        if encoded.index:
            pair: Any = method.similarities(encoded.features)  # type: ignore[operator]
            views = (part.unflatten(0, (-1, config.num_views)).cpu() for part in pair)
            rows.append((*views, labels[list(encoded.index)]))
    if not rows:
        raise ValueError(f"{clips.name}: none of the {len(clips.clips)} clips can be read")
    english, chinese, truth = (torch.cat(parts) for parts in zip(*rows))
    tau: Any = method.tau
    choice = choose(english, chinese, truth, tau=tau, pooling=config.pooling)
    choice = replace(choice, broken=tuple(broken), unseen=unseen)
    made = {"list": clips.name, "list_sha256": clips.sha256, **to_json(choice)}
    checkpoint.update_manifest(Path(model), config={**manifest["config"], "fusion": choice.weight}, fusion=made)
    return choice
