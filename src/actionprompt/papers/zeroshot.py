"""Frozen CLIP: the sanity rows that everybody checks first.

Published by others: Kim et al., TC-CLIP, ECCV 2024, as `frozen CLIP`: mean and standard deviation over three splits,
HMDB-51 47.9 +- 0.5, UCF-101 73.8 +- 0.6, Kinetics-600 68.1 +- 1.1.
"""

from actionprompt.paper import Row

CHOICES = (
    "Templates: the seven for videos that OpenAI published; TC-CLIP does not say which it used.",
    "Kinetics-600: two families of lists are public (`kinetics600_er`, `kinetics600_val`), and TC-CLIP does not say "
    "which it used. Taken: `kinetics600_er`, the family of the methods it is compared with.",
)

ROWS = [
    Row(f"A.zero-shot.{dataset}", "frozen CLIP, mean over three splits", dataset, top1,
        source="TC-CLIP (Kim et al., ECCV 2024), as `frozen CLIP`", method="zeroshot", protocol="zero-shot",
        splits=(1, 2, 3))
    for dataset, top1 in (("hmdb51", 47.9), ("ucf101", 73.8), ("kinetics600_er", 68.1))
]  # fmt: skip
