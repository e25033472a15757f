"""The towers that a training has tuned, as a backbone of its own.

A model folder holds the trained tensors and a manifest that names the backbone they belong to. The backbone made of
both is named after its numbers, `run:` and the first digits of their hash, since nobody but its owner knows the folder.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from actionprompt.backbone import CLIP

FORMAT = 1
WEIGHTS, MANIFEST = "trained.safetensors", "manifest.json"
PREFIX = "run:"
"""Starts the name of a backbone that comes from a training."""
OWN = "clip."
"""Starts the names of CLIP's own tensors among those that a method trains."""


def is_model(path: Path) -> bool:
    """Whether a path is a model folder, or a run folder that holds one as `model`."""
    return (path / MANIFEST).is_file() or (path / "model" / MANIFEST).is_file()


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a model folder, or of the run folder that holds it as `model`; `folder` is the model folder."""
    path = path if (path / MANIFEST).is_file() or not is_model(path) else path / "model"
    if not is_model(path):
        raise ValueError(f"expected a model folder with {MANIFEST}, got {path}; give the folder that training wrote")
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a model of format {FORMAT}, got {manifest.get('format')}")
    return {**manifest, "folder": str(path)}


def base_of(path: Path) -> str:
    """The name of the backbone that a run was trained on.

    Raises:
        ValueError: not a model folder, or a run whose backbone is another run.
    """
    name = read_manifest(path)["backbone"]["name"]
    if name.startswith(PREFIX):
        raise ValueError(
            f"{path} was itself trained on the towers of a run ({name}): expected a run on a backbone with a name of "
            f"its own; give that run, or train this one from the original weights"
        )
    return name


@torch.no_grad()
def tuned(base: CLIP, path: Path) -> CLIP:
    """`base`, in place, with every tensor of it that the run at `path` has trained.

    Raises:
        ValueError: `base` is not what the run was trained on, the run trained no tower, or tensors of it that `base`
            has not, or has in another shape.
    """
    manifest = read_manifest(path)
    expected, found = manifest["backbone"]["sha256"], base.fingerprint()
    if found != expected:
        raise ValueError(
            f"{path} was trained on a backbone {base.name!r} with weights {expected[:12]}, but the one here is "
            f"{found[:12]}; get the same checkpoint"
        )
    trained = load_file(Path(manifest["folder"]) / WEIGHTS)
    state = {name.removeprefix(OWN): value for name, value in trained.items() if name.startswith(OWN)}
    if not any(name.startswith(("image.", "text.")) for name in state):
        raise ValueError(
            f"{path}: this run of {manifest['method']} tuned no tower of its backbone; use {base.name!r} itself, or a "
            f"run whose method trains a tower"
        )
    own = base.state_dict()
    for name, value in state.items():
        if name not in own or own[name].shape != value.shape:
            there = f"has it as {list(own[name].shape)}" if name in own else "has no such tensor"
            raise ValueError(f"{path}: {OWN}{name} is {list(value.shape)}, the backbone {base.name!r} {there}")
        own[name].copy_(value)
    base.name = PREFIX + base.fingerprint()[:16]
    return base
