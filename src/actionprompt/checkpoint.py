"""Models on disk: a folder with the trained tensors (safetensors) and a JSON manifest. Nothing is pickled.

The backbone is not stored but named, with the hash of its weights; a model loads only onto a backbone with that hash.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from actionprompt import methods, records
from actionprompt.backbone import CLIP
from actionprompt.config import from_json, to_json
from actionprompt.method import Method
from actionprompt.weights import load_clip

FORMAT = 1
WEIGHTS, MANIFEST = "trained.safetensors", "manifest.json"


def write_folder(path: Path, tensors: dict[str, dict[str, Tensor]], manifest: dict[str, Any]) -> None:
    """Write tensors (by file name) and the manifest so that `path` holds all of it or does not change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for name, state in tensors.items():
        save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary / name)
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a model folder, or of the run folder that holds it as `model`."""
    path = path if (path / MANIFEST).is_file() or not (path / "model" / MANIFEST).is_file() else path / "model"
    if not (path / MANIFEST).is_file():
        raise ValueError(f"expected a model folder with {MANIFEST}, got {path}; give the folder that training wrote")
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a model of format {FORMAT}, got {manifest.get('format')}")
    return {**manifest, "folder": str(path)}


def update_manifest(path: Path, **changes: Any) -> None:
    """Set entries in the manifest of a model folder, or of the run folder that holds it. Atomic; the weights stay."""
    manifest = read_manifest(path)
    folder = Path(manifest.pop("folder"))
    records.write(folder / MANIFEST, {**manifest, **changes})


def save(path: str | Path, method: Method, **facts: Any) -> None:
    """Write a model folder. `facts` (data options, list hashes, seed, ...) go into the manifest as they are."""
    manifest = {
        "format": FORMAT,
        "method": method.name,
        "config": to_json(method.config),
        "backbone": {"name": method.clip.name, "sha256": method.clip_sha256},
        "class_names": list(method.class_names),
        "class_names_zh": list(method.class_names_zh) if method.class_names_zh else None,
        **to_json(facts),
    }
    write_folder(Path(path), {WEIGHTS: method.trained_state(inference=True)}, manifest)


def load(
    path: str | Path,
    *,
    clip: CLIP | None = None,
    class_names: Sequence[str] | None = None,
    class_names_zh: Sequence[str] | None = None,
) -> tuple[Method, dict[str, Any]]:
    """Read a model folder: the method, ready to predict, and the manifest.

    `clip` takes the place of the backbone the manifest names (it must hold the same weights). `class_names` retarget an
    open-vocabulary method.

    Raises:
        ValueError: not a model folder, another backbone, weights that do not fit, or names a closed head cannot take.
    """
    manifest = read_manifest(Path(path))
    name, sha256 = manifest["backbone"]["name"], manifest["backbone"]["sha256"]
    clip = clip if clip is not None else load_clip(name)
    found = clip.fingerprint()
    if found != sha256:
        raise ValueError(
            f"{path} was trained on a backbone {name!r} with weights {sha256[:12]}, but the one here is {found[:12]}; "
            f"get the same checkpoint"
        )
    config = from_json(methods.get(manifest["method"]).Config, manifest["config"])
    method = methods.build(manifest["method"], clip, manifest["class_names"], manifest["class_names_zh"], config=config)
    method.clip_sha256 = sha256
    method.load_trained_state(load_file(Path(manifest["folder"]) / WEIGHTS), inference=True)
    if class_names is not None:
        with torch.no_grad():
            method.set_classes(class_names, class_names_zh)
    return method.eval(), manifest
