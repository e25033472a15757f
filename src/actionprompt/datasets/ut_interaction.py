"""UT-Interaction, segmented: 60 clips per set of two people, six actions, ten video sequences.

M. S. Ryoo, J. K. Aggarwal: UT-Interaction Dataset, ICPR Contest on Semantic Description of Human Activities, 2010. The
authors state no licence; for research.

There are no list files: a clip's name is `<number>_<sequence>_<class>.avi`. The contest's protocol is
leave-one-sequence-out: split k (1 to 10) tests on the k-th sequence and trains on the other nine. In set 1, sequence 6
has no punching clip and sequence 8 has two, so a split tests on 5, 6 or 7 clips.

The clips are cropped tightly around the action: a classifier that sees only width, height and length of the clip
reaches about 57 %, one that sees only its aspect ratio about 52 % (chance 16.7 %;
`benchmarks/experiments/real_data.py`). Letterbox all clips to one shape; the bars still show the aspect ratio, so
report accuracies next to these baselines.
"""

import re
from pathlib import Path

from actionprompt.clips import VIDEO_SUFFIXES, Clip, ClipList, some
from actionprompt.datasets._base import Info, read_labels, require_folder
from actionprompt.datasets._lists import archives, check_split_and_part

INFO = Info(
    title="UT-Interaction",
    licence="none stated; for research",
    citation="Ryoo and Aggarwal, UT-Interaction Dataset, ICPR Contest on Semantic Description of Human Activities, "
    "2010",
    get="get the segmented set 1 or set 2 from cvrc.ece.utexas.edu/SDHA2010/Human_Interaction.html and put its 60 "
    "clips into ROOT/ (one set per root)",
    layouts=("{number}_{sequence}_{class}",),
    num_classes=6,
    splits=tuple(range(1, 11)),
    templates=("a video of two people {}.", "a video of a person {} another person."),
    letterbox=True,
)


def load(root: str | Path, *, split: int = 1, part: str = "train", max_missing: int | None = 0) -> ClipList:
    """Leave-one-sequence-out: part `test` is the `split`-th sequence, part `train` all others; keys are file names.

    Up to `max_missing` of the clips, numbered from 0, may be missing (any number with None). As their sequence is not
    known, every part names all of them in `ClipList.missing`, as `<number>_?_?`.

    Raises:
        ValueError: there are not 60 clips, less those that may be missing, of ten sequences.
    """
    check_split_and_part(INFO, split, part)
    root = require_folder(Path(root), INFO.title)
    labels = read_labels("ut_interaction")
    found: list[tuple[int, int, Path]] = []
    ignored, numbers = [], set(range(60))
    for path in sorted(root.iterdir()):
        match = re.fullmatch(r"(\d+)_(\d+)_([0-5])", path.stem)
        if match and path.suffix.lower() in VIDEO_SUFFIXES:
            found.append((int(match[2]), int(match[3]), path))
            numbers.discard(int(match[1]))
        elif not path.name.startswith("."):
            ignored.append(f"{path.name}: not named <number>_<sequence>_<class 0..5>.avi")
    sequences = sorted({sequence for sequence, _, _ in found})
    allowed = 60 if max_missing is None else max_missing
    if not found or len(sequences) != 10 or not 60 - allowed <= len(found) <= 60:
        packed = archives(root)
        raise ValueError(
            f"{INFO.title}: expected the 60 clips of ten sequences in {root}, got {len(found)} of {len(sequences)}"
            + (f"; there are archives to extract first: {some(packed)}" if packed else f"; {INFO.get}")
        )
    clips = tuple(
        Clip(path.name, path, label)
        for sequence, label, path in sorted(found)
        if (sequence == sequences[split - 1]) == (part == "test")
    )
    return ClipList(
        f"ut_interaction/split{split}/{part}",
        clips,
        labels.english,
        labels.chinese,
        labels.source,
        tuple(ignored),
        missing=tuple(f"{number}_?_?" for number in sorted(numbers)) if len(found) < 60 else (),
        layout=INFO.layouts[0],
    )
