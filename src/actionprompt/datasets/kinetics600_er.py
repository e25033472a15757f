"""Kinetics-600 zero-shot on the clips of ER-ZSAR: three groups of 160 classes that are not in Kinetics-400.

S. Chen, D. Huang: Elaborative Rehearsal for Zero-shot Action Recognition, ICCV 2021; Kinetics-600: J. Carreira et al.:
A Short Note about Kinetics-600, arXiv:1808.01340, 2018. Licence: as Kinetics-400.

About 14,100 clips per group, most of them from the training set of Kinetics-600. ViFi-CLIP publishes the lists, and
X-CLIP and Vita-CLIP report on these groups, too. `kinetics600_val` has the same classes and other clips: another
benchmark.

Lists as published with ViFi-CLIP: `ZS_split<n>_K600_eval.txt`, `<train|val|test>/<id>_<start>_<end>.mp4 <label>`. The
number of clips is not checked, since copies of Kinetics differ; every class must have some.
"""

from pathlib import Path

from actionprompt.clips import ClipList
from actionprompt.datasets import _kinetics600, kinetics400
from actionprompt.datasets._base import Info

INFO = Info(
    title="Kinetics-600 zero-shot on the clips of ER-ZSAR",
    licence=kinetics400.INFO.licence,
    citation="Carreira et al., A Short Note about Kinetics-600, arXiv:1808.01340, 2018; Chen and Huang, Elaborative "
    "Rehearsal for Zero-shot Action Recognition, ICCV 2021",
    get="get the videos of Kinetics-600 from github.com/cvdfoundation/kinetics-dataset into ROOT/train/, ROOT/val/ and "
    "ROOT/test/, and ZS_split1_K600_eval.txt to ZS_split3_K600_eval.txt from datasets_splits/k600_splits of "
    "github.com/muzairkhattak/ViFi-CLIP into ROOT/annotations/",
    layouts=kinetics400.INFO.layouts,
    lists=("ZS_split1_K600_eval.txt", "ZS_split2_K600_eval.txt", "ZS_split3_K600_eval.txt"),
    num_classes=160,
    splits=(1, 2, 3),
    parts=("test",),
    templates=kinetics400.INFO.templates,
)
LINE = r"(?P<key>(?P<part>train|val|test)/.*\S) +(?P<label>\d+)"


def load(root: str | Path, *, split: int = 1, part: str = "test", max_missing: int | None = 0) -> ClipList:
    """The test clips of group `split`; there is no other part. `max_missing`: see `_lists.clip_list`."""
    lists = (INFO.lists[split - 1],) if split in INFO.splits else ()
    return _kinetics600.load("kinetics600_er", INFO, lists, LINE, root, split=split, part=part, max_missing=max_missing)
