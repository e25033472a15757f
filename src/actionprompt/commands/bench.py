"""Measure what methods cost next to the bare tower and published models: actionprompt bench [--methods M ...]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich import box
from rich.table import Table

from actionprompt.commands._outputs import check_files
from actionprompt.commands._shared import bar, check_least, fetch, note, out, parse, say, shown
from actionprompt.records import write
from actionprompt.study import bench


@dataclass(frozen=True)
class Bench:
    out: Path = Path("results/costs/bench.json")
    """The record; the plot is written next to it as .png."""
    backbones: tuple[str, ...] = ("random:ViT-B/32", "random:ViT-B/16")
    """As in `train`; weights may be random."""
    methods: tuple[str, ...] | None = None
    """NAME or NAME:VARIANT; all methods by default."""
    peers: bool = True
    """X-CLIP, VideoMAE, ViViT and TimeSformer of transformers, with the tower of their patch size."""
    num_frames: int = 8
    """Of the tower and the methods; a peer takes what it was published with."""
    batch_size: int = 1
    """Clips at once."""
    num_classes: int = 51
    """Class names of real actions that the methods tell apart."""
    repeats: int = 5
    """Repetitions; each figure is their median."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to measure."""
    threads: int = 1
    """Of torch on the CPU."""


def main(args: Sequence[str]) -> int:
    options = parse(Bench, args, "bench", __doc__)
    check_least(options, num_frames=1, batch_size=1, num_classes=1, repeats=1, threads=1)
    check_files(options, "out")
    for name in options.backbones:
        fetch(name)
    with bar("measuring") as progress:
        record = bench.measure(
            options.backbones, options.methods, peers=options.peers, num_frames=options.num_frames,
            batch_size=options.batch_size, num_classes=options.num_classes, repeats=options.repeats,
            device=options.device, threads=options.threads, progress=progress,
        )  # fmt: skip
    write(options.out, record)
    bench.plot(record, options.out.with_suffix(".png"))
    head, *rows = bench.table(record)
    columns = [head.index(name) for name in ("model", "inference ÷", "goal", "step ÷", "trained M", "training MB")]
    for backbone in options.backbones:
        table = Table(title=f"{shown(backbone)}   ÷: ratio to the bare tower in the same run", box=box.SIMPLE)
        for index in columns:
            table.add_column(head[index].replace(" ", "\n"), no_wrap=True)
        for row in rows:
            if row[0] == backbone and not row[2].startswith("failed"):
                table.add_row(*(shown(row[index]) for index in columns))
        out.print(table)
    for row in record["rows"]:
        if "error" in row:
            reason = f"{row['backbone']}, {row['model']}: {row['error']}"
            note("failed:", reason, "red")
    for line in bench.memory_lines(record):
        say(line)
    if options.device == "cuda" and record["peak_flops"] is None:
        note("note:", "the peak of this GPU is not in the table: no share of it is stated")
    say(f"{options.out}, {options.out.with_suffix('.png')}")
    return 1 if any("error" in row for row in record["rows"]) else 0
