"""Kinetics-400: about 240,000 train and 20,000 validation clips of ten seconds from YouTube, 400 actions.

W. Kay et al.: The Kinetics Human Action Video Dataset, arXiv:1705.06950, 2017. The annotations are CC BY 4.0; each
video belongs to whoever uploaded it.

Videos disappear from YouTube, so copies differ: validation lists of 19,877 and of 19,796 rows are both widely used. The
number of clips is therefore not checked; the list's hash and number of clips go into every record, and `max_missing`
sets how many listed clips may be missing. The part `test` is the official validation list, as in the literature.

Lists: `train.csv` and `val.csv` (or `validate.csv`) as published, with the columns label, youtube_id, time_start,
time_end; or `kinetics400_{train,val}_list_videos.txt`, `<path> <id>` per line with ids from 0 in alphabetical order.
"""

import csv
import posixpath
from collections.abc import Iterator
from pathlib import Path

from actionprompt.clips import ClipList, read_lines
from actionprompt.datasets._base import Info, read_labels, require_folder
from actionprompt.datasets._lists import Row, check_split_and_part, clip_list, find_list

INFO = Info(
    title="Kinetics-400",
    licence="annotations CC BY 4.0; videos belong to their uploaders",
    citation="Kay et al., The Kinetics Human Action Video Dataset, arXiv:1705.06950, 2017",
    get="get train.csv, val.csv and the videos from github.com/cvdfoundation/kinetics-dataset, put the lists into "
    "ROOT/annotations/ and the videos into ROOT/train/ and ROOT/val/",
    layouts=(
        "{part}/{class}/{name}",
        "{part}/{class_}/{name}",
        "{part}/{name}",
        "videos_{part}/{class_}/{name}",
        "videos_{part}/{class}/{name}",
        "videos_{part}/{name}",
        "rawframes_{part}/{class_}/{name}",
        "rawframes_{part}/{name}",
        "{part}/{class}/{id}",
        "{part}/{id}",
        "{listed}",
    ),
    lists=("train.csv", "val.csv", "validate.csv", "kinetics400_*_list_videos.txt"),
    num_classes=400,
    templates=(
        "a video of {}.",
        "a video of a person {}.",
        "a video of a person using {}.",
        "a video of a person doing {}.",
        "a video of a person during {}.",
        "a video of a person performing {}.",
        "a video of a person practicing {}.",
    ),
)
NAMES = {
    "train": ("train.csv", "kinetics400_train_list_videos.txt"),
    "test": ("val.csv", "validate.csv", "kinetics400_val_list_videos.txt"),
}


def rows(root: Path, split: int, part: str) -> list[Row]:
    """The clips of one part, in the order of the list. `key` is `<train|val>/<id>_<start>_<end>` (times in seconds) or,
    with a text list, the path in the list."""
    check_split_and_part(INFO, split, part)
    file = find_list(root, NAMES[part], INFO)
    folder = {"train": "train", "test": "val"}[part]
    names = read_labels("kinetics400").source
    parsed = _from_csv(file, names, folder) if file.suffix == ".csv" else _from_text(file, len(names))
    found = []
    for key, label in parsed:
        listed = posixpath.splitext(key)[0]
        name = posixpath.basename(listed)
        source = names[label]
        fields = {
            "part": folder, "class": source, "class_": source.replace(" ", "_"), "name": name, "id": name[:11],
            "listed": listed,
        }  # fmt: skip
        found.append(Row(key, label, fields))
    return found


def _from_csv(file: Path, names: tuple[str, ...], folder: str) -> Iterator[tuple[str, int]]:
    ids = {name: index for index, name in enumerate(names)}
    table = csv.DictReader(read_lines(file))
    needed = ("label", "youtube_id", "time_start", "time_end")
    if not set(needed) <= set(table.fieldnames or ()):
        raise ValueError(f"{file}: expected the columns {', '.join(needed)}, got {', '.join(table.fieldnames or ())}")
    for row in table:
        if row["label"] not in ids:
            raise ValueError(f"{file}:{table.line_num}: {row['label']!r} is not a Kinetics-400 class")
        try:
            start_s, end_s = (int(float(row[name])) for name in needed[2:])
        except (TypeError, ValueError):
            raise ValueError(f"{file}:{table.line_num}: expected times in seconds, got {row}") from None
        yield f"{folder}/{row['youtube_id']}_{start_s:06}_{end_s:06}", ids[row["label"]]


def _from_text(file: Path, num_classes: int) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(read_lines(file), 1):
        path, _, label = line.rpartition(" ")
        if not path or not label.isdigit() or int(label) >= num_classes:
            raise ValueError(f"{file}:{number}: expected <path> and an id 0..{num_classes - 1}, got {line!r}")
        yield path.strip(), int(label)


def load(root: str | Path, *, split: int = 1, part: str = "train", max_missing: int | None = 0) -> ClipList:
    """There is one split; part `test` is the official validation list. `max_missing`: see `_lists.clip_list`."""
    root = require_folder(Path(root), INFO.title)
    found = rows(root, split, part)
    return clip_list(f"kinetics400/{part}", INFO, read_labels("kinetics400"), root, found, max_missing)
