"""Mini-Kinetics-200: 80,000 train and 5,000 validation clips of 200 actions, a subset of Kinetics-400.

S. Xie, C. Sun, J. Huang, Z. Tu, K. Murphy: Rethinking Spatiotemporal Feature Learning, ECCV 2018. The lists contain
YouTube ids only: classes and times come from the Kinetics-400 lists, which must be under the same root, as must the
videos. Class names are those of Kinetics-400. The part `test` is the official validation list. Licence: as
Kinetics-400.
"""

from pathlib import Path

from actionprompt.clips import ClipList, read_lines, some
from actionprompt.datasets import kinetics400
from actionprompt.datasets._base import Info, read_labels, require_folder
from actionprompt.datasets._lists import Row, check_count, check_split_and_part, clip_list, find_list

INFO = Info(
    title="Mini-Kinetics-200",
    licence=kinetics400.INFO.licence,
    citation="Xie et al., Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs, ECCV 2018",
    get="get Kinetics-400 into ROOT/ with its lists, and train_ytid_list.txt and val_ytid_list.txt from "
    "github.com/s9xie/Mini-Kinetics-200 into ROOT/annotations/",
    layouts=kinetics400.INFO.layouts,
    lists=("train_ytid_list.txt", "val_ytid_list.txt", *kinetics400.INFO.lists),
    num_classes=200,
    counts={(1, "train"): 80_000, (1, "test"): 5_000},
    sha256={"val_ytid_list.txt": "66cbc63106c94757db76e6f657b1edc5a3725c4ce9fdecff314bf8ca7bceb82f"},
    templates=kinetics400.INFO.templates,
)


def rows(root: Path, split: int, part: str) -> list[Row]:
    """The clips of one part, in the order of the id list; `key` as in Kinetics-400."""
    check_split_and_part(INFO, split, part)
    file = find_list(root, [{"train": "train_ytid_list.txt", "test": "val_ytid_list.txt"}[part]], INFO)
    wanted = read_lines(file)
    check_count(INFO, split, part, len(wanted), file)
    known = {row.fields["id"]: row for which in ("test", "train") for row in kinetics400.rows(root, 1, which)}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(
            f"{file}: {len(unknown)} of {len(wanted)} ids are in no Kinetics-400 list under {root}, so their class is "
            f"unknown: {some(unknown)}; use complete Kinetics-400 lists"
        )
    ids = {source: index for index, source in enumerate(read_labels("mini_kinetics200").source)}
    found = []
    for name in wanted:
        row = known[name]
        if row.fields["class_"] not in ids:
            raise ValueError(f"{file}: {name} is {row.fields['class']!r}, which is not a Mini-Kinetics-200 class")
        found.append(Row(row.key, ids[row.fields["class_"]], row.fields))
    return found


def load(root: str | Path, *, split: int = 1, part: str = "train", max_missing: int | None = 0) -> ClipList:
    """There is one split; part `test` is the official validation list. `max_missing`: see `_lists.clip_list`."""
    root = require_folder(Path(root), INFO.title)
    found = rows(root, split, part)
    return clip_list(f"mini_kinetics200/{part}", INFO, read_labels("mini_kinetics200"), root, found, max_missing)
