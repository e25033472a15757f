"""The model card: what a model folder says of itself to people, as Markdown with the head that model hubs read.

All of it comes from the manifest, and holds whatever is changed there later; numbers of options stay in the manifest.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from actionprompt import datasets, methods
from actionprompt.weights import TINY, TINY_WARNING
from actionprompt.weights.hugging_face import is_hub_name
from actionprompt.weights.known import KNOWN
from actionprompt.weights.run import MANIFEST, PREFIX

FILE = "README.md"
"""In a model folder."""
MOST_NAMES = 100
"""Classes that a card lists; the manifest has all."""
OWN = ("folder", "csv", "taught")
"""First parts of the names of lists whose clips are the user's."""

Manifest = Mapping[str, Any]


def text(manifest: Manifest, num_clips: int | None = None) -> str:
    """The card of a model with this manifest, which was trained on `num_clips` clips (None: not known)."""
    backbone, names = manifest["backbone"]["name"], manifest["class_names"]
    base = [f"base_model: {backbone}"] if is_hub_name(backbone) and not _on_flow(manifest) else []
    head = ["library_name: actionprompt", "pipeline_tag: video-classification", *base, "tags: [action-recognition]"]
    usage = (
        "In this folder:\n\n```bash\nactionprompt predict clip.mp4 --model .\n```\n",
        'In Python: `actionprompt.load(".").predict("clip.mp4")`.',
    )
    parts = {
        "Use": usage,
        "Classes": _bullets([*map(_plain, names[:MOST_NAMES]), *_more(names)]),
        "Method": _bullets(_method(manifest)),
        "Data": _bullets(_data(manifest, num_clips)),
        "Recipe": _bullets(_recipe(manifest)),
        "Results": _bullets(_results(manifest)),
        "Licences": _bullets(_licences(manifest)),
        "Limits": _bullets(_limits(manifest)),
    }
    title = f"# {_plain(manifest['method'])}, {len(names)} classes"
    first = f"Says which of {len(names)} actions a short video shows. `{MANIFEST}` holds every option and hash."
    sections = (f"## {name}\n\n" + "\n".join(lines) for name, lines in parts.items())
    return "\n\n".join(["\n".join(["---", *head, "---"]), title, first, *sections]) + "\n"


def _plain(name: object) -> str:
    """A name as Markdown and HTML show it: in one line, without effect."""
    line = "".join(" " if unicodedata.category(char)[0] in "CZ" and char not in "\u200c\u200d" else char
                   for char in str(name))  # fmt: skip
    line = re.sub(r"([\\`*_\[\]<>&~|$])", r"\\\1", line.strip())
    return re.sub(r"^(\d*)([#+\-=.)])", r"\1\\\2", line)  # what begins a block


