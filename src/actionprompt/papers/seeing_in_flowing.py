"""Wang, Du, Yan, Ding, ACM MM 2023: Seeing in Flowing.

No table is public: the rows are the matrix of the abstract, with recipes of ours. The numbers are printed by others:
Kinetics-400 in MoTE (Table 4) and SFAR (Table 1), HMDB-51 and UCF-101 in Deng et al. 2024 (Tables 7 and 8).
"""

from typing import Any

from actionprompt.paper import First, Row

CHOICES = (
    "Recipe ours, after X-CLIP, Efficient-Prompt and ViFi-CLIP: the paper's settings are not public.",
    "Few-shot: the mean of three draws of K clips per class (seeds 0, 1, 2), on split 1.",
    "Splits: closed-set HMDB-51 and UCF-101 as the mean of three splits.",
)

_OURS: dict[str, Any] = {"method": "seeing_in_flowing", "note": "recipe ours"}
_FEW_SHOT = {"hmdb51": (55.3, 58.7, 64.0, 64.6), "ucf101": (82.4, 85.8, 89.1, 91.6)}

ROWS = [
    Row("A.closed-set.kinetics400", "closed-set", "kinetics400", 77.4, 93.6, source="MoTE, Table 4; SFAR, Table 1",
        recipe="closed-set-kinetics400", views="4x3", **_OURS),
    *(
        Row(f"A.closed-set.{dataset}", "closed-set", dataset, top1, source="Deng et al. 2024, Table 8",
            recipe="closed-set", splits=(1, 2, 3), **_OURS)
        for dataset, top1 in (("hmdb51", 72.9), ("ucf101", 96.3))
    ),
    *(
        Row(f"A.few-shot.K{k}.{dataset}", "few-shot", dataset, top1, source="Deng et al. 2024, Table 7",
            recipe="few-shot", protocol="few-shot", shots=k, seeds=(0, 1, 2), **_OURS)
        for dataset, numbers in _FEW_SHOT.items()
        for k, top1 in zip((2, 4, 8, 16), numbers)
    ),
    *(
        Row(f"A.zero-shot.{dataset}", "zero-shot from Kinetics-400", dataset, protocol="zero-shot", splits=(1, 2, 3),
            first=First("kinetics400", "model", "zero-shot"), **_OURS)
        for dataset in ("hmdb51", "ucf101")
    ),
    *(
        Row(f"A.{protocol}.kinetics400", f"{protocol} on Kinetics-400", "kinetics400", num_frames=None,
            note=f"cannot be run: {reason}")
        for protocol, reason in (
            ("few-shot", "no few-shot protocol of Kinetics-400 is named"),
            ("zero-shot", "Kinetics-400 is what zero-shot models are trained on, and no other training set is named"),
        )
    ),
]  # fmt: skip
