"""HMDB-51: 6,766 clips of 51 actions from films and the web, three official splits.

H. Kuehne, H. Jhuang, E. Garrote, T. Poggio, T. Serre: HMDB: A Large Video Database for Human Motion Recognition, ICCV
2011. Licence: CC BY 4.0 (the authors' page).

Lists as published: one file per class and split, `<class>_test_split<n>.txt`, with one line per clip: its name, a
number and a trailing space. 1 means train, 2 test, 0 not used in this split. Each split has 70 train and 30 test clips
per class. The readable class names are those of the authors' page ("fall on the floor" for `fall_floor`); papers often
prompt with the folder name (`source_names`), underscores replaced by spaces. The class-text hash in a record tells the
two apart.
"""

from pathlib import Path

from actionprompt.clips import ClipList, read_lines
from actionprompt.datasets._base import Info, read_labels, require_folder
from actionprompt.datasets._lists import Row, check_count, check_split_and_part, clip_list, find_list

INFO = Info(
    title="HMDB-51",
    licence="CC BY 4.0",
    citation="Kuehne et al., HMDB: A Large Video Database for Human Motion Recognition, ICCV 2011",
    get="get hmdb51_org.rar and test_train_splits.rar from serre-lab.clps.brown.edu (HMDB, Download), extract the "
    "first and the 51 archives inside it into ROOT/<class>/, and the second into ROOT/",
    layouts=(
        "{class}/{name}",
        "videos/{class}/{name}",
        "hmdb51_org/{class}/{name}",
        "rawframes/{class}/{name}",
        "frames/{class}/{name}",
        "{name}",
        "videos/{name}",
    ),
    lists=("*_test_split?.txt",),
    num_classes=51,
    splits=(1, 2, 3),
    counts={(split, part): {"train": 3570, "test": 1530}[part] for split in (1, 2, 3) for part in ("train", "test")},
    sha256={"*_test_split?.txt": "4fff4d8c44a7dbb5155d403e04e9a82f72b21bfb5956212d9979477aae4748b3"},
    templates=("a video of the action {}.", "a video of a person doing {}."),
)


def rows(root: Path, split: int, part: str) -> list[Row]:
    """The clips of one part, in the order of the 51 list files; `key` is `<class>/<file name>`."""
    check_split_and_part(INFO, split, part)
    wanted = {"train": "1", "test": "2"}[part]
    found: list[Row] = []
    for label, source in enumerate(read_labels("hmdb51").source):
        file = find_list(root, [f"{source}_test_split{split}.txt"], INFO)
        for number, line in enumerate(read_lines(file), 1):
            name, _, use = line.rpartition(" ")
            if use not in ("0", "1", "2") or not name:
                raise ValueError(f"{file}:{number}: expected a clip name and 0, 1 or 2, got {line!r}")
            if use == wanted:
                name = name.strip()
                found.append(Row(f"{source}/{name}", label, {"class": source, "name": Path(name).stem}))
    check_count(INFO, split, part, len(found), file.parent)
    return found


def load(root: str | Path, *, split: int = 1, part: str = "train", max_missing: int | None = 0) -> ClipList:
    """Official split 1, 2 or 3. `max_missing`: see `_lists.clip_list`."""
    root = require_folder(Path(root), INFO.title)
    found = rows(root, split, part)
    return clip_list(f"hmdb51/split{split}/{part}", INFO, read_labels("hmdb51"), root, found, max_missing)
