"""Sizes of a full run, and of one at nano size. Loads no torch: the program that starts the parts has none."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpu import PARTS

ROOT = Path(__file__).resolve().parents[2]
"""Of the repository."""


@dataclass(frozen=True)
class Settings:
    """The defaults are those of a full run."""

    device: str
    """`cpu` or `cuda`."""
    methods: tuple[str, ...]
    backbone: str = "random:ViT-B/16"
    large_backbone: str = "random:ViT-L/14"
    peer_shape: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the peers' configurations to replace; none: as published."""
    num_classes: int = 51
    """As HMDB-51."""
    num_frames: int = 8
    """T where a part does not say otherwise."""
    parity_clips: int = 4
    batch_size: int = 16
    """Clips at once where speed is measured."""
    large_batch_size: int = 8
    repeats: int = 3
    """Repetitions of ten calls each; a figure is their median."""
    train_batch_size: int = 32
    """Of the training of HMDB-51's size: the published one."""
    num_steps: int = 5
    """Timed training steps."""
    num_contents: int = 64
    """Videos that are encoded; other files are copies of them."""
    num_files: int = 512
    """Video files; in longer lists of clips each stands several times."""
    clip_size_px: tuple[int, int] = (320, 240)
    clip_frames: tuple[int, int] = (60, 100)
    """Least and most frames of a file."""
    loader_clips: int = 2048
    """Clips to decode with all workers: several batches for each of them."""
    workers: int = 1
    """Decoding processes."""
    resume_clips: int = 24
    """Three training steps of a third of them each."""

    @property
    def passes(self) -> tuple[tuple[bool, bool], ...]:
        """(compiled, with training) of the speed measurements. A compiled training takes the longest and comes last."""
        return ((False, True), (True, False), (True, True)) if self.device == "cuda" else ((False, True),)


def nano(settings: Settings) -> Settings:
    """The same on random towers of two layers, with little of everything."""
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return replace(
        settings, backbone="random:nano", large_backbone="random:nano", peer_shape={**shape, "image_size": 32},
        num_classes=5, parity_clips=2, batch_size=2, large_batch_size=1, repeats=1, train_batch_size=2, num_steps=1,
        num_contents=2, num_files=6, clip_size_px=(64, 48), clip_frames=(8, 12), loader_clips=8, workers=2,
        resume_clips=6,
    )  # fmt: skip


def parse(args: Sequence[str], *, prog: str) -> argparse.Namespace:
    """The options of the whole and of a part."""
    parser = argparse.ArgumentParser(prog=prog, description="Everything that one GPU should tell.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="all by default")
    parser.add_argument("--methods", nargs="+", default=[], help="all by default")
    parser.add_argument("--nano", action="store_true", default=os.environ.get("NANO", "0") != "0", help="test sizes")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="the GPU; with --nano the CPU where there is none")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "costs" / "gpu", help="folder of the records")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SECONDS_MAX", "480")), help="for all")
    parser.add_argument(
        "--wheels", type=Path, default=os.environ.get("WHEELS"), help="folder of wheels to install from"
    )
    return parser.parse_args(args)
