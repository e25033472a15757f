"""Label a million videos, to Parquet: actionprompt tag videos.parquet --labels "wave,clap,run" --out tags"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import tyro

from actionprompt.clips import Broken
from actionprompt.commands._outputs import check_folder
from actionprompt.commands._shared import (
    bar,
    check_least,
    class_names,
    find_predictor,
    note,
    parse,
    print_broken,
    say,
)
from actionprompt.config import Fit

MOST_BROKEN = 20
"""Rows that could not be read and are printed; the table has all."""
LOOKED_AT = 100
"""Rows that warnings are about."""


@dataclass(frozen=True)
class Tag:
    source: tyro.conf.Positional[str]
    """A folder, a glob, or a list of paths and addresses (s3://, https://...): .txt with one a line, .csv, .parquet."""
    out: Path
    """Folder for part-00000.parquet, ... and _manifest.json. Called again, only missing parts are made."""
    model: Path | None = None
    """A trained model; without it frozen CLIP tells the labels apart."""
    labels: str | None = None
    """Class names to tell apart, separated by commas."""
    labels_file: Path | None = None
    """The same from a file: one per line, `id,name` rows, or JSON."""
    backbone: str | None = None
    """As in `predict`: of zero-shot recognition, or where that of a trained model is."""
    none: bool = False
    """Let "none of these" be an answer: a null label, and the last of the scores."""
    independent: bool = False
    """Score each label by itself against unrelated actions, so that several can be true at once."""
    fit: Fit | None = None
    """What of a frame is seen, as in `predict`."""
    precision: Literal["float32", "bf16", "int8"] = "float32"
    """What frames are encoded in, as in `predict`."""
    column: str | None = None
    """Of CSV, TSV and Parquet: the column of paths, `path` unless given. Relative ones are below the list's folder."""
    embeddings: bool = False
    """A column with the embedding of each video as float16."""
    part_rows: int = 1000
    """Rows of a part: what is lost at most when a run is killed."""
    batch_size: int = 8
    """Videos that go through the towers together."""
    num_workers: int = 2
    """Videos that are decoded at the same time; 0 decodes in this process."""
    engine: Literal["local", "ray"] = "local"
    """This machine alone, or Ray Data: `--num-workers` tasks that decode and `--actors` towers."""
    actors: int = 1
    """With ray: processes with the towers, on a GPU each where the cluster has GPUs."""
    ray_address: str | None = None
    """With ray: of a running cluster (`auto`: the one this machine is in); by default one is started here and ended."""


def main(args: Sequence[str]) -> int:
    options = parse(Tag, args, "tag", __doc__)
    check_least(options, part_rows=1, batch_size=1, num_workers=0 if options.engine == "local" else 1, actors=1)
    if options.engine == "local" and (options.ray_address is not None or options.actors != 1):
        raise ValueError("expected --actors and --ray-address with --engine ray alone")
    names = class_names(options.labels, options.labels_file)
    check_folder(options)
    from actionprompt.apps import tag as engine  # imports torch, which --help does without

    source = engine.read(options.source, column=options.column, note=lambda line: note("note:", line))
    run = engine.local.run
    if options.engine == "ray":
        from actionprompt.apps.tag import cluster

        cluster.check(options.precision)
        run = partial(cluster.run, actors=options.actors, address=options.ray_address)
    predictor = find_predictor(options, names, fit=options.fit, precision=options.precision)
    paths = [os.path.join(source.base, text) for text in source.texts(0, min(LOOKED_AT, len(source)))]
    for line in predictor.warnings([path if os.path.isfile(path) else "" for path in paths]):
        note("warning:", line)
    broken: list[Broken] = []

    def on_broken(path: str, error: str) -> None:
        if len(broken) < MOST_BROKEN:
            broken.append(Broken(path, error, (0, 0)))
            print_broken(broken[-1:])

    with bar("videos") as progress:
        done = engine.tag(
            predictor, source, options.out, part_rows=options.part_rows, batch_size=options.batch_size,
            embeddings=options.embeddings, num_workers=options.num_workers, engine=run, on_broken=on_broken,
            progress=progress,
        )  # fmt: skip
    if done.broken:
        note("could not read", f"{done.broken} of {done.rows} videos: the column error says why", "red")
    there = f", {done.parts - done.parts_written} of them from before" if done.parts_written < done.parts else ""
    parts = f"{done.parts} part{'' if done.parts == 1 else 's'}"
    say(f"{done.rows - done.broken} of {done.rows} videos, {parts}{there}: {done.folder}")
    return 1 if done.broken else 0
