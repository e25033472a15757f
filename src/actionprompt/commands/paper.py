"""The rows of the papers, and each as one command: actionprompt paper [METHOD [ROW --clips.root DIR --out DIR]]"""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actionprompt import papers
from actionprompt.commands._shared import say
from actionprompt.paper import Row

DESCRIPTION = """\
Without arguments: the papers, their rows and how many can be run. With METHOD: the rows of one paper, with published
numbers and the commands that run them. With METHOD and ROW: run it. Options that are not listed here go to
`actionprompt run` and replace the row's own; the record then says which, and gives no difference from the published
number."""


def main(args: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "actionprompt paper", description=DESCRIPTION, allow_abbrev=False, exit_on_error=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("method", nargs="?", metavar="METHOD", help=", ".join(papers.names()))
    parser.add_argument("row", nargs="?", metavar="ROW", help="a row's id, as `actionprompt paper METHOD` lists them")
    parser.add_argument("--clips.root", metavar="DIR", help="root of the row's data set")
    parser.add_argument("--pretrain.root", metavar="DIR", help="root of Kinetics-400, for rows that train on it first")
    parser.add_argument("--start-from", metavar="RUN", type=Path, help="a finished run in place of that first training")
    parser.add_argument("--flow", metavar="RUN", type=Path, help="a run of i3d_flow, for the row that fuses with flow")
    parser.add_argument("--backbone", help="the row's CLIP: a folder, file or hub name; by default OpenAI's on the hub")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="folder of records and models; a row's are in METHOD/ROW"
    )
    parser.add_argument("--plan", action="store_true", help="print the commands and run nothing")
    try:
        given, more = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from None
    if given.method is None:
        if more:
            raise ValueError(f"expected a method before {more[0]}; choose one of {', '.join(papers.names())}")
        print_papers()
        return 0
    if given.row is None:
        if more:
            raise ValueError(f"expected a row before {more[0]}; `actionprompt paper {given.method}` lists them")
        print_rows(given.method)
        return 0
    row = papers.row(given.method, given.row)
    return run_row(given.method, row, vars(given), more)


def print_papers() -> None:
    for name in papers.names():
        kinds = [papers.kind(row) for row in papers.get(name).ROWS]
        print(f"{name}: {papers.summary(name)}")
        print(
            f"  {len(kinds)} rows: {kinds.count(papers.RUNS)} run with one command, {kinds.count(papers.OTHER)} are of "
            f"other systems, {kinds.count(papers.NOT_RUN)} are not run"
        )
    print("\nactionprompt paper METHOD lists the rows of one, with published numbers and commands.")


def print_rows(name: str) -> None:
    """One block per row: plain lines, so that a command can be copied."""
    from actionprompt.study import rows

    module = papers.get(name)
    print(papers.summary(name))
    for row in module.ROWS:
        printed = " / ".join(f"{value:g}" for value in (row.top1, row.top5) if value is not None) or "not printed"
        print(f"\n{row.id}: {row.compares}")
        if not row.runs:
            print(f"  {row.note}")
            continue
        splits = f"split{'s' if len(row.splits) > 1 else ''} {', '.join(map(str, row.splits))}"
        frames = f"{row.num_frames} frames, views {row.views}, {splits}, seeds {', '.join(map(str, row.seeds))}"
        source = f" ({row.source})" if row.source else ""
        print(f"  published {printed}{source}; {frames}" + (f"; {row.note}" if row.note else ""))
        for step in rows.commands(row, Path("OUT", name, row.id)):
            print(f"  actionprompt {shlex.join(step)}")
    print("\nWhat the paper leaves open, and what is taken here:")
    for choice in module.CHOICES:
        print(f"- {choice}")


def run_row(paper: str, row: Row, given: Mapping[str, Any], more: Sequence[str]) -> int:
    """Run the commands of a row in this process; those whose result is there are skipped."""
    from actionprompt.study import rows

    if given["out"] is None and not given["plan"]:
        raise ValueError("expected --out DIR for the records and models, or --plan to see the commands")
    more = [word for option in rows.split_options(more) for word in option]
    folder = (given["out"] or Path("OUT")) / paper / row.id
    steps = rows.commands(
        row, folder, root=given["clips.root"] or (None if "--clips.dataset" in more else "DIR"),
        pretrain_root=given["pretrain.root"] or "KINETICS", backbone=given["backbone"], start_from=given["start_from"],
        flow=given["flow"], more=more,
    )  # fmt: skip
    if given["plan"]:
        for step in steps:
            say(f"actionprompt {shlex.join(step)}")
        return 0
    needed = (row.first is not None and given["start_from"] is None) or (row.flow and given["flow"] is None)
    if given["pretrain.root"] is not None and not needed:
        raise ValueError(f"{row.id} trains on nothing else first: leave out --pretrain.root")
    if needed and given["pretrain.root"] is None:
        raise ValueError(
            f"{row.id} trains on Kinetics-400 first: give its root as --pretrain.root DIR, or finished runs as "
            f"--start-from RUN{' and --flow RUN' if row.flow else ''}"
        )
    if given["clips.root"] is None and "--clips.dataset" not in more:
        raise ValueError(f"{row.id} runs on {row.dataset}: give its root as --clips.root DIR")
    return execute(paper, row, folder, steps, more)


def execute(paper: str, row: Row, folder: Path, steps: Sequence[Sequence[str]], more: Sequence[str]) -> int:
    from actionprompt.commands import fuse, run, train
    from actionprompt.records import write
    from actionprompt.study import rows

    def about(dataset: str, figures: Mapping[str, float]) -> dict[str, Any]:
        return rows.comparison(paper, row, dataset, figures, more)

    for verb, *step in steps:  # nothing is trained before everything can be read
        if verb == "train":
            train.read(step)[1].check()
        elif verb == "run":
            made = step.index("--model") if "--model" in step else len(step)  # that model may still have to be trained
            run.read([*step[:made], *step[made + 2 :]])[1].check()
    unread = 0
    for number, (verb, *step) in enumerate(steps, start=1):
        say(f"[{number}/{len(steps)}] actionprompt {verb} {shlex.join(step)}")
        if verb == "train":
            if train.is_finished(step):
                say(f"{Path(step[step.index('--out') + 1]) / 'model'} is there")
            else:
                unread |= train.main(step)
        elif verb == "run":
            unread |= run.main([*step, "--skip-existing"], about=None if row.flow else about)
        else:
            unread |= fuse.main(step)
    if row.flow:
        for seed in row.seeds:
            write(folder / f"{row.id}-s{seed}.json", rows.fused_record(row, folder, seed, about))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*-s*.json"))]
    found = [record for record in records if record.get("paper", {}).get("row") == row.id]
    if found:
        published = "not printed" if row.top1 is None else f"{row.top1:g} %"
        changes = {shlex.join(record["paper"]["changed"]) for record in found} - {""}
        changed = "".join(f"; with {words} in place of the row's own options" for words in sorted(changes))
        say(
            f"{row.id}: {rows.mean_accuracy(found):.2f} %, the mean of {len(found)} records; published: {published}"
            f"{changed}"
        )
    return unread
