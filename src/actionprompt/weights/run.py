"""The towers that a training has tuned, as a backbone of its own.

A model folder holds the trained tensors and a manifest that names the backbone they belong to. The backbone made of
both is named after its numbers, `run:` and the first digits of their hash, since nobody but its owner knows the folder.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionprompt import files
from actionprompt.backbone import CLIP
from actionprompt.clips import MAX_CLASSES
from actionprompt.weights import tensors

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
    manifest = tensors.read_json(path / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a model of format {FORMAT}, got {manifest.get('format')}")
    _check(manifest, path / MANIFEST)
    return {**manifest, "folder": str(path)}


def _check(manifest: dict[str, Any], where: Path) -> None:
    """Raise ValueError for entries that are of another kind than training writes."""

    def names(value: Any) -> bool:
        return isinstance(value, list) and len(value) <= MAX_CLASSES and all(isinstance(name, str) for name in value)

    backbone, hashes = manifest.get("backbone"), manifest.get("files_sha256", {})
    for key, fits, expected in (
        ("method", isinstance(manifest.get("method"), str), "a name"),
        ("config", isinstance(manifest.get("config"), dict), "an object"),
        ("backbone", isinstance(backbone, dict) and isinstance(backbone.get("name"), str), "a name and a sha256"),
        ("class_names", names(manifest.get("class_names")), f"at most {MAX_CLASSES} names"),
        ("class_names_zh", names(manifest.get("class_names_zh") or []), f"null or at most {MAX_CLASSES} names"),
        ("files_sha256", isinstance(hashes, dict), "hashes by file"),
    ):
        if not fits:
            raise ValueError(f"{where}: {key}: expected {expected}, got {repr(manifest.get(key))[:100]}")
    sha256 = manifest["backbone"].get("sha256")
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"{where}: backbone: expected a sha256 of 64 hexadecimal digits, got {repr(sha256)[:100]}")


def read_tensors(folder: Path, manifest: dict[str, Any], name: str = WEIGHTS) -> dict[str, Tensor]:
    """The tensors of a file of a folder, as its manifest has them in `files_sha256`; version 0.1.0 wrote no hashes.

    Raises:
        ValueError: a file that is damaged or not there, or numbers that are not finite.
    """
    path, expected = folder / name, manifest.get("files_sha256", {}).get(name)
    tensors.check_file(path)
    if expected is not None and files.sha256(path) != expected:
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}; copy or train it again")
    state: dict[str, Tensor] = tensors.read(path)
    tensors.check_finite(path, state)
    return state


def base_of(path: Path) -> tuple[str, str]:
    """The name and the hash of the backbone that a run was trained on.

    Raises:
        ValueError: not a model folder, or a run whose backbone is another run.
    """
    backbone = read_manifest(path)["backbone"]
    name = backbone["name"]
    if name.startswith(PREFIX):
        raise ValueError(
            f"{path} was itself trained on the towers of a run ({name}): expected a run on a backbone with a name of "
            f"its own; give that run, or train this one from the original weights"
        )
    return name, backbone["sha256"]


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
    trained = read_tensors(Path(manifest["folder"]), manifest)
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
    base.name, base.path = PREFIX + base.fingerprint()[:16], None
    return base
