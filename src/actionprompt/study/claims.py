"""What the papers claim, stated as comparisons on ActionWorld before they are run, and what the records say of each.

A claim is that one entry is better than another on one list. Both are tested on the same clips, trained ones with the
same three seeds. The claim holds if the 95 % interval of the difference is above zero and every seed agrees in sign, it
is contradicted if both are below zero, and is undecided otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from actionprompt import methods
from actionprompt.study import leaderboard, paired, tables
from actionprompt.world import actions

SEEDS = (0, 1, 2)
ALPHA = 0.05
TEST_CLIPS = 1000
"""In each of `test`, `scene_bias` and `background` of the size `small`."""


@dataclass(frozen=True)
class Claim:
    """`better` is more accurate than `than` under one protocol and on one list."""

    id: str
    paper: str
    text: str
    source: str
    """Where it is claimed."""
    printed: str
    """The difference printed there, in points."""
    better: tuple[str, str]
    than: tuple[str, str]
    """Method and variant."""
    protocol: str = "closed-set"
    shots: int | None = None
    test: str = "test"
    measure: Literal["top-1", "pair", "loss"] = "top-1"
    """`pair`: a clip of a reversible pair scores higher for its own class than for its reversal. `loss`: the better one
    loses less top-1 accuracy from `test` to the list."""

    @property
    def entries(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return self.better, self.than


_DUAL, _MIP, _LEARNER, _FLOWING = "dual_semantic_tpr", "mip_clip", "promptlearner_clip", "seeing_in_flowing"
FROZEN = ("zeroshot", "")
SCENE = "scene and background"
"""In place of a paper: hypotheses of this project."""

CLAIMS = (
    Claim("D1", _DUAL, "Temporal prompts improve frozen CLIP", "Figure 5a", "+5.5 / +8.2",
          (_DUAL, "prompts"), (_DUAL, "baseline")),
    Claim("D2", _DUAL, "Rewriting the prompts by beta improves them", "Figure 5a", "+3.5 / +2.7",
          (_DUAL, "prompts_beta"), (_DUAL, "prompts")),
    Claim("D3", _DUAL, "Chinese names next to English ones improve it", "Figure 5a", "+2.9 / +3.1",
          (_DUAL, ""), (_DUAL, "prompts_beta")),
    Claim("D4", _DUAL, "Beta needs its residual", "Table 4", "+3.2 / +2.8",
          (_DUAL, ""), (_DUAL, "r2plus1d_no_residual")),
    Claim("D5", _DUAL, "It is better than Vita-CLIP", "Table 8", "+6.5 / +5.0", (_DUAL, ""), ("vita_clip", "")),
    Claim("D6", _DUAL, "It is better than X-CLIP", "Table 8", "+3.0 / +2.3", (_DUAL, ""), ("xclip", "")),
    Claim("D7", _DUAL, "With four clips per class it is better than Seeing in Flowing", "Table 7", "+6.1 / +0.2",
          (_DUAL, ""), (_FLOWING, ""), "few-shot", 4),
    Claim("M1", _MIP, "Motion prompts improve it", "abstract", "", (_MIP, ""), (_MIP, "no_vmp")),
    Claim("M2", _MIP, "Motion prompts tell an action from its reversal", "abstract", "", (_MIP, ""), (_MIP, "no_vmp"),
          measure="pair"),
    Claim("M3", _MIP, "Reconstruction of the features of both branches improves it", "abstract", "",
          (_MIP, ""), (_MIP, "no_dfr")),
    Claim("M4", _MIP, "It is better than Vita-CLIP", "abstract", "", (_MIP, ""), ("vita_clip", "")),
    Claim("M5", _MIP, "Its zero-shot form is better than Vita-CLIP on classes not trained on", "abstract", "",
          (_MIP, "zero_shot"), ("vita_clip", ""), "base-to-novel", 16, "novel"),
    Claim("P1", _LEARNER, "It is better than ActionCLIP", "Table 3", "+1.2", (_LEARNER, ""), ("actionclip", "")),
    Claim("P2", _LEARNER, "The loss of each video over the texts is needed", "Table 1", "+18.2",
          (_LEARNER, ""), (_LEARNER, "loss_1_0_1")),
    Claim("P3", _LEARNER, "The interaction module improves it", "Table 3", "+0.5",
          (_LEARNER, ""), (_LEARNER, "without_interaction")),
    Claim("P4", _LEARNER, "Tuning the image tower, too, improves on tuning the text tower alone", "Table 4", "+3.5",
          (_LEARNER, ""), (_LEARNER, "text_only")),
    Claim("S1", _FLOWING, "Motion improves it", "abstract", "", (_FLOWING, ""), (_FLOWING, "no_motion")),
    Claim("S2", _FLOWING, "Motion tells an action from its reversal", "abstract", "",
          (_FLOWING, ""), (_FLOWING, "no_motion"), measure="pair"),
    Claim("S3", _FLOWING, "Long-term motion improves it", "abstract", "", (_FLOWING, ""), (_FLOWING, "no_long")),
    Claim("S4", _FLOWING, "Prompts made from motion are better than static ones", "abstract", "",
          (_FLOWING, ""), (_FLOWING, "no_map")),
    Claim("S5", _FLOWING, "Communication of the two modalities improves it", "abstract", "",
          (_FLOWING, ""), (_FLOWING, "no_mcb")),
    Claim("S6", _FLOWING, "With four clips per class it is better than Vita-CLIP", "Deng et al. 2024, Table 7",
          "+14.2 / +6.5", (_FLOWING, ""), ("vita_clip", ""), "few-shot", 4),
    Claim("B1", SCENE, "Fine-tuned CLIP is worse than frozen CLIP where every scene misleads", "hypothesis", "",
          FROZEN, ("vifi_clip", ""), test="scene_bias"),
    Claim("B2", SCENE, "Fine-tuned CLIP loses more than frozen CLIP when the background is exchanged", "hypothesis", "",
          FROZEN, ("vifi_clip", ""), test="background", measure="loss"),
    Claim("B3", SCENE, "Motion on frozen frames is better than frozen CLIP with the background exchanged", "hypothesis",
          "", (_FLOWING, ""), FROZEN, test="background"),
    Claim("B4", SCENE, "Motion prompts lose less than Vita-CLIP when the background is exchanged", "hypothesis", "",
          (_MIP, ""), ("vita_clip", ""), test="background", measure="loss"),
)  # fmt: skip
"""Printed differences are those of HMDB-51 / UCF-101, of PromptLearner-CLIP Mini-Kinetics-200."""


def needed() -> set[tuple[str, str, str, int | None]]:
    """Method, variant, protocol and shots of the entries that a claim compares, which are run with all `SEEDS`."""
    return {(*entry, claim.protocol, claim.shots) for claim in CLAIMS for entry in claim.entries}


def to_test() -> str:
    """The claims, what is compared, and the smallest difference that the comparison can show."""
    head = ["claim", "", "claimed in", "printed", "better", "than", "protocol", "list", "measure", "clips", "smallest"]
    rows = [head]
    for claim in CLAIMS:
        protocol = claim.protocol + (f" K={claim.shots}" if claim.shots else "")
        names = [leaderboard.row_name(*entry) for entry in claim.entries]
        clips = num_clips(claim)
        smallest = f"{paired.smallest_effect(clips, discordance(claim)):.1f}"
        rows.append([claim.id, claim.text, claim.source, claim.printed, *names, protocol, claim.test, claim.measure,
                     f"{clips:,}", smallest])  # fmt: skip
    return tables.table(rows)


def discordance(claim: Claim) -> float:
    """The share of clips on which the two entries are assumed to differ: 0.2 between a method and its own ablation,
    0.3 between two methods; 0.4 where the differences of two lists are compared."""
    if claim.measure == "loss":
        return 0.4
    return 0.2 if claim.better[0] == claim.than[0] else 0.3


def num_clips(claim: Claim) -> int:
    """Clips of the claim's list."""
    names = leaderboard.class_names(claim.test)
    pairs = [name for pair in actions.pairs(leaderboard.VERSION) for name in pair if name in names]
    each = TEST_CLIPS // len(leaderboard.class_names("test"))
    return each * len(pairs if claim.measure == "pair" else names)


