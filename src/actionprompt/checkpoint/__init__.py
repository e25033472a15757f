"""Models on disk: a folder with the trained tensors (safetensors), a JSON manifest and a card. Nothing is pickled.

The backbone is not stored but named, with the hash of its weights; a model loads only onto a backbone with that hash.
"""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from actionprompt import files, methods, records
from actionprompt.backbone import CLIP
from actionprompt.checkpoint import card
from actionprompt.clips import Clip, ClipList, Span, identity, overlap, public_key, split_span, with_span
from actionprompt.config import from_json, to_json
from actionprompt.method import Method
from actionprompt.weights import check_chinese_name, load_clip, load_named
from actionprompt.weights.budget import Budget
from actionprompt.weights.given import remember
from actionprompt.weights.run import FORMAT, MANIFEST, WEIGHTS, read_manifest, read_tensors
from actionprompt.weights.tensors import check_finite

TRAINED_CLIPS = "clips.txt"
"""File of a model folder: a line for every clip that was trained on, its `clips.identity` (with `@start-end` where it
is a span of a file), a tab and its `clips.public_key`. Models saved by version 0.1.0 have the keys alone."""
MOST_OPTION = 100_000
"""Of the numbers among a method's options in a manifest."""
SPARE = 1 << 26
"""How many numbers a model may have that are not stored: what is not trained, and 256 MB at most."""
UNKNOWN = "-"
"""The identity of a clip whose file cannot be read."""


