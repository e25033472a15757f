"""Jester: 148,092 clips of 27 hand gestures in front of a camera, as folders of JPEG frames.

J. Materzynska, G. Berger, I. Bax, R. Memisevic: The Jester Dataset: A Large-Scale Video Dataset of Human Gestures, ICCV
Workshops 2019. Licence: research only, under the licence on Qualcomm's AI datasets page.

Lists as published: `jester-v1-{train,validation}.csv`, `<id>;<class>` per line. Ids follow the official
`jester-v1-labels.csv`; public label maps swap ids 4 and 5 ("Pulling Hand In", "Pushing Hand Away"), so classes are
matched by name. The part `test` is the official validation list. Left and right are separate classes: never flip.
"""

from pathlib import Path

from actionprompt.clips import ClipList
from actionprompt.datasets._base import Info, read_labels, require_folder
from actionprompt.datasets._lists import Row, check_count, check_split_and_part, clip_list, find_list, semicolon_rows

INFO = Info(
    title="Jester",
    licence="research only (Qualcomm AI datasets)",
    citation="Materzynska et al., The Jester Dataset: A Large-Scale Video Dataset of Human Gestures, ICCV Workshops "
    "2019",
    get="register at developer.qualcomm.com/software/ai-datasets/jester, extract all parts together so that the frames "
    "are in ROOT/20bn-jester-v1/<id>/, and put the CSV lists into ROOT/annotations/",
    layouts=("20bn-jester-v1/{name}", "rawframes/{name}", "frames/{name}", "{name}"),
    lists=("jester-v1-labels.csv", "jester-v1-train.csv", "jester-v1-validation.csv"),
    num_classes=27,
    counts={(1, "train"): 118_562, (1, "test"): 14_787},
    sha256={"jester-v1-labels.csv": "5f4d05734d16395bb9ccb73c137143ef48fa9ce5ce59cd6a4a20221b1efc5cd9"},
    templates=("a video of the hand gesture {}.", "a video of a person {}."),
    templates_zh=("一段手势视频：{}。",),
    flip=False,
)
LIST = {"train": "jester-v1-train.csv", "test": "jester-v1-validation.csv"}


def rows(root: Path, split: int, part: str) -> list[Row]:
    """The clips of one part, in the order of the list; `key` is the clip's number."""
    check_split_and_part(INFO, split, part)
    file = find_list(root, [LIST[part]], INFO)
    found = semicolon_rows(file, read_labels("jester").source)
    check_count(INFO, split, part, len(found), file)
    return found


def load(root: str | Path, *, split: int = 1, part: str = "train", max_missing: int | None = 0) -> ClipList:
    """There is one split; part `test` is the official validation list. `max_missing`: see `_lists.clip_list`."""
    root = require_folder(Path(root), INFO.title)
    found = rows(root, split, part)
    return clip_list(f"jester/{part}", INFO, read_labels("jester"), root, found, max_missing)
