"""The benchmark on real video: folds that share no place, trivial baselines that see what they should and no more."""

import json
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from actionprompt import video
from actionprompt.clips import Clip, ClipList
from actionprompt.config import DataConfig, Pixels, TrainConfig
from actionprompt.study import pages, protocols
from scripts import benchmark
from videos import write_numbered


@pytest.fixture(scope="module")
def bench():
    return benchmark("real_data")


def listed(labels: list[int], folder: Path = Path("none"), names: tuple[str, ...] = ("a", "b")) -> ClipList:
    return ClipList("t", tuple(Clip(f"{i}.mp4", folder / f"{i}.mp4", label) for i, label in enumerate(labels)), names)


def all_tested_once(plan: protocols.Plan, num_clips: int) -> None:
    tested = Counter(clip.key for part in plan.parts for clip in part.tests["test"].clips)
    assert len(tested) == num_clips
    assert set(tested.values()) == {1}
    for part in plan.parts:
        assert len(part.train.clips) + len(part.tests["test"].clips) == num_clips


def test_places_stay_whole_and_every_fold_has_its_share(bench):
    rng = np.random.default_rng(0)
    clips = listed(rng.integers(2, size=60).tolist())
    place = {clip.key: int(rng.integers(30)) for clip in clips.clips}
    fold = bench.folds(clips, place, 4)
    assert len({(place[key], number) for key, number in fold.items()}) == len(set(place.values()))
    for label in (0, 1):
        share = Counter(fold[clip.key] for clip in clips.clips if clip.label == label)
        assert set(share) == {1, 2, 3, 4}
        assert max(share.values()) - min(share.values()) <= 2
    all_tested_once(protocols.closed_set(partial(bench.leave_fold_out, clips, fold), splits=(1, 2, 3, 4)), 60)


def test_scenes_of_one_place_are_one_and_a_clip_without_a_scene_is_refused(bench, tmp_path):
    folder = tmp_path / "videos" / "surveillance_fight"
    manifest = tmp_path / "MANIFEST.csv"
    rows = ["file,note", "videos/other.mp4,web", *(f"videos/surveillance_fight/{n}.mp4,scene {n}" for n in (6, 9, 11))]
    manifest.write_text("\n".join(rows))
    assert bench.places(tmp_path, folder) == {"6.mp4": 6, "9.mp4": 6, "11.mp4": 11}
    manifest.write_text("\n".join([*rows, "videos/surveillance_fight/12.mp4,seen by nobody"]))
    with pytest.raises(ValueError, match=r"expected a note such as `scene 43` for 12\.mp4, got 'seen by nobody'"):
        bench.places(tmp_path, folder)


def test_real_folds(bench, real_data):
    all_tested_once(bench.ut_interaction(real_data), 60)
    plan = bench.surveillance_fight(real_data)
    all_tested_once(plan, 87)
    place = bench.places(real_data, real_data / "videos" / "surveillance_fight")
    assert len(set(place.values())) == 42
    for part in plan.parts:
        trained, tested = ({place[clip.key] for clip in c.clips} for c in (part.train, part.tests["test"]))
        assert not trained & tested
        labels = Counter(clip.label for clip in part.tests["test"].clips)
        assert min(labels.values()) >= 8
    assert plan.parts[0].train.class_names == ("fight", "no fight")
    moving = next(clip for clip in plan.parts[0].train.clips if clip.label == 0)
    assert moving.path.parent.name == "fight"


def test_the_classifier_separates_what_is_separable_and_nothing_else(bench):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    noise = torch.randn(90, 2, generator=generator, dtype=torch.float64)
    shifted = noise + 1000 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)[labels]
    answers = bench.classify(shifted[:60], labels[:60], shifted[60:], num_classes=3)
    assert answers.tolist() == labels[60:].tolist()
    blind = bench.classify(noise[:60], labels[:60], noise[60:], num_classes=3)
    assert (blind == labels[60:]).float().mean() < 0.6
    constant = torch.zeros(60, 1, dtype=torch.float64)  # a constant column: no division by its spread
    assert bench.classify(constant, labels[:60].clamp(max=1), constant[:5], num_classes=2).tolist() == [1] * 5


def test_no_numbers_give_the_majority(bench):
    nothing = torch.empty(5, 0, dtype=torch.float64)
    assert bench.classify(nothing, torch.tensor([2, 0, 1, 2, 1]), nothing[:3], num_classes=3).tolist() == [1, 1, 1]


