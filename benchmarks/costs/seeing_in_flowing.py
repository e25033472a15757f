"""What the text forms of `seeing_in_flowing` cost at ViT-B/16, and how far late injection agrees with full prompts.

    export ACTIONPROMPT_REAL_DATA=DIR
    python benchmarks/costs/seeing_in_flowing.py --out results/costs/seeing_in_flowing_text.json

- MACs (multiply-accumulate operations) of one view of 8 frames, counted as the operations run, compared with the
  paper's 142 G.
- Time and memory of the text forms with the class names of HMDB-51, UCF-101 and Kinetics-400 in CLIP's own tokens (DIR
  holds OpenAI's vocabulary): `plain` (every sentence of every video through every layer, cut at the longest EOT),
  `eot_cut` (equal results; what sentences have in common is computed once) and `late`. Each measurement runs in its own
  process on one thread, in processor time; memory is the growth of the peak resident set (Linux).

    python benchmarks/costs/seeing_in_flowing.py --out results/costs/seeing_in_flowing_late.json --trained MODEL ...

compares late injection with full prompts on the same weights: models trained with full prompts on ActionWorld `small`
(folders written by `actionprompt run`) predict their test clips in both forms.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionprompt import checkpoint, datasets, features, methods, records
from actionprompt.config import DataConfig, from_json
from actionprompt.datasets import read_labels
from actionprompt.methods.seeing_in_flowing import Config, Model
from actionprompt.study import meters
from actionprompt.weights import load_clip
from actionprompt.weights.openai import find_tokenizer

PUBLISHED_G = 142.0
"""MACs of one view, as the paper prints them (in units of 10^9)."""
LISTS = ("hmdb51", "ucf101", "kinetics400")
NUM_VIDEOS = 2
TEXT_OF = "random:ViT-B/32"
"""The text tower equals that of ViT-B/16; the image tower is quicker to build."""


def count_macs(method: Model, *, num_frames: int) -> dict[str, int]:
    """MACs of one view: of the image tower, of the head, and of the part of the head that runs once per class list.
    Norms, activations and softmax are not counted, as in the papers."""
    side = method.clip.image.image_size
    video, features = torch.zeros(1, num_frames, 3, side, side), torch.zeros(1, num_frames, method.clip.embed_dim)

    @torch.no_grad()
    def count(run: Any, x: Tensor) -> int:
        return meters.count_macs(lambda: run(x))

    method.eval()
    method.set_classes(method.class_names, method.class_names_zh)
    first, again = count(method.head, features), count(method.head, features)
    return {"image_tower": count(method.encode, video), "head": again, "once_per_class_list": first - again}


def build(names: tuple[str, ...], form: str, *, tower: str = TEXT_OF) -> Model:
    """The method with random weights and OpenAI's vocabulary."""
    clip = load_clip(tower)
    root = Path(os.environ["ACTIONPROMPT_REAL_DATA"])
    clip.text.tokenizer = find_tokenizer(root / "tokenizer" / "weights.pt")
    config = Config(text_form="eot_cut" if form == "plain" else form)  # type: ignore[arg-type]
    return methods.build("seeing_in_flowing", clip, names, config=config)  # type: ignore[return-value]


