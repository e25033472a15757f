"""UCF-101: 13,320 clips of 101 actions from YouTube, three official splits.

K. Soomro, A. R. Zamir, M. Shah: UCF101: A Dataset of 101 Human Action Classes From Videos in The Wild, CRCV-TR-12-01,
2012. The authors state no licence; for research.

Lists as published: `trainlist0<n>.txt` with `<class>/<file> <id>` and `testlist0<n>.txt` with `<class>/<file>`, CRLF,
ids from 1 in the order of `classInd.txt`. One class is spelled HandstandPushups as a folder and HandStandPushups in its
file names. The readable names are those of the published CLIP prompts, in lower case (openai/CLIP, MIT); their order
differs from the official one in four places, so classes are matched by name and never by position in such a list.
"""

from pathlib import Path

from actionprompt.clips import ClipList, read_lines
from actionprompt.datasets._base import Info, read_labels, require_folder
from actionprompt.datasets._lists import Row, check_count, check_split_and_part, clip_list, find_list

INFO = Info(
    title="UCF-101",
    licence="none stated; for research",
    citation="Soomro et al., UCF101: A Dataset of 101 Human Action Classes From Videos in The Wild, CRCV-TR-12-01, "
    "2012",
    get="get UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip from www.crcv.ucf.edu/data/UCF101.php and "
    "extract both into ROOT/",
    layouts=(
        "{class}/{name}",
        "UCF-101/{class}/{name}",
        "videos/{class}/{name}",
        "rawframes/{class}/{name}",
        "frames/{class}/{name}",
        "{name}",
        "videos/{name}",
    ),
    lists=("classInd.txt", "trainlist0?.txt", "testlist0?.txt"),
    num_classes=101,
    splits=(1, 2, 3),
    counts={
        (1, "train"): 9537,
        (1, "test"): 3783,
        (2, "train"): 9586,
        (2, "test"): 3734,
        (3, "train"): 9624,
        (3, "test"): 3696,
    },
    sha256={
        "classInd.txt": "bfd7530cc915c4f2d5be9b34d1db4d9fbe9aa7fd3eba68ed6a2d9c775bfdd4ed",
        "trainlist0?.txt": "b1a8c474d4a7843453b57edf5ec701aee7e8203b2275ba5b499064e4be0480bd",
        "testlist0?.txt": "d679b7e1a8fcf36eaa9a193ae717b763f5c9c39a328e55c83e72aebfe1788fc9",
    },
    templates=(
        "a video of a person {}.",
        "a video of a person using {}.",
        "a video of a person doing {}.",
        "a video of a person during {}.",
        "a video of a person performing {}.",
        "a video of a person practicing {}.",
    ),
)


def rows(root: Path, split: int, part: str) -> list[Row]:
    """The clips of one part, in the order of the list; `key` is `<class>/<file name>` as in the list."""
    check_split_and_part(INFO, split, part)
    file = find_list(root, [f"{part}list{split:02}.txt"], INFO)
    ids = {name: index for index, name in enumerate(read_labels("ucf101").source)}
    found: list[Row] = []
    for number, line in enumerate(read_lines(file), 1):
        key, _, official = line.rpartition(" ") if part == "train" else (line, "", "")
        source, _, name = key.rpartition("/")
        if source not in ids:
            raise ValueError(f"{file}:{number}: expected <class>/<file> of a UCF-101 class, got {line!r}")
        if part == "train" and official != str(ids[source] + 1):
            raise ValueError(f"{file}:{number}: expected the id {ids[source] + 1} for {source}, got {official!r}")
        found.append(Row(key, ids[source], {"class": source, "name": Path(name).stem}))
    check_count(INFO, split, part, len(found), file)
    return found


def load(root: str | Path, *, split: int = 1, part: str = "train", max_missing: int | None = 0) -> ClipList:
    """Official split 1, 2 or 3. `max_missing`: see `_lists.clip_list`."""
    root = require_folder(Path(root), INFO.title)
    found = rows(root, split, part)
    return clip_list(f"ucf101/split{split}/{part}", INFO, read_labels("ucf101"), root, found, max_missing)