def test_numbers_of_a_clip(bench, tmp_path):
    still = np.full((64, 96, 3), 120, np.uint8)
    clip = lambda name, frames: Clip(name, write_numbered(tmp_path / name, 0, frames=frames), 0)  # noqa: E731
    at_rest = clip("rest.mp4", [still] * 6)
    blinking = clip("blink.mp4", [still + 40 * (i % 2) for i in range(6)])
    corner = [still.copy() for _ in range(6)]
    for i, frame in enumerate(corner):
        frame[:32, :32] += 40 * (i % 2)
    corner = clip("corner.mp4", corner)
    assert bench.crop_shape(at_rest) == [np.log(96), np.log(64)]
    assert bench.shape_and_length(at_rest) == [np.log(96), np.log(64), np.log(6)]
    assert bench.aspect(at_rest) == [pytest.approx(np.log(1.5))]
    assert bench.majority_class(at_rest) == []
    rest, blink, part = (bench.frame_difference(c) for c in (at_rest, blinking, corner))
    assert np.exp(blink[0]) == pytest.approx(40, rel=0.05)
    assert np.exp(part[0]) == pytest.approx(40 / 6, rel=0.2)  # a sixth of the image
    assert np.exp(part[1]) == pytest.approx(np.sqrt(5), rel=0.2)
    assert blink[1] < part[1]
    assert np.exp(rest[0]) < 0.5
    assert np.isfinite(rest).all()
    single = clip("single.mp4", [still])
    assert np.isfinite(bench.frame_difference(single)).all()


def test_baselines_share_a_table_with_the_methods(bench, tmp_path):
    """A class of wide clips and one of tall ones: the shape separates them, the majority class does not."""
    labels = [0, 1] * 6
    for i, label in enumerate(labels):
        size = {"height_px": 96, "width_px": 48} if label else {"height_px": 48, "width_px": 96 + 2 * i}
        write_numbered(tmp_path / f"{i}.mp4", 3, **size)
    clips = listed(labels, tmp_path)
    fold = {clip.key: i // 4 + 1 for i, clip in enumerate(clips.clips)}
    plan = protocols.closed_set(partial(bench.leave_fold_out, clips, fold), splits=(1, 2, 3))
    out = tmp_path / "results"
    for baseline, expected in ((bench.crop_shape, 100), (bench.aspect, 100), (bench.majority_class, 50)):
        record = bench.run_baseline(plan, "two_shapes", baseline)
        assert record["figures"] == {"accuracy": expected, "std": 0}
        assert [part["test"]["num_clips"] for part in record["metrics"].values()] == [4, 4, 4]
        assert str(tmp_path) not in json.dumps(record)
        bench.records.write(out / f"{baseline.__name__}.json", {**record, "commit": record["commit"] or "test"})
    for seed in (0, 1):
        record = bench.experiment.run(
            plan, "zeroshot", tmp_path / f"models{seed}", config=bench.methods.get("zeroshot").VARIANTS["linear"],
            variant="linear", dataset="two_shapes", backbone="random:nano", device="cpu",
            train_config=TrainConfig(epochs=1, num_workers=0, seed=seed),
            data_config=DataConfig(num_frames=2, fit="letterbox"),
        )  # fmt: skip
        bench.records.write(out / f"linear{seed}.json", {**record, "commit": record["commit"] or "test"})
    page = pages.results_page(pages.collect(out))
    table = page.split("## two_shapes, closed-set")[1].split("##")[0]
    assert "All rows: views 1x1." in table
    assert [line.split("|")[1:3] for line in table.splitlines() if ".json" in line] == [
        [" baseline ", " aspect "], [" baseline ", " crop_shape "], [" baseline ", " majority_class "],
        [" zeroshot ", " linear "],
    ]  # fmt: skip
    assert "| baseline | crop_shape | none | 0 | 100.0 | 1 |" in table
    assert table.count("±") == 1  # over the two seeds of the trained entry


def test_a_method_without_the_hash_of_its_weights_is_still_refused(bench, tmp_path):
    write_numbered(tmp_path / "0.mp4", 2)
    write_numbered(tmp_path / "1.mp4", 2)
    clips = listed([0, 1], tmp_path)
    plan = protocols.closed_set(partial(bench.leave_fold_out, clips, {"0.mp4": 1, "1.mp4": 2}), splits=(1,))
    record = {**bench.run_baseline(plan, "t", bench.crop_shape), "method": "zeroshot", "commit": "test"}
    bench.records.write(tmp_path / "out" / "a.json", record)
    with pytest.raises(ValueError, match=r"a record needs hash of the backbone"):
        pages.collect(tmp_path / "out")


def test_letterboxed_clips_show_bars_and_the_whole_frame(bench, real_data):
    """The widest and the tallest clip of the real set: black where the bars must be, image everywhere else."""
    from actionprompt.data import VideoDataset

    plan = bench.ut_interaction(real_data)
    clips = [clip for part in plan.parts for clip in part.tests["test"].clips]
    ordered = sorted(clips, key=lambda clip: bench.aspect(clip)[0])
    for clip in (ordered[0], ordered[-1]):
        info = video.probe(clip.path)
        views = VideoDataset([clip], bench.DATA, side_px=112, training=False, pixels=Pixels())[0, 0].video
        lit = views.max(axis=(0, 1, 2)) > 24
        rows, columns = lit.any(1).sum(), lit.any(0).sum()
        assert max(rows, columns) == 112
        assert columns / rows == pytest.approx(info.width_px / info.height_px, rel=0.06)
