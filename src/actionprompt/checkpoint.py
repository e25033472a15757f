"""Models on disk: a folder with the trained tensors (safetensors) and a JSON manifest. Nothing is pickled.

The backbone is not stored but named, with the hash of its weights; a model loads only onto a backbone with that hash.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
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
from actionprompt.weights.run import FORMAT, MANIFEST, WEIGHTS, read_manifest

TRAINED_CLIPS = "clips.txt"
"""File of a model folder: the key of every clip that was trained on, one per line, in UTF-8."""


def write_folder(
    path: Path, tensors: dict[str, dict[str, Tensor]], manifest: dict[str, Any], texts: Mapping[str, str] = {}
) -> None:
    """Write tensors and texts (by file name) and the manifest so that `path` holds all of it or does not change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for name, state in tensors.items():
        save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary / name)
    for name, text in texts.items():
        (temporary / name).write_text(text, encoding="utf-8")
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def update_manifest(path: Path, **changes: Any) -> None:
    """Set entries in the manifest of a model folder, or of the run folder that holds it. Atomic; the weights stay."""
    manifest = read_manifest(path)
    folder = Path(manifest.pop("folder"))
    records.write(folder / MANIFEST, {**manifest, **changes})


def save(path: str | Path, method: Method, *, trained_clips: Sequence[str] = (), **facts: Any) -> None:
    """Write a model folder. `facts` (data options, list hashes, seed, ...) go into the manifest as they are, and the
    keys in `trained_clips`, if there are any, into a file next to it."""
    manifest = {
        "format": FORMAT,
        "method": method.name,
        "config": to_json(method.config),
        "backbone": {"name": method.clip.name, "sha256": method.clip_sha256},
        "class_names": list(method.class_names),
        "class_names_zh": list(method.class_names_zh) if method.class_names_zh else None,
        **to_json(facts),
    }
    texts = {TRAINED_CLIPS: "".join(f"{key}\n" for key in trained_clips)} if trained_clips else {}
    write_folder(Path(path), {WEIGHTS: method.trained_state(inference=True)}, manifest, texts)


def load(
    path: str | Path,
    *,
    clip: CLIP | None = None,
    backbone: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    class_names_zh: Sequence[str] | None = None,
) -> tuple[Method, dict[str, Any]]:
    """Read a model folder: the method, ready to predict, and the manifest.

    `clip`, or what `load_clip` makes of `backbone`, takes the place of the backbone the manifest names; it must hold
    the same weights. A model trained on the towers of a run needs one of them, since its manifest cannot tell the
    folder of that run. `class_names` retarget an open-vocabulary method.

    Raises:
        ValueError: not a model folder, another backbone, weights that do not fit, or names a closed head cannot take.
    """
    manifest = read_manifest(Path(path))
    name, sha256 = manifest["backbone"]["name"], manifest["backbone"]["sha256"]
    clip = clip if clip is not None else load_clip(backbone if backbone is not None else name)
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


def start_from(method: Method, run: str | Path) -> dict[str, Any]:
    """Initialise `method`, before training, from a finished run of the same method: Kinetics-400 before HMDB-51.

    Every trained tensor of the run's model is copied except those of `Method.per_class`, which belong to the classes of
    the run. These keep the values they were drawn with, even if both have the same classes, and so do the training-only
    modules, which a model does not hold. Options may differ from the run's where no tensor does.

    Returns:
        For the record: `method`, `weights_sha256` of the run's trained tensors, its `num_classes`, the names of the
        tensors `copied` and `anew`, and the `options` that differ, each as [the run's, this method's].

    Raises:
        ValueError: not a model folder, another method or backbone, other tensors, or none to copy; nothing has changed.
    """
    manifest = read_manifest(Path(run))
    name, sha256 = manifest["backbone"]["name"], manifest["backbone"]["sha256"]
    if manifest["method"] != method.name:
        raise ValueError(f"expected a run of {method.name} to start from, but {run} is one of {manifest['method']}")
    if sha256 != method.clip_sha256:
        raise ValueError(
            f"{run} was trained on a backbone {name!r} with weights {sha256[:12]}, and this {method.name} has "
            f"{method.clip.name!r} with {method.clip_sha256[:12]}; start from a run on the same backbone"
        )
    there, here = to_json(from_json(type(method.config), manifest["config"])), to_json(method.config)
    options = {option: [there[option], here[option]] for option in here if there[option] != here[option]}
    path, num_classes = Path(manifest["folder"]) / WEIGHTS, len(manifest["class_names"])
    state, own = load_file(path), method.trained_state(inference=True)
    anew = {key for key in own if any(key == part or key.startswith(f"{part}.") for part in method.per_class)}
    shapes = {key: list(value.shape) for key, value in own.items()}
    for key in anew:
        shapes[key][0] = num_classes
    for key in sorted(own.keys() | state.keys()):
        found, expected = list(state[key].shape) if key in state else "not trained", shapes.get(key, "not trained")
        if found != expected:
            differ = ", ".join(f"{option} is {old!r} and here {new!r}" for option, (old, new) in options.items())
            raise ValueError(
                f"{run}: expected a run that trained the same tensors, but {key} is {found} there and {expected} here; "
                f"options of the run: {differ or 'the same'}"
            )
    if anew == own.keys():
        raise ValueError(f"every trained tensor of this {method.name} belongs to its classes: there is none to copy")
    method.load_trained_state({key: (own if key in anew else state)[key] for key in own}, inference=True)
    return {
        "method": method.name,
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "num_classes": num_classes,
        "copied": [key for key in own if key not in anew],
        "anew": [key for key in method.trained_state() if key in anew or key not in own],
        "options": options,
    }