def walks(num_videos: int, width: int) -> Tensor:
    """Frame embeddings as a random walk over the frames, of about the length of CLIP's."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(num_videos, 1, width, generator=generator)
    steps = 0.3 * torch.randn(num_videos, 8, width, generator=generator)
    return 10 * width**-0.5 * (start + steps.cumsum(1))


def plain_text(method: Model, features: Tensor) -> Tensor:
    """t as prompt learning is usually written: all tokens of the sentences of all videos through all layers."""
    tower, names = method.clip.text, method.class_names
    ids = tower.tokenize([f"{name}." for name in names])
    tokens = tower.token_embeddings(ids).expand(len(features), -1, -1, -1)
    prompts = method.update(method.base_prompts[None], method.motion(features))
    prompts = prompts[:, None].expand(-1, len(names), -1, -1)
    lengths = (tower.lengths(ids) + prompts.shape[2]).expand(len(features), -1)
    return tower.encode(tower.insert(tokens, prompts), lengths).sentence


def measure(form: str, label_list: str, mode: str) -> dict[str, float]:
    """Processor seconds and peak memory of the text for `NUM_VIDEOS` videos; in training, with the backward pass."""
    torch.set_num_threads(1)
    method = build(read_labels(label_list).english, form)
    method.train(mode == "train")
    features = walks(NUM_VIDEOS, method.clip.embed_dim)
    text = plain_text if form == "plain" else (lambda method, features: method.text(method.motion(features)))

    def once() -> None:
        with torch.set_grad_enabled(mode == "train"):
            out = text(method, features)
            if mode == "train":
                out.square().mean().backward()

    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _resident_mib("VmRSS")
    once()  # the peak of `late` includes what runs once per class list; its test times below do not
    peak = _resident_mib("VmHWM") - before
    seconds: list[float] = []
    while not seconds or (len(seconds) < 3 and sum(seconds) < 10):
        began = time.process_time()
        once()
        seconds.append(time.process_time() - began)
    return {"seconds": statistics.median(seconds), "peak_mib": peak, "num_tokens": method.names.shape[1]}


def _resident_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


@torch.no_grad()
def agreement(full: Model, late: Model, features: Tensor) -> dict[str, float]:
    """How far the logits of two forms agree on the same weights."""
    late.load_trained_state(full.trained_state())
    a, b = full.eval().head(features).float(), late.eval().head(features).float()
    centred = [x - x.mean(1, keepdim=True) for x in (a, b)]
    return {
        "same_top1": float((a.argmax(1) == b.argmax(1)).float().mean()),
        "correlation": float((centred[0] * centred[1]).sum() / centred[0].norm() / centred[1].norm()),
        "largest_difference": float((a - b).abs().max()),
        "spread_of_logits": float(a.std(1).mean()),
        "kl": float((a.softmax(1) * (a.log_softmax(1) - b.log_softmax(1))).sum(1).mean()),
    }


def costs() -> list[dict[str, Any]]:
    rows = []
    tower = build(("run",), "late", tower="random:ViT-B/16")
    image = count_macs(tower, num_frames=8)["image_tower"]
    for label_list in LISTS:
        for form in ("eot_cut", "late", "output"):
            method = build(read_labels(label_list).english, form)
            counted = {**count_macs(method, num_frames=8), "image_tower": image}
            row = {"num_classes": len(method.class_names), "form": form}
            row.update({f"{key}_g": round(value / 1e9, 3) for key, value in counted.items()})
            row["view_g"] = round((counted["image_tower"] + counted["head"]) / 1e9, 2)
            rows.append({**row, "published_g": PUBLISHED_G})
            print(
                "{num_classes:4d} classes  {form:8s} view {view_g:8.2f} G (paper: {published_g:.0f} G)  "
                "image tower {image_tower_g:.2f}  head {head_g:8.3f}  "
                "once per class list {once_per_class_list_g:.3f}".format(**rows[-1])
            )
    return rows


def speeds() -> list[dict[str, Any]]:
    rows = []
    for label_list in LISTS:
        for mode in ("test", "train"):
            for form in ("plain", "eot_cut", "late"):
                if form == "plain" and mode == "train":
                    continue  # keeps every activation of every sentence: too much memory at 400 classes
                command = [sys.executable, __file__, "--measure", form, label_list, mode]
                answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                row = {"num_classes": len(read_labels(label_list).english), "mode": mode, "form": form}
                rows.append({**row, "num_videos": NUM_VIDEOS, **json.loads(answer.splitlines()[-1])})
                print(
                    "{num_classes:4d} classes  {mode:5s} {form:8s} {seconds:8.3f} s  {peak_mib:8.0f} MiB".format(
                        **rows[-1]
                    )
                )
    return rows


def trained(folder: Path) -> dict[str, Any]:
    """Agreement and top-1 of both forms on the test clips of ActionWorld `small`, split 1."""
    full, manifest = checkpoint.load(folder)
    clips = datasets.get("actionworld").load(split=1, part="test", size="small")
    stored = features.cached(
        full.eval(), clips.clips, from_json(DataConfig, manifest["data"]), device=torch.device("cpu")
    )
    labels = torch.tensor([clip.label for clip in clips.clips])
    frames = stored.features.read()[:, 0]
    late = methods.build(
        "seeing_in_flowing", full.clip, full.class_names, config=replace(full.config, text_form="late")
    )
    apart = agreement(full, late, frames)  # type: ignore[arg-type]
    with torch.no_grad():
        right = {form: float((m.head(frames).argmax(1) == labels).float().mean()) for form, m in
                 (("full", full), ("late", late))}  # fmt: skip
    row = {"seed": manifest["train"]["seed"], "list": clips.name, "trained_as": full.config.text_form, **apart}
    print(row, right)
    return {**row, "top1": right}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/costs/seeing_in_flowing_text.json"))
    parser.add_argument("--measure", nargs=3, metavar=("FORM", "LIST", "MODE"), help="print one measurement as JSON")
    parser.add_argument(
        "--trained", nargs="+", type=Path, metavar="MODEL", help="compare both forms on these trained models"
    )
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    started = time.time()
    if options.trained:
        rows = [trained(folder) for folder in options.trained]
        records.write(options.out, {**records.provenance(seed=0, started=started), "agreement": rows})
        return
    parts = {"macs": costs(), "speed_and_memory": speeds()}
    records.write(options.out, {**records.provenance(seed=0, started=started), **parts})


if __name__ == "__main__":
    main()
