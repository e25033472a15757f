"""Something-Something V2: 220,847 clips (WebM) of 174 hand-and-object actions.

R. Goyal et al., ICCV 2017 (as V1); V2: F. Mahdisoltani et al.: On the effectiveness of task granularity for transfer
learning, arXiv:1804.09235, 2018. Licence: research only, under the licence on Qualcomm's AI datasets page.

Lists as published: `something-something-v2-{train,validation}.json` (also distributed as `train.json` and
`validation.json`), a list of objects whose `template` is the class with brackets around its placeholders: "Holding
[something] next to [something]". Ids follow the official `something-something-v2-labels.json`. The part `test` is the
official validation list. Left and right are separate classes: never flip.
"""

import json
from pathlib import Path

from actionprompt.clips import ClipList, read_lines
from actionprompt.datasets._base import Info, read_labels, require_folder
from actionprompt.datasets._lists import Row, check_count, check_split_and_part, clip_list, find_list

INFO = Info(
    title="Something-Something V2",
    licence="research only (Qualcomm AI datasets)",
    citation='Goyal et al., The "something something" video database for learning and evaluating visual common sense, '
    "ICCV 2017; Mahdisoltani et al., arXiv:1804.09235, 2018",
    get="register at developer.qualcomm.com/software/ai-datasets/something-something for V2, extract all parts "
    "together so that the videos are ROOT/20bn-something-something-v2/<id>.webm, and put the JSON lists into "
    "ROOT/labels/",
    layouts=("20bn-something-something-v2/{name}", "videos/{name}", "rawframes/{name}", "frames/{name}", "{name}"),
    lists=(
        "something-something-v2-labels.json",
        "something-something-v2-train.json",
        "something-something-v2-validation.json",
        "train.json",
        "validation.json",
    ),
    num_classes=174,
    counts={(1, "train"): 168_913, (1, "test"): 24_777},
    sha256={"something-something-v2-labels.json": "a750169aab819035cf312774b5a01fc10fac62649a4054e04ae5eb8ca2a062b0"},
    templates=("a video of {}.", "a video of a person {}."),
    flip=False,
)
LIST = {
    "train": ("something-something-v2-train.json", "train.json"),
    "test": ("something-something-v2-validation.json", "validation.json"),
}


def rows(root: Path, split: int, part: str) -> list[Row]:
    """The clips of one part, in the order of the list; `key` is the clip's number."""
    check_split_and_part(INFO, split, part)
    file = find_list(root, LIST[part], INFO)
    ids = {name: index for index, name in enumerate(read_labels("something_v2").source)}
    try:
        entries = json.loads("\n".join(read_lines(file)))
        named = [(str(entry["id"]), entry["template"].replace("[", "").replace("]", "")) for entry in entries]
    except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file}: expected a JSON list of objects with id and template, got {error!r}") from None
    for key, source in named:
        if source not in ids:
            raise ValueError(
                f"{file}: clip {key} has the template {source!r}, which is not a Something-Something class"
            )
    check_count(INFO, split, part, len(named), file)
    return [Row(key, ids[source], {"name": key}) for key, source in named]


def load(root: str | Path, *, split: int = 1, part: str = "train", max_missing: int | None = 0) -> ClipList:
    """There is one split; part `test` is the official validation list. `max_missing`: see `_lists.clip_list`."""
    root = require_folder(Path(root), INFO.title)
    found = rows(root, split, part)
    return clip_list(f"something_v2/{part}", INFO, read_labels("something_v2"), root, found, max_missing)
