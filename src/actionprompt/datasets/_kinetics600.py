"""What the two zero-shot benchmarks on Kinetics-600 share: the classes, their three groups, and the reader of lists.

S. Chen, D. Huang: Elaborative Rehearsal for Zero-shot Action Recognition, ICCV 2021 (ER-ZSAR), chose the 220 classes of
Kinetics-600 that are not in Kinetics-400 and divided them three times at random into 60 classes for validation and 160
for testing. Both benchmarks test on the same three groups of 160 classes, split k on group k, but on other clips:
`kinetics600_er` on those of ER-ZSAR, `kinetics600_val` on those of the official validation set. Their accuracies cannot
be compared with each other.

A label in a list is the position of its class among the 160 names of the group in alphabetical order.
"""

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from actionprompt.clips import ClipList, read_lines, some
from actionprompt.datasets._base import Info, Labels, read_labels, require_folder
from actionprompt.datasets._lists import Row, clip_list, find_list

# fmt: off
VALIDATION = {
    1: (
        2, 3, 5, 15, 18, 23, 26, 27, 28, 31, 35, 36, 39, 41, 42, 50, 57, 58, 60, 68, 70, 72, 75, 81, 85, 86, 87, 92,
        94, 95, 97, 106, 107, 113, 120, 128, 132, 135, 138, 140, 153, 159, 165, 167, 170, 172, 175, 178, 181, 183, 192,
        194, 197, 200, 205, 206, 207, 211, 213, 216,
    ),
    2: (
        1, 2, 3, 6, 11, 13, 15, 16, 21, 22, 25, 29, 30, 33, 36, 38, 48, 58, 59, 62, 63, 67, 71, 73, 77, 80, 83, 96, 97,
        98, 103, 105, 108, 109, 110, 112, 113, 127, 131, 142, 146, 149, 150, 157, 158, 166, 171, 175, 177, 178, 184,
        195, 199, 202, 208, 209, 213, 214, 218, 219,
    ),
    3: (
        0, 9, 13, 14, 19, 30, 31, 35, 42, 47, 48, 51, 53, 54, 56, 60, 65, 66, 67, 73, 79, 97, 100, 101, 103, 113, 115,
        117, 120, 123, 127, 128, 130, 131, 134, 135, 136, 138, 145, 154, 157, 159, 161, 162, 164, 166, 173, 174, 175,
        177, 184, 185, 186, 192, 197, 198, 206, 209, 211, 219,
    ),
}
"""The 60 validation classes of each group as rows of `labels/kinetics600.tsv`; its other 160 classes are tested on."""
# fmt: on


def labels(group: int) -> Labels:
    """The 160 test classes of a group, in the order of the published labels."""
    every, left_out = read_labels("kinetics600"), set(VALIDATION[group])

    def pick(names: Sequence[str] | None) -> tuple[str, ...]:
        return tuple(name for row, name in enumerate(names or ()) if row not in left_out)

    return Labels(pick(every.source), pick(every.english), pick(every.chinese))


def rows(file: Path, group: int, pattern: str) -> list[Row]:
    """The clips of a list, in its order; `key` is the clip as the list names it.

    `pattern` is a regular expression of a line with the groups `key`, `part`, `label` and, where the path names the
    class, `class`.

    Raises:
        ValueError: with the line number, another line, a label that is not 0..159, or one that contradicts the class in
            the path; also a list without any clip of some class, as one that is cut at its end.
    """
    names, found, seen = labels(group).source, [], set()
    for number, line in enumerate(read_lines(file), 1):
        match = re.fullmatch(pattern, line)
        if match is None or int(match["label"]) >= len(names):
            raise ValueError(f"{file}:{number}: expected a line like {pattern} with a label 0..159, got {line!r}")
        label = int(match["label"])
        source, listed = names[label], posixpath.splitext(match["key"])[0]
        if match.groupdict().get("class", source).replace("_", " ") != source:
            raise ValueError(
                f"{file}:{number}: label {label} is {source!r} in group {group}, but the clip is in the folder "
                f"{match['class']}; this is the list of another group"
            )
        name = posixpath.basename(listed)
        fields = {"part": match["part"], "class": source, "class_": source.replace(" ", "_"), "name": name}
        found.append(Row(match["key"], label, fields | {"id": name[:11], "listed": listed}))
        seen.add(label)
    if len(seen) < len(names):
        lacking = [name for label, name in enumerate(names) if label not in seen]
        raise ValueError(
            f"{file}: no clips of {len(lacking)} of the 160 classes ({some(lacking)}); the list is incomplete"
        )
    return found


def load(
    name: str, info: Info, lists: Sequence[str], pattern: str, root: str | Path, *, split: int, part: str,
    max_missing: int | None,
) -> ClipList:  # fmt: skip
    """The test clips of group `split` of the data set `name`; `lists` are the names its list file may have."""
    if split not in info.splits:
        raise ValueError(f"{info.title}: expected split 1, 2 or 3, one per group of classes, got {split}")
    if part != "test":
        raise ValueError(
            f"{info.title}: expected part test, got {part!r}; this benchmark tests models of other data: "
            f"use --protocol zero-shot"
        )
    root = require_folder(Path(root), info.title)
    found = rows(find_list(root, lists, info), split, pattern)
    return clip_list(f"{name}/group{split}/test", info, labels(split), root, found, max_missing)