def write_folder(
    path: Path, tensors: dict[str, dict[str, Tensor]], manifest: dict[str, Any], texts: Mapping[str, str] = {}
) -> None:
    """Write tensors and texts (by file name) and the manifest so that `path` holds all of it or does not change. The
    manifest gets the hashes of the files but the card's as `files_sha256`. What else a folder of that name holds, which
    is somebody else's, stays in it.

    Raises:
        ValueError: numbers that are not finite.
        OSError: the files cannot be written.
    """
    with files.replacing(path) as temporary:
        temporary.mkdir()
        for name, state in tensors.items():
            check_finite(path / name, state)
            try:
                save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary / name)
            except SafetensorError as error:
                raise OSError(f"{path / name} cannot be written: {error}") from None
        for name, text in texts.items():
            (temporary / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        hashes = {name: files.sha256(temporary / name) for name in (*tensors, *texts) if name != card.FILE}
        for other in path.iterdir() if path.is_dir() else ():
            if other.name in {*hashes, MANIFEST, TRAINED_CLIPS, card.FILE}:
                continue
            if other.is_dir() and not other.is_symlink():
                shutil.copytree(other, temporary / other.name, symlinks=True)
            else:
                shutil.copy2(other, temporary / other.name, follow_symlinks=False)
        files.write_json(temporary / MANIFEST, {**manifest, "files_sha256": hashes}, indent=2)


def update_manifest(path: Path, **changes: Any) -> None:
    """Set entries in the manifest of a model folder, or of the run folder that holds it. Atomic; the weights stay."""
    manifest = read_manifest(path)
    folder = Path(manifest.pop("folder"))
    records.write(folder / MANIFEST, {**manifest, **changes})


def save(path: str | Path, method: Method, *, trained_clips: Sequence[Clip] = (), **facts: Any) -> None:
    """Write a model folder. `facts` (data options, list hashes, seed, ...) go into the manifest as they are, and the
    `trained_clips`, if there are any, into a file next to it. README.md, the model card, says the same to people."""
    manifest = {
        "format": FORMAT,
        "method": method.name,
        "config": to_json(method.config),
        "backbone": {"name": method.clip.public_name, "sha256": method.clip_sha256},
        "class_names": list(method.class_names),
        "class_names_zh": list(method.class_names_zh) if method.class_names_zh else None,
        **to_json(facts),
    }
    texts = {card.FILE: card.text(manifest, len(trained_clips) or None)}
    if trained_clips:
        with ThreadPoolExecutor(8) as pool:  # it waits for the disk
            identities = pool.map(_identity, trained_clips)
            keys = [public_key(clip.key) for clip in trained_clips]
            texts[TRAINED_CLIPS] = "".join(f"{i}\t{key}\n" for i, key in zip(identities, keys))
    if method.clip.path is not None:
        remember(method.clip_sha256, method.clip.path)
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
    the same weights. A model trained on a folder or file needs one of them once, unless this user trained it: the
    manifest has no path, but where a backbone is, is remembered by its hash (`weights.given`). One trained on the
    towers of a run needs one always. `class_names` retarget an open-vocabulary method.

    Raises:
        ValueError: not a model folder, another backbone, weights that do not fit, or names a closed head cannot take.
    """
    manifest = read_manifest(Path(path))
    name, sha256 = manifest["backbone"]["name"], manifest["backbone"]["sha256"]
    if clip is None:
        clip = load_clip(backbone) if backbone is not None else load_named(name, sha256, model=path)
    found = clip.fingerprint()
    if found != sha256:
        raise ValueError(
            f"{path} was trained on a backbone {name!r} with weights {sha256[:12]}, but the one here is {found[:12]}; "
            f"get the same checkpoint"
        )
    if clip.path is not None:
        remember(sha256, clip.path)
    state = read_tensors(Path(manifest["folder"]), manifest)
    method = _build(path, manifest, clip, sum(value.numel() for value in state.values()))
    method.clip_sha256 = sha256
    try:
        method.load_trained_state(state, inference=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if class_names is not None:
        with torch.no_grad():
            method.set_classes(class_names, class_names_zh)
    return method.eval(), manifest


def weights_sha256(run: str | Path) -> str:
    """Hash of the trained tensors of a run or model folder."""
    return files.sha256(Path(read_manifest(Path(run))["folder"]) / WEIGHTS)


def _build(path: str | Path, manifest: dict[str, Any], clip: CLIP, num_trained: int) -> Method:
    """The method of a manifest, which somebody else may have written: its options are checked against the weights."""
    name, names, names_zh = (manifest[key] for key in ("method", "class_names", "class_names_zh"))
    try:
        config = from_json(methods.get(name).Config, manifest["config"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for option, value in to_json(config).items():
        if isinstance(value, int | float) and not abs(value) <= MOST_OPTION:
            raise ValueError(f"{path}: config: {option}: expected a number of at most {MOST_OPTION}, got {value}")
        if option == "chinese" and value is not None:
            check_chinese_name(value, model=path)
    most = 2 * (num_trained + sum(value.numel() for value in clip.parameters())) + SPARE
    try:
        with Budget(most, str(path)):
            return methods.build(name, clip, names, names_zh, config=config)
    except (RuntimeError, ArithmeticError, LookupError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: no {name} has the options of this manifest ({reason})") from error


def seen_in_training(model: str | Path, clips: ClipList) -> list[str] | None:
    """The keys of those of `clips` that a model was trained on: the same videos, or overlapping spans of them, whatever
    they are called. For a model of version 0.1.0 the same keys; None if the model has no list of its clips.

    Raises:
        ValueError: the list is not the one that was saved.
    """
    manifest = read_manifest(Path(model))
    path = Path(manifest["folder"]) / TRAINED_CLIPS
    if not path.is_file():
        return None
    saved = manifest.get("files_sha256", {}).get(TRAINED_CLIPS)  # the first models have no hash of it
    if saved is not None and files.sha256(path) != saved:
        raise ValueError(f"{path} is damaged, or was changed after it was saved; get it again, or delete it")
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n").split("\n")
    trained = {line.partition("\t")[0] for line in lines} - {UNKNOWN}
    if not any("\t" in line for line in lines):
        return [clip.key for clip in clips.clips if clip.key in trained]
    spans: dict[str, list[Span | None]] = {}
    for found, span in map(split_span, trained):
        spans.setdefault(found, []).append(span)
    with ThreadPoolExecutor(8) as pool:
        identities = [split_span(found) for found in pool.map(_identity, clips.clips)]
    return [
        clip.key
        for clip, (found, span) in zip(clips.clips, identities)
        if any(overlap(span, other) for other in spans.get(found, []))
    ]


def _identity(clip: Clip) -> str:
    """`UNKNOWN` for a clip that cannot be read; whoever decodes it says why."""
    try:
        return with_span(clip.known or identity(clip.path), clip.span)
    except (OSError, ValueError):
        return UNKNOWN


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
    state, own = read_tensors(path.parent, manifest), method.trained_state(inference=True)
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
        "weights_sha256": files.sha256(path),
        "num_classes": num_classes,
        "copied": [key for key in own if key not in anew],
        "anew": [key for key in method.trained_state() if key in anew or key not in own],
        "options": options,
    }
