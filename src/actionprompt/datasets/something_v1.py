"""Something-Something V1: 108,499 clips of 174 hand-and-object actions, as folders of JPEG frames.

R. Goyal et al.: The "something something" video database for learning and evaluating visual common sense, ICCV 2017.
Licence: research only, under the licence on Qualcomm's AI datasets page, which requires registration.

Lists as published: `something-something-v1-{train,validation}.csv`, `<id>;<class>` per line. Ids follow the official
`something-something-v1-labels.csv`, whose order differs from V2's over the same 174 names. The part `test` is the
official validation list (the labels of the test list were not published). Left and right are separate classes: never
flip.
"""

from pathlib import Path

from actionprompt.clips import ClipList
from actionprompt.datasets._base import Info, read_labels, require_folder
from actionprompt.datasets._lists import Row, check_count, check_split_and_part, clip_list, find_list, semicolon_rows

INFO = Info(
    title="Something-Something V1",
    licence="research only (Qualcomm AI datasets)",
    citation='Goyal et al., The "something something" video database for learning and evaluating visual common sense, '
    "ICCV 2017",
    get="register at developer.qualcomm.com/software/ai-datasets/something-something for V1, extract all parts "
    "together so that the frames are in ROOT/20bn-something-something-v1/<id>/, and put the CSV lists into "
    "ROOT/annotations/",
    layouts=("20bn-something-something-v1/{name}", "rawframes/{name}", "frames/{name}", "{name}"),
    lists=("something-something-v1-train.csv", "something-something-v1-validation.csv"),
    num_classes=174,
    counts={(1, "train"): 86_017, (1, "test"): 11_522},
    templates=("a video of {}.", "a video of a person {}."),
    flip=False,
)
LIST = {"train": "something-something-v1-train.csv", "test": "something-something-v1-validation.csv"}


def rows(root: Path, split: int, part: str) -> list[Row]:
    """The clips of one part, in the order of the list; `key` is the clip's number."""
    check_split_and_part(INFO, split, part)
    file = find_list(root, [LIST[part]], INFO)
    found = semicolon_rows(file, read_labels("something_v1").source)
    check_count(INFO, split, part, len(found), file)
    return found


def load(root: str | Path, *, split: int = 1, part: str = "train", max_missing: int | None = 0) -> ClipList:
    """There is one split; part `test` is the official validation list. `max_missing`: see `_lists.clip_list`."""
    root = require_folder(Path(root), INFO.title)
    found = rows(root, split, part)
    return clip_list(f"something_v1/{part}", INFO, read_labels("something_v1"), root, found, max_missing)