def verdicts(world: Sequence[Mapping[str, Any]]) -> str:
    """What the records say of each claim: a row for each, with the difference in points."""
    found = {claim.id: judge(claim, world) for claim in CLAIMS}
    complete = {name: d for name, d in found.items() if d is not None and len(d.by_seed) == len(SEEDS)}
    adjusted = dict(zip(complete, paired.holm([d.p for d in complete.values()])))
    rows = [["claim", "", "printed", "difference", "95 % interval", "by seed", "differ on", "p", "p (Holm)", "verdict"]]
    for claim in CLAIMS:
        d = found[claim.id]
        if d is None:
            rows.append([claim.id, claim.text, claim.printed, "", "", "", "", "", "", verdict(d)])
            continue
        by_seed = " ".join(f"{x:+.1f}" for x in d.by_seed)
        corrected = f"{adjusted[claim.id]:.2g}" if claim.id in adjusted else ""
        rows.append([claim.id, claim.text, claim.printed, f"{d.points:+.1f}", f"{d.low:+.1f} to {d.high:+.1f}", by_seed,
                     f"{100 * d.discordant:.0f} %", f"{d.p:.2g}", corrected, verdict(d)])  # fmt: skip
    return tables.table(rows)


def of_method(method: str, world: Sequence[Mapping[str, Any]]) -> str:
    """The claims that compare a method or one of its variants, and what the records say of them."""
    rows = [["claim", "", "better", "than", "printed", "difference", "95 % interval", "verdict"]]
    for claim in CLAIMS:
        if method in (claim.better[0], claim.than[0]):
            names = [leaderboard.row_name(*entry) for entry in claim.entries]
            d = judge(claim, world)
            found = (f"{d.points:+.1f}", f"{d.low:+.1f} to {d.high:+.1f}") if d is not None else ("", "")
            rows.append([claim.id, claim.text, *names, claim.printed, *found, verdict(d)])
    return tables.table(rows) if len(rows) > 1 else "No claim compares it."


