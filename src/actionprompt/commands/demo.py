"""See it work, offline: generated clips, zero-shot and trained, a report; 1 or 2 minutes, 20 on a busy machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from actionprompt.commands._outputs import check_folder
from actionprompt.commands._shared import bar, check_least, out, parse, say
from actionprompt.study import demo


@dataclass(frozen=True)
class Demo:
    out: Path = Path("demo")
    """Folder of the report."""
    epochs: int = 50
    """Of the few-shot training."""


def main(args: Sequence[str]) -> int:
    options = parse(Demo, args, "demo", __doc__)
    check_least(options, epochs=1)
    check_folder(options)
    with bar("building clips") as build, bar("encoding frames") as encode, bar("training") as step:
        result = demo.demo(
            options.out, epochs=options.epochs, on_build=build, on_encode=encode,
            on_step=lambda s: step(s.step, s.num_steps, f"loss {s.losses['loss']:.3f}"),
        )  # fmt: skip
    table = Table("kind of class", "zero-shot %", f"{demo.METHOD}, {demo.SHOTS} shots %", title="ActionWorld mini")
    for kind, text in demo.KINDS.items():
        cells = (f"{p:.1f}  ({low:.0f} to {high:.0f})" for p, low, high in (t[kind] for t in result.kinds.values()))
        table.add_row(text, *cells)
    table.add_row("all", *(f"{r.metrics.top1:.1f}" for r in (result.zero_shot, result.trained)))
    out.print(table)
    for line in result.conclusion:
        say(line)
    best = f"{result.prediction.label} ({100 * result.prediction.score:.0f} %)"
    say(f"{result.prediction.path.name}: {best}")
    say(f"{sum(result.seconds.values()):.0f} s; report: {result.report}")
    return 0