def _on_flow(manifest: Manifest) -> bool:
    return "flow" in manifest["config"]


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _more(names: list[str]) -> list[str]:
    return [f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []


def _method(manifest: Manifest) -> list[str]:
    name, backbone = manifest["method"], manifest["backbone"]
    about = methods.get(name).CARD
    lines = [f"`{name}`" + "".join(f": {part}" for part in (about.paper, about.adds) if part)]
    if _on_flow(manifest):
        lines.append("input is optical flow; no CLIP is used")
    else:
        lines.append(f"backbone: {_plain(backbone['name'])}, weights with SHA-256 `{backbone['sha256']}`; they are not "
                     "part of this folder")  # fmt: skip
    data = manifest.get("data")
    if data is not None:
        lines.append(f"input: {data['num_frames']} frames of a clip, {data['sampling']} sampling, fit `{data['fit']}`")
    return lines


def _clips(number: int) -> str:
    return f"{number} clip{'' if number == 1 else 's'}"


def _data(manifest: Manifest, num_clips: int | None) -> list[str]:
    if imported := manifest.get("imported"):
        return [f"that of the published checkpoint; see {_plain(imported['source'])}"]
    if not {"list", "list_sha256"} <= manifest.keys():
        return ["not recorded"]
    number = "clips" if num_clips is None else _clips(num_clips)
    lines = [f"{number} of the list {_plain(manifest['list'])}, SHA-256 `{manifest['list_sha256']}`"]
    if held_out := manifest.get("held_out"):
        lines.append(f"held out of the training: {_clips(held_out['clips'])} of the list")
    if broken := manifest.get("broken"):
        lines.append(f"left out, since they could not be read: {_clips(len(broken))}")
    if dropped := sum(len(entry["clips"]) for entry in manifest.get("dropped", ())):
        lines.append(f"gone from the list during the training: {_clips(dropped)}")
    return lines


def _recipe(manifest: Manifest) -> list[str]:
    if imported := manifest.get("imported"):
        return [f"imported from a file with SHA-256 `{imported['sha256']}`, every tensor accounted for"]
    if not {"train", "trained_on"} <= manifest.keys():
        return ["not recorded"]
    train = manifest["train"]
    lines = [
        f"trained on {manifest['trained_on']}",
        f"{train['epochs']} epochs of batches of {train['batch_size']} clips; AdamW, learning rate {train['lr']:g}, "
        f"weight decay {train['weight_decay']:g}, {train['warmup_epochs']:g} epochs of warm-up, cosine decay",
        f"label smoothing {train['label_smoothing']:g}, mixup {train['mixup']:g}, mixed precision "
        f"{train['mixed_precision']}, seed {train['seed']}",
    ]
    if start := manifest.get("start_from"):
        lines.append(f"started from a model with weights of SHA-256 `{start['weights_sha256']}`")
    version = manifest.get("provenance", {}).get("versions", {}).get("actionprompt")
    return [*lines, f"actionprompt {version}"] if version else lines


def _results(manifest: Manifest) -> list[str]:
    found = manifest.get("cross_validation")
    if found is None:
        return ["none is stored with the model; `actionprompt eval` measures it on a list of clips"]
    low, high = found["interval"]
    lines = [
        f"cross-validation on the clips it was taught with: top-1 {found['top1']:.1f} % of "
        f"{_clips(found['num_clips'])}, each held out once (95 % interval {low:.0f} to {high:.0f} %; guessing "
        f"{found['chance']:.0f} %)"
    ]
    if none := manifest.get("none_of_these"):
        lines.append(
            f'rejection threshold {100 * none["below"]:.0f} %, below which the answer is "none of these": chosen on '
            f"the same clips, it keeps {100 * none['kept']:.0f} % of {none['num_clips']} recognised clips and rejects "
            f"{100 * none['rejected']:.0f} % of {none['num_unknown']} clips of other actions"
        )
    return lines


def _licences(manifest: Manifest) -> list[str]:
    data, name = str(manifest.get("list", "")).partition("/")[0], manifest["backbone"]["name"]
    known = next((entry for entry in datasets.names() if data == entry or data.startswith(f"{entry}-")), None)
    if "imported" in manifest:
        clips = weights = "see the authors' repository"
    else:
        weights = "whoever trained this model decides, within what the licences of data and backbone allow"
        clips = "of the person who trained it" if data in OWN else "not known"
        if known is not None and data not in OWN:
            clips = datasets.get(known).INFO.licence
    if _on_flow(manifest):
        base = "none is used"
    elif name == TINY:
        base = "Apache-2.0"
    elif name.startswith("random:"):
        base = "none: random numbers"
    elif name.startswith(PREFIX):
        base = "that of the run it was trained in"
    else:
        base = KNOWN[name].licence if name in KNOWN else "see where it is from"
    return [f"data: {clips}", f"backbone: {base}", f"weights in this folder: {weights}", "program: Apache-2.0"]


def _limits(manifest: Manifest) -> list[str]:
    lines = [*map(_plain, manifest.get("warnings", ()))]
    if manifest["backbone"]["name"] == TINY and not _on_flow(manifest) and _plain(TINY_WARNING) not in lines:
        lines.append(_plain(TINY_WARNING))
    if manifest.get("background") is not None:
        lines.append(f'a clip most like the class {_plain(manifest["background"])} is answered with "none of these"')
    elif manifest.get("none_of_these") is None:
        lines.append("without a rejection threshold it answers with one of its classes whatever a video shows")
    return [
        *lines,
        "it is for clips of one action; `actionprompt timeline` says what happens when in a longer video",
        "people, places and cameras that its clips do not show can lower its accuracy; measure it on clips of your own",
    ]
