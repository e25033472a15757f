"""Protocols: which clips to train on, which to test on, and with which class names. Pure data: nothing runs here.

A protocol is a `Plan` of `Part`s; each part is one model (trained on `train`, or not trained at all) and the lists it
is tested on. `summarise` turns the parts' accuracies into the figures that papers report. Combinations that leak test
clips or test classes into training are refused with the reason.

`load` is always a data set's `load` with its root bound, such as `functools.partial(hmdb51.load, root)`.
"""

import hashlib
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from actionprompt.clips import Clip, ClipList, read_lines, some
from actionprompt.clips import hold_out as divide

Load = Callable[..., ClipList]
Protocol = Literal["closed-set", "few-shot", "zero-shot", "base-to-novel"]


HELD_OUT = "held-out"
"""The name of the test on the clips of the train list that `TrainConfig.hold_out` leaves out."""


@dataclass(frozen=True)
class Part:
    """One model: what it is trained on and what it is tested on."""

    name: str
    """`split1`, `seed2`."""
    train: ClipList | None
    """None: not trained here."""
    tests: Mapping[str, ClipList]
    """By name; each list has its own class names, which can differ from those of `train`."""

    def __post_init__(self) -> None:
        for name, test in self.tests.items():
            if name == HELD_OUT:  # training leaves these clips of the train list out
                continue
            trained = {clip.path for clip in self.train.clips} if self.train is not None else set()
            shared = [clip.key for clip in test.clips if clip.path in trained]
            if shared:
                raise ValueError(
                    f"part {self.name}: {len(shared)} clips are in both train and test: {some(shared)}; "
                    "test clips must not be used for training"
                )


@dataclass(frozen=True)
class Plan:
    """A protocol with its clips; `record` is its entry in the results."""

    protocol: str
    """`closed-set`, `few-shot`, `zero-shot`, `zero-shot-disjoint`, `base-to-novel`."""
    parts: tuple[Part, ...]
    views: tuple[int, int] = (1, 1)
    """Temporal clips x spatial crops per test video."""
    shots: int | None = None
    """Training clips per class; None uses all."""
    drawn: str = ""
    """The source of few-shot training clips: `seed 0`, or the file name of a published list."""
    seen_names: tuple[str, ...] = ()
    """Zero-shot only: candidate classes that were also training classes."""

    def record(self) -> dict[str, Any]:
        """What identifies this plan: its options, and every list's name, size, clip hash and class-text hash."""

        def describe(clips: ClipList | None) -> dict[str, Any] | None:
            if clips is None:
                return None
            return {
                "list": clips.name,
                "clips": len(clips.clips),
                "sha256": clips.sha256,
                "classes": len(clips.class_names),
                "classes_sha256": clips.classes_sha256,
                "missing": list(clips.missing),
            }

        return {
            "protocol": self.protocol,
            "views": f"{self.views[0]}x{self.views[1]}",
            "shots": self.shots,
            "drawn": self.drawn,
            "seen_names": list(self.seen_names),
            "parts": {
                part.name: {
                    "train": describe(part.train),
                    "tests": {name: describe(test) for name, test in part.tests.items()},
                }
                for part in self.parts
            },
        }


# ---------------------------------------------------------------------------------------------------------- protocols


def plan(
    protocol: Protocol,
    load: Load,
    *,
    splits: Sequence[int] = (1,),
    shots: int = 16,
    seed: int = 0,
    published: Sequence[str | Path] = (),
    also: Sequence[str] = (),
    views: tuple[int, int] = (1, 1),
    trained_on: Sequence[str] = (),
    hold_out: float = 0.0,
    test_part: str = "test",
) -> Plan:
    """The plan of a protocol by name, from the options of a run, with one draw in few-shot and base-to-novel.

    `test_part` is tested on in place of `test`: a part such as ActionWorld's `val`, on which settings are chosen.

    With `hold_out` (`TrainConfig.hold_out`), closed-set and few-shot also test on the clips that training leaves out.

    Raises:
        ValueError: a combination of options that leaks or has no meaning.
    """
    if published and protocol not in ("few-shot", "base-to-novel"):
        raise ValueError(f"published lists are for few-shot and base-to-novel, got them for {protocol}")
    if hold_out and protocol not in ("closed-set", "few-shot"):
        raise ValueError(f"hold_out divides the train list of closed-set and few-shot, got it for {protocol}")
    if test_part != "test" and protocol not in ("closed-set", "few-shot"):
        raise ValueError(f"test_part belongs to closed-set and few-shot, got {test_part!r} for {protocol}")
    if protocol == "closed-set":
        made = closed_set(load, splits=splits, also=also, views=views, test_part=test_part)
    elif protocol == "few-shot":
        if len(published) > 1:
            raise ValueError(f"few-shot trains once per run: expected one published list, got {len(published)}")
        file = published[0] if published else None
        made = few_shot(
            load, shots=shots, seed=seed, published=file, splits=splits, also=also, views=views, test_part=test_part
        )
    elif protocol == "zero-shot":
        return zero_shot(load, splits=splits, also=also, views=views, trained_on=trained_on)
    else:
        if also:
            raise ValueError("base-to-novel tests on the two halves of `test` only: leave out --also")
        return base_to_novel(load, shots=shots, views=views, seeds=(seed,), published=published or None)
    if not hold_out:
        return made

    def with_held_out(part: Part) -> Part:
        assert part.train is not None
        return replace(part, tests={**part.tests, HELD_OUT: divide(part.train, hold_out, seed)[1]})

    return replace(made, parts=tuple(map(with_held_out, made.parts)))