def reading(world: Sequence[Mapping[str, Any]]) -> str:
    """A row for each paper: which of its claims hold, which are contradicted and which undecided, each with the
    difference in points."""
    columns = ["holds", "contradicted", "undecided"]
    cells: dict[str, dict[str, list[str]]] = {}
    for claim in CLAIMS:
        d = judge(claim, world)
        found = f" {d.points:+.1f}" if d is not None else ""
        columns += [] if verdict(d) in columns else [verdict(d)]
        cells.setdefault(claim.paper, {}).setdefault(verdict(d), []).append(f"{claim.id}{found}")
    rows = [["claims of", *columns]]
    for paper, own in cells.items():
        name = f"`{paper}`" if paper in methods.names() else f"this project, {paper}"
        rows.append([name, *(", ".join(own.get(column, [])) for column in columns)])
    return tables.table(rows)


def verdict(d: paired.Difference | None) -> str:
    if d is None:
        return "not run"
    if len(d.by_seed) < len(SEEDS):
        return f"{len(d.by_seed)} of {len(SEEDS)} seeds"
    if d.low > 0 and min(d.by_seed) > 0:
        return "holds"
    if d.high < 0 and max(d.by_seed) < 0:
        return "contradicted"
    return "undecided"


def judge(claim: Claim, world: Sequence[Mapping[str, Any]]) -> paired.Difference | None:
    """The difference between the two entries over the seeds that both have; an entry that trains nothing has the same
    record for every seed. None where they have no seed in common.

    Raises:
        ValueError: the two were tested on different clips, or with different backbones.
    """
    a, b = (_by_seed(claim, entry, world) for entry in claim.entries)
    seeds = [seed for seed in SEEDS if {seed, None} & a.keys() and {seed, None} & b.keys()]
    if not seeds:
        return None
    rows = [[found[seed if seed in found else None] for seed in seeds] for found in (a, b)]
    lists = {hashes for found in rows for hashes, _ in found}
    if len(lists) > 1:
        raise ValueError(
            f"claim {claim.id}: its two entries were tested on different clips or backbones; run them again"
        )
    left, right = (np.stack([values for _, values in found]) for found in rows)
    blocks = leaderboard.blocks(claim.test, left.shape[1], of_pairs=claim.measure == "pair")
    return paired.compare(left, right, blocks)


def _by_seed(
    claim: Claim, entry: tuple[str, str], world: Sequence[Mapping[str, Any]]
) -> dict[int | None, tuple[tuple[str, ...], Float[np.ndarray, " C"]]]:
    """By seed, None for an entry that trains nothing: the hashes of backbone and lists, and the value of every clip."""
    protocols = (claim.protocol, "zero-shot") if claim.protocol == "closed-set" else (claim.protocol,)
    found: dict[int | None, tuple[tuple[str, ...], Any]] = {}
    for record in leaderboard.select(world, *entry, protocols, claim.shots):
        tests = ("test", claim.test) if claim.measure == "loss" else (claim.test,)
        read = [paired.read(record, test, "right_pair" if claim.measure == "pair" else "right") for test in tests]
        if any(bits is None for bits in read):
            continue
        values = [bits.astype(float) for bits in read if bits is not None]
        hashes = (record["backbone"]["sha256"], *(paired.list_hash(record, test) for test in tests))
        seed = record["seed"] if record["trained_parameters"] else None
        found[seed] = hashes, values[0] if len(values) == 1 else values[1] - values[0]
    return found
