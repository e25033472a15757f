"""What motion-aware text costs, and what the cheap form of it changes: `seeing_in_flowing` at the sizes of ViT-B/16.

    export ACTIONPROMPT_REAL_DATA=DIR
    python benchmarks/costs/seeing_in_flowing.py --out results/costs/seeing_in_flowing_text.json

- Multiply-adds of one view of 8 frames, counted as the operations run, beside the paper's 142 G.
- Speed and memory of the text's forms with the class names of HMDB-51, UCF-101 and Kinetics-400, in CLIP's own tokens
  (the folder holds OpenAI's vocabulary): `plain` (every sentence of every video through every layer, cut at the longest
  EOT), `eot_cut` (the same numbers, what sentences have in common computed once) and `late`. Each measurement is a
  process of its own on one thread, in processor time; its memory is the growth of the resident set's peak (Linux).
- Agreement of the logits of `late` with those of `eot_cut` on the same weights. At ViT-B/16 size the weights are random
  and the frames a random walk; what training makes of it shows on data alone:

    python benchmarks/costs/seeing_in_flowing.py --out results/costs/seeing_in_flowing_late.json --trained MODEL ...

  asks models trained with full prompts on ActionWorld `small` (folders that `actionprompt run` left) for their test
  clips, once as they are and once with late injection, and says how often each is right.
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

from actionprompt import backbone, checkpoint, datasets, features, methods, records
from actionprompt.config import DataConfig, from_json
from actionprompt.datasets import read_labels
from actionprompt.methods.seeing_in_flowing import Config, Model
from actionprompt.study import meters

PUBLISHED_G = 142.0
"""Multiply-adds of one view, as the paper prints them (in units of 10^9)."""
LISTS = ("hmdb51", "ucf101", "kinetics400")
NUM_VIDEOS = 2
TEXT_OF = "random:ViT-B/32"
"""Has the text tower of ViT-B/16, with an image tower that is quicker to build."""


def count_macs(method: Model, *, num_frames: int) -> dict[str, int]:
    """Multiply-adds of the matrix products of one view: in the image tower, in the head, and in the part of the head
    that runs once per class list. Norms, activations and softmax are not counted, as in the papers."""
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
    """The method over random weights, with OpenAI's vocabulary."""
    clip = backbone.load_clip(tower)
    root = Path(os.environ["ACTIONPROMPT_REAL_DATA"])
    clip.text.tokenizer = backbone._openai_tokenizer(root / "tokenizer" / "weights.pt")
    config = Config(text_form="eot_cut" if form == "plain" else form)  # type: ignore[arg-type]
    return methods.build("seeing_in_flowing", clip, names, config=config)  # type: ignore[return-value]


def walks(num_videos: int, width: int) -> Tensor:
    """Frame embeddings that move a little from frame to frame, of the length CLIP's have."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(num_videos, 1, width, generator=generator)
    steps = 0.3 * torch.randn(num_videos, 8, width, generator=generator)
    return 10 * width**-0.5 * (start + steps.cumsum(1))


def plain_text(method: Model, features: Tensor) -> Tensor:
    """t as prompt learning is usually written: all tokens of all sentences of all videos through all layers."""
    tower, names = method.clip.text, method.class_names
    ids = tower.tokenize([f"{name}." for name in names])
    tokens = tower.token_embeddings(ids).expand(len(features), -1, -1, -1)
    prompts = method.update(method.base_prompts[None], method.motion(features))
    prompts = prompts[:, None].expand(-1, len(names), -1, -1)
    eot = (tower.eot_positions(ids) + prompts.shape[2]).expand(len(features), -1)
    return tower.encode(torch.cat([tokens[:, :, :1], prompts, tokens[:, :, 1:]], 2), eot).sentence


def measure(form: str, label_list: str, mode: str) -> dict[str, float]:
    """Processor seconds and peak memory of the text, in training with its gradients, for `NUM_VIDEOS` videos."""
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

    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _resident_mib("VmRSS")
    once()  # for `late` with what runs once per class list, which the times of test below are without
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
    """How far the logits of two forms lie apart on the same weights."""
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
                    continue  # keeps every activation of every sentence: more than a laptop has at 400 classes
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


def agreements() -> list[dict[str, Any]]:
    rows = []
    for label_list in LISTS:
        full = build(read_labels(label_list).english, "eot_cut")
        late = methods.build(
            "seeing_in_flowing", full.clip, full.class_names, config=replace(full.config, text_form="late")
        )
        for alpha in (0.1, 1.0):
            torch.nn.init.constant_(full.update.alpha, alpha)
            row = {"weights": "random", "num_classes": len(full.class_names), "alpha": alpha}
            rows.append({**row, **agreement(full, late, walks(8, full.clip.embed_dim))})  # type: ignore[arg-type]
            print(
                "{num_classes:4d} classes  alpha {alpha}  same top-1 {same_top1:.3f}  correlation {correlation:.4f}  "
                "largest difference {largest_difference:.4f} of a spread of {spread_of_logits:.4f}".format(**rows[-1])
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
    frames = stored.features[:, 0]
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
    parser.add_argument("--measure", nargs=3, metavar=("FORM", "LIST", "MODE"), help="one measurement, as JSON")
    parser.add_argument(
        "--trained", nargs="+", type=Path, metavar="MODEL", help="model folders, trained on ActionWorld"
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
    parts = {"macs": costs(), "speed_and_memory": speeds(), "agreement": agreements()}
    records.write(options.out, {**records.provenance(seed=0, started=started), **parts})


if __name__ == "__main__":
    main()
