"""Kinetics-600 zero-shot on validation clips: three groups of 160 classes that are not in Kinetics-400.

Z. Weng et al.: Open-VCLIP: Transforming CLIP to an Open-vocabulary Video Model via Interpolated Weight Optimization,
ICML 2023; Kinetics-600: J. Carreira et al.: A Short Note about Kinetics-600, arXiv:1808.01340, 2018. Licence: as
Kinetics-400.

About 7,250 clips per group, all from the validation set of Kinetics-600; the lists of Open-VCLIP, which FROSTER uses.
The groups of classes are those of ER-ZSAR (Chen and Huang, ICCV 2021). `kinetics600_er` has the same classes and
other clips: another benchmark.

Lists as published with Open-VCLIP: `k600_split<n>/val.csv` and the same as `test.csv`,
`val/<class>/<id>_<start>_<end>.mp4,<label>`, with underscores for the spaces of the class. The number of clips is not
checked, since copies of Kinetics differ; every class must have some.
"""

from pathlib import Path

from actionprompt.clips import ClipList
from actionprompt.datasets import _kinetics600, kinetics400
from actionprompt.datasets._base import Info

INFO = Info(
    title="Kinetics-600 zero-shot on validation clips",
    licence=kinetics400.INFO.licence,
    citation="Carreira et al., A Short Note about Kinetics-600, arXiv:1808.01340, 2018; Weng et al., Open-VCLIP, "
    "ICML 2023",
    get="get the validation videos of Kinetics-600 from github.com/cvdfoundation/kinetics-dataset into ROOT/val/, and "
    "the folders k600_split1 to k600_split3 of zs_label_db in github.com/wengzejia1/Open-VCLIP into ROOT/annotations/",
    layouts=kinetics400.INFO.layouts,
    lists=tuple(f"k600_split{group}/{name}.csv" for group in (1, 2, 3) for name in ("val", "test")),
    num_classes=160,
    splits=(1, 2, 3),
    parts=("test",),
    templates=kinetics400.INFO.templates,
)
LINE = r"(?P<key>(?P<part>val)/(?P<class>[^/]+)/.*\S) *, *(?P<label>\d+)"


def load(root: str | Path, *, split: int = 1, part: str = "test", max_missing: int | None = 0) -> ClipList:
    """The test clips of group `split`; there is no other part. `max_missing`: see `_lists.clip_list`."""
    lists = [name for name in INFO.lists if name.startswith(f"k600_split{split}/")]
    return _kinetics600.load(
        "kinetics600_val", INFO, lists, LINE, root, split=split, part=part, max_missing=max_missing
    )