def closed_set(
    load: Load,
    *,
    splits: Sequence[int] = (1,),
    also: Sequence[str] = (),
    views: tuple[int, int] = (1, 1),
    test_part: str = "test",
) -> Plan:
    """Train on the official train list, test on the official test list, of one split or of several (reported as mean).

    `also` names further parts of the data set to test the same model on, such as ActionWorld's `scene_bias`;
    `test_part` replaces `test`.

    Raises:
        ValueError: no split or a repeated one, or a clip that is in both train and test.
    """
    return Plan(
        "closed-set",
        tuple(
            Part(
                f"split{split}",
                load(split=split, part="train"),
                {part: load(split=split, part=part) for part in (test_part, *also)},
            )
            for split in _distinct(splits)
        ),
        views,
    )


def few_shot(
    load: Load,
    *,
    shots: int,
    seed: int = 0,
    published: str | Path | None = None,
    splits: Sequence[int] = (1,),
    also: Sequence[str] = (),
    views: tuple[int, int] = (1, 1),
    test_part: str = "test",
) -> Plan:
    """Train on K clips per class of the train list, test on the whole test list of the same split.

    `also` and `test_part` as in `closed_set`. `published` is a list file of `<clip> <id>` lines whose clips and order
    are used as they are (`read_published`); without it K clips per class are drawn (`draw`).

    Raises:
        ValueError: more than one split. Clips drawn from split 1 are partly in the test lists of the other splits (28
            to 45 % of ViFi-CLIP's lists in each of the two others), so a mean over splits would leak. Also where `draw`
            or `read_published` raise.
    """
    if len(_distinct(splits)) != 1:
        raise ValueError(
            f"few-shot over the test lists of splits {some(splits, 10)} is refused: clips drawn from one split's "
            "train list are in the test lists of the others, so the mean would leak; use one split"
        )
    train = load(split=splits[0], part="train")
    tests = {part: load(split=splits[0], part=part) for part in (test_part, *also)}
    chosen = draw(train, shots=shots, seed=seed) if published is None else read_published(published, train, shots=shots)
    part = Part(f"split{splits[0]}", chosen, tests)
    return Plan(
        "few-shot", (part,), views, shots=shots, drawn=f"seed {seed}" if published is None else Path(published).name
    )


def zero_shot(
    load: Load,
    *,
    splits: Sequence[int] = (1, 2, 3),
    trained_on: Sequence[str] = (),
    disjoint: bool = False,
    also: Sequence[str] = (),
    views: tuple[int, int] = (1, 1),
) -> Plan:
    """Test on the test lists of the splits without training on the data set, with all its class names as candidates.

    `also` as in `closed_set`; these tests are named `<part> split<n>`.

    `trained_on` are the class names of the training data (empty: nothing was trained). Candidates that are among them,
    compared by `normalised` name, are recorded as `seen_names`. `disjoint` removes these classes, both as candidates
    and as clips. Names that are spelled differently ("push up", "PushUps") are not recognised as equal, so the test
    classes are disjoint by name only.

    Raises:
        ValueError: every candidate was trained on, or `disjoint` without `trained_on`.
    """
    if disjoint and not trained_on:
        raise ValueError("disjoint needs the names of the training classes: give trained_on")
    tests = {
        f"split{split}" if part == "test" else f"{part} split{split}": load(split=split, part=part)
        for part in ("test", *also)
        for split in _distinct(splits)
    }
    known = {normalised(name) for name in trained_on}
    candidates = dict.fromkeys(name for test in tests.values() for name in test.class_names)  # may differ by split
    seen = tuple(name for name in candidates if normalised(name) in known)
    for test in tests.values():
        if set(test.class_names) <= set(seen):
            raise ValueError(
                f"{test.name}: all {len(test.class_names)} candidate classes are training classes ({some(seen)}); "
                "this is not a zero-shot test"
            )
    if disjoint:
        tests = {
            name: select(test, [c for c in test.class_names if c not in seen], suffix="disjoint")
            for name, test in tests.items()
        }
        seen = ()
    protocol = "zero-shot-disjoint" if disjoint else "zero-shot"
    return Plan(protocol, (Part("zero-shot", None, tests),), views, seen_names=seen)


