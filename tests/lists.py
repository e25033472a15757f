"""Data sets with their lists in the published formats, made of one short clip."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actionprompt import datasets
from actionprompt.datasets import read_labels
from videos import write_numbered


@contextmanager
def written(home: Path) -> Iterator[dict[str, str]]:
    """The roots by data set. HMDB-51 and UCF-101 have lists of the published length and all their clips; the others two
    training clips and one test clip per class, and so many clips are expected. Every list is read once."""
    video = write_numbered(home / "clip.mp4", 24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIONPROMPT_CACHE", str(home / "cache"))
        for name, write in WRITERS.items():
            (home / name).mkdir()
            write(home / name, video)
        roots = {name: str(home / name) for name in WRITERS}
        roots["mini_kinetics200"] = roots["kinetics400"]
        for name in ("mini_kinetics200", "something_v1", "jester"):
            info = datasets.get(name).INFO
            for part, number in (("train", 2), ("test", 1)):
                patch.setitem(info.counts, (1, part), number * info.num_classes)
        for name in roots:
            patch.setattr(datasets.get(name), "load", cache(datasets.get(name).load))
        yield roots


def write_hmdb51(root: Path, video: Path) -> None:
    names = [f"clip #{number}_u_nm_np1.avi" for number in range(100)]
    link(root / "rest", names, video)
    for source in read_labels("hmdb51").source:
        (root / source).symlink_to(root / "rest", target_is_directory=True)
        for split in (1, 2, 3):
            use = np.roll(["1"] * 70 + ["2"] * 30, 30 * split)
            lines = "".join(f"{name} {number} \n" for name, number in zip(names, use))
            (root / f"{source}_test_split{split}.txt").write_text(lines)


def write_ucf101(root: Path, video: Path) -> None:
    names = [f"v_x_g{number:03}_c01.avi" for number in range(133)]
    link(root / "rest", names, video)
    sources, counts = read_labels("ucf101").source, datasets.get("ucf101").INFO.counts
    for source in sources:
        (root / source).symlink_to(root / "rest", target_is_directory=True)
    for split in (1, 2, 3):
        for part in ("train", "test"):
            share, more = divmod(counts[split, part], len(sources))
            lines = []
            for label, source in enumerate(sources):
                own = (names if part == "train" else names[::-1])[: share + (label < more)]
                lines += [f"{source}/{name}" + (f" {label + 1}" if part == "train" else "") for name in own]
            (root / f"{part}list{split:02}.txt").write_bytes("\r\n".join(lines).encode() + b"\r\n")


def write_kinetics400(root: Path, video: Path) -> None:
    """With the lists of Mini-Kinetics-200, which is a part of it."""
    mini = set(read_labels("mini_kinetics200").source)
    for part, own in few("kinetics400").items():
        folder = {"train": "train", "test": "val"}[part]
        table = [f"{source},{number},0,10,{folder}" for number, source in own]
        (root / f"{folder}.csv").write_text("\n".join(["label,youtube_id,time_start,time_end,split", *table]))
        ids = [number for number, source in own if source.replace(" ", "_") in mini]
        (root / f"{folder}_ytid_list.txt").write_text("\n".join(ids) + "\n")
        link(root / folder, [f"{number}_000000_000010.mp4" for number, _ in own], video)


def write_kinetics600_er(root: Path, video: Path) -> None:
    """The three groups of classes for zero-shot tests."""
    for group in (1, 2, 3):
        names = [f"{group}{label:010}_000000_000010.mp4" for label in range(160)]
        (root / f"ZS_split{group}_K600_eval.txt").write_text(
            "".join(f"test/{name} {label}\n" for label, name in enumerate(names))
        )
        link(root / "test", names, video)


def write_frames(root: Path, video: Path, *, name: str, lists: str, folder: str) -> None:
    """Something-Something V1 and Jester: a folder of frames per clip."""
    (root / "rest").mkdir()
    for number in range(1, 13):
        pixels = np.full((48, 64, 3), 16 * number, np.uint8)
        Image.fromarray(pixels).save(root / "rest" / f"{number:05}.jpg")
    (root / folder).mkdir()
    for part, own in few(name).items():
        which = {"train": "train", "test": "validation"}[part]
        (root / f"{lists}-{which}.csv").write_text("".join(f"{number};{source}\n" for number, source in own))
        for number, _ in own:
            (root / folder / number).symlink_to(root / "rest", target_is_directory=True)


WRITERS = {
    "hmdb51": write_hmdb51,
    "ucf101": write_ucf101,
    "kinetics400": write_kinetics400,
    "kinetics600_er": write_kinetics600_er,
    "something_v1": partial(
        write_frames, name="something_v1", lists="something-something-v1", folder="20bn-something-something-v1"
    ),
    "jester": partial(write_frames, name="jester", lists="jester-v1", folder="20bn-jester-v1"),
}


def few(name: str) -> dict[str, list[tuple[str, str]]]:
    """By part: number, of eleven digits like an id of YouTube, and class of two training clips and a test clip each."""
    sources = read_labels(name).source
    numbered = [(f"{3 * label + n:011}", source) for label, source in enumerate(sources) for n in range(3)]
    return {"train": [pair for i, pair in enumerate(numbered) if i % 3], "test": numbered[::3]}


def link(folder: Path, names: Sequence[str], video: Path) -> None:
    """The same video under many names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).hardlink_to(video)