def base_to_novel(
    load: Load,
    *,
    shots: int = 16,
    seeds: Sequence[int] = (0, 1, 2),
    published: Sequence[str | Path] | None = None,
    views: tuple[int, int] = (1, 1),
) -> Plan:
    """Train on K shots of the more frequent half of the classes (base), test on base and novel classes separately, each
    with only its own half's names as candidates.

    Uses split 1. The base classes are the `ceil(classes / 2)` classes with the most training clips; in a tie the later
    ones in the official order are base. This reproduces the published halves of HMDB-51 (26/25) and UCF-101 (51/50).
    One draw per seed, or one per `published` list file.

    Raises:
        ValueError: a base and a novel class have the same `normalised` name, or a published list has other classes.
    """
    train, test = load(split=1, part="train"), load(split=1, part="test")
    counts = [0] * len(train.class_names)
    for clip in train.clips:
        counts[clip.label] += 1
    by_frequency = sorted(range(len(counts)), key=lambda label: counts[label])  # stable: ties in official order
    novel = sorted(by_frequency[: len(counts) // 2])
    base = sorted(by_frequency[len(counts) // 2 :])
    base_names, novel_names = ([train.class_names[label] for label in half] for half in (base, novel))
    both = {normalised(name) for name in base_names} & {normalised(name) for name in novel_names}
    if both:
        raise ValueError(f"{train.name}: base and novel classes overlap in {some(sorted(both))}; novel must be unseen")
    pool = select(train, base_names, suffix="base")
    tests = {"base": select(test, base_names, suffix="base"), "novel": select(test, novel_names, suffix="novel")}
    if published is None:
        drawn = {f"seed{seed}": draw(pool, shots=shots, seed=seed) for seed in _distinct(seeds)}
        source = f"seeds {', '.join(map(str, seeds))}"
    else:
        drawn = {Path(file).stem: read_published(file, pool, shots=shots) for file in published}
        source = ", ".join(Path(file).name for file in published)
    parts = tuple(Part(name, chosen, tests) for name, chosen in drawn.items())
    return Plan("base-to-novel", parts, views, shots=shots, drawn=source)


def summarise(plan: Plan, accuracies: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The protocol's figures from `accuracies[part][test]`, in the unit of the accuracies.

    Closed-set, few-shot, zero-shot: `accuracy`, the mean over splits and, with more than one split, `std`, the
    population standard deviation; each part of `also` has its own mean, under its name, and so has a part tested in
    place of `test`, whose figure is no `accuracy`. Base-to-novel: `base` and
    `novel`, the means over draws, and `harmonic_mean` of these two means.

    Raises:
        ValueError: a missing, additional, negative or NaN accuracy.
    """
    expected = {part.name: sorted(part.tests) for part in plan.parts}
    given = {name: sorted(tests) for name, tests in accuracies.items()}
    if given != expected:
        raise ValueError(f"{plan.protocol}: expected an accuracy for each of {expected}, got {given}")
    values = [value for tests in accuracies.values() for value in tests.values()]
    if not all(value >= 0 for value in values):  # also refuses NaN
        raise ValueError(f"{plan.protocol}: expected accuracies >= 0, got {accuracies}")
    if plan.protocol == "base-to-novel":
        base, novel = (statistics.fmean(tests[half] for tests in accuracies.values()) for half in ("base", "novel"))
        return {"base": base, "novel": novel, "harmonic_mean": harmonic_mean(base, novel)}
    by_part: dict[str, list[float]] = {}
    for tests in accuracies.values():
        for name, value in tests.items():
            part = own_part(name)
            by_part.setdefault("accuracy" if part == "test" else part, []).append(value)
    figures = {name: statistics.fmean(same) for name, same in by_part.items()}
    same = by_part.get("accuracy", [])
    return figures | ({"std": statistics.pstdev(same)} if len(same) > 1 else {})


def own_part(name: str) -> str:
    """The part of the data set that a test is of: zero-shot names its tests `split1` and `scene_bias split1`."""
    return "test" if re.fullmatch(r"split\d+", name) else name.split(" ")[0]


def harmonic_mean(base: float, novel: float) -> float:
    """2ab / (a + b), or 0 if both are 0."""
    return 2 * base * novel / (base + novel) if base + novel else 0.0


# ------------------------------------------------------------------------------------------------------ lists of clips


def normalised(name: str) -> str:
    """A class name without case, whitespace and punctuation: "PlayingGuitar" and "playing guitar" become equal."""
    return re.sub(r"[\W_]", "", name.lower())


def draw(clips: ClipList, *, shots: int, seed: int) -> ClipList:
    """`shots` clips of every class, the same on every machine and with every version of every library.

    The clips of a class are sorted by the SHA-256 of `<seed>:<key>`, and the first `shots` are taken: the draw depends
    only on the seed and the clips of that class, not on the order of the list, and K shots contain the smaller draws of
    the same seed.

    Raises:
        ValueError: `shots` below 1, or a class with fewer clips.
    """
    if shots < 1:
        raise ValueError(f"expected shots >= 1, got {shots}")
    classes: list[list[Clip]] = [[] for _ in clips.class_names]
    for clip in clips.clips:
        classes[clip.label].append(clip)
    for name, members in zip(clips.class_names, classes):
        if len(members) < shots:
            raise ValueError(f"{clips.name}: class {name} has {len(members)} clips, fewer than {shots} shots")
        members.sort(key=lambda clip: hashlib.sha256(f"{seed}:{clip.key}".encode()).digest())
    chosen = tuple(clip for members in classes for clip in members[:shots])
    return replace(clips, name=f"{clips.name}/{shots}shots/seed{seed}", clips=chosen)


def read_published(file: str | Path, clips: ClipList, *, shots: int | None = None) -> ClipList:
    """The clips named in a published list, in its order: `<clip> <id>` per line, looked up in `clips` by file name.

    Folders and suffixes are ignored, since copies differ in them. Published ids may differ from ours (they may count
    only the base classes, or order the names differently), but each id must always refer to the same one of our
    classes.

    Raises:
        ValueError: with the line number, a malformed line, a clip that is not in `clips` or listed twice, or an id that
            refers to two classes; also a class without exactly `shots` clips.
    """
    file = Path(file)
    by_stem: dict[str, list[Clip]] = {}
    for clip in clips.clips:
        by_stem.setdefault(PurePosixPath(clip.key).stem, []).append(clip)
    chosen: dict[str, Clip] = {}
    labels: dict[str, int] = {}
    for number, line in enumerate(read_lines(file), 1):
        name, _, official = line.rpartition(" ")
        if not name or not official.isdigit():
            raise ValueError(f"{file}:{number}: expected <clip> <id>, got {line!r}")
        found = by_stem.get(PurePosixPath(name.strip()).stem, [])
        if len(found) != 1:
            raise ValueError(f"{file}:{number}: expected one clip of {clips.name} named {name}, got {len(found)}")
        (clip,) = found
        if clip.key in chosen:
            raise ValueError(f"{file}:{number}: {name} is listed twice")
        if labels.setdefault(official, clip.label) != clip.label:
            ours = [clips.class_names[label] for label in (labels[official], clip.label)]
            raise ValueError(f"{file}:{number}: id {official} stands for both {ours[0]} and {ours[1]}")
        chosen[clip.key] = clip
    for label, name in enumerate(clips.class_names):
        count = sum(clip.label == label for clip in chosen.values())
        if shots is not None and count != shots:
            raise ValueError(f"{file}: expected {shots} clips of every class, got {count} of {name}")
    return replace(clips, name=f"{clips.name}/{file.name}", clips=tuple(chosen.values()))


def select(clips: ClipList, class_names: Sequence[str], *, suffix: str) -> ClipList:
    """Only the clips of `class_names`, relabelled in that order; `suffix` is appended to the list's name."""
    old = [clips.class_names.index(name) for name in class_names]
    new = {label: index for index, label in enumerate(old)}

    def pick(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return tuple(names[label] for label in old) if names is not None else None

    return replace(
        clips,
        name=f"{clips.name}/{suffix}",
        clips=tuple(replace(clip, label=new[clip.label]) for clip in clips.clips if clip.label in new),
        class_names=tuple(class_names),
        class_names_zh=pick(clips.class_names_zh),
        source_names=pick(clips.source_names),
    )


def _distinct(numbers: Sequence[int]) -> Sequence[int]:
    if not numbers or len(set(numbers)) != len(numbers):
        raise ValueError(f"expected at least one number, without repeats, got {tuple(numbers)}")
    return numbers
