"""None of these, several labels at once, and what is said with every prediction."""

import csv
import importlib
import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from actionprompt import checkpoint, commands, methods, prediction
from actionprompt.clips import is_chinese
from actionprompt.commands import _shared
from actionprompt.commands.predict import Rows
from actionprompt.config import DataConfig
from actionprompt.datasets import actionworld
from actionprompt.evaluation import pool_views
from actionprompt.methods.zeroshot import VIDEO_TEMPLATES, VIDEO_TEMPLATES_ZH
from actionprompt.prediction import NO_THRESHOLD, NULLS_OF_TRAINED, Prediction, Predictor, none_of_these, zero_shot
from actionprompt.transforms import eval_views, resolve, squash
from actionprompt.video import write_video
from actionprompt.weights import TINY_WARNING, load_clip

LABELS = ("waving", "clapping", "running")
NANO = "--backbone random:nano --num-workers 0"


@pytest.fixture(autouse=True)
def _own_console(own_console):
    pass


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "a.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 256, (12, 32, 64, 3), np.uint8), fps=6)
    return path


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.randn(5, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def nano(**asked) -> Predictor:
    return zero_shot(LABELS, backbone="random:nano", device="cpu", **asked)


def call(command: str, capsys) -> tuple[int, str, str]:
    code = commands.main(command.split())
    printed = capsys.readouterr()
    return code, printed.out, printed.err


# Probabilities --------------------------------------------------------------------------------------------------------


def test_the_null_names_are_one_class_of_their_weight(frames):
    plain, asked = nano(), nano(none=True)
    features = plain.method.encode(frames)
    nulls = asked._nulls
    assert asked.class_names == LABELS
    assert asked.method.class_names == (*LABELS, *nulls.names)
    found = asked.probabilities(features)
    logits = asked.method.head(features)
    for row, expected in zip(found.tolist(), logits.tolist()):
        apart = [logit for logit, near in zip(expected[3:], (~nulls.apart).any(0).tolist()) if not near]
        weights = [math.exp(logit) for logit in expected[:3]]
        weights.append(none_of_these.WEIGHT * sum(map(math.exp, apart)) / len(apart))
        assert row == pytest.approx([weight / sum(weights) for weight in weights], rel=1e-4)
    own = found[:, :3] / found[:, :3].sum(1, keepdim=True)
    torch.testing.assert_close(own, plain.probabilities(features), rtol=1e-4, atol=1e-5)


def test_independent_labels_do_not_compete(frames):
    one = zero_shot(LABELS[:1], backbone="random:nano", device="cpu", independent=True)
    three = nano(independent=True, none=True)
    features = one.method.encode(frames)
    found = three.probabilities(features)
    assert found.shape == (5, 4)
    nulls, logits = three._nulls, three.method.head(features)
    for label in range(3):
        null = logits[:, 3:][:, nulls.apart[label]]
        odds = logits[:, label].exp() / (none_of_these.WEIGHT * null.exp().mean(1))
        torch.testing.assert_close(found[:, label], odds / (1 + odds), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[:, 3], 1 - found[:, :3].amax(1))
    one._nulls = replace(one._nulls, apart=torch.ones_like(one._nulls.apart))
    assert one.probabilities(features).shape == (5, 1)


def test_null_names_are_not_the_text_of_a_label_to_the_backbone():
    """SigLIP reads no punctuation."""
    predictor = zero_shot(["doing nothing!", "running"], backbone="random:siglip-nano", none=True)
    assert predictor.class_names == ("doing nothing!", "running")
    assert "standing still" in predictor.method.class_names
    assert "doing nothing" not in predictor.method.class_names


def test_chinese_labels_have_chinese_null_names_and_sentences():
    clip = load_clip("random:chinese-clip-nano")
    method = methods.build("zeroshot", clip, ["跑步", "挥手"])
    nulls = none_of_these.null_names(method, method.class_names, most=None)
    assert all(is_chinese(name) for name in nulls.names)
    assert len({*nulls.names, *method.class_names}) == len(nulls.names) + 2
    mixed = methods.build("zeroshot", clip, ["跑步", "running"])
    rows = [clip.text.sentences([t.format(name) for t in row]) for name, row in (
        ("跑步", VIDEO_TEMPLATES_ZH), ("running", VIDEO_TEMPLATES),
    )]  # fmt: skip
    expected = [F.normalize(F.normalize(row, dim=-1).mean(0), dim=-1) for row in rows]
    torch.testing.assert_close(mixed.text, torch.stack(expected))


@pytest.mark.parametrize("below", [0.2, 0.4, 0.9])
def test_a_threshold_decides_where_there_is_one(frames, below):
    method = methods.build("zeroshot", load_clip("random:nano"), LABELS)
    method.clip.logit_scale.data.fill_(4.0)
    predictor = Predictor(method, DataConfig(), device="cpu", none_below=below, none=True)
    features = method.encode(frames)
    found, alone = predictor.probabilities(features), method.head(features).softmax(1)
    assert method.class_names == LABELS, "no null names"
    torch.testing.assert_close(found.sum(1), torch.ones(5))
    assert torch.equal(found.argmax(1) == 3, alone.amax(1) < below)
    torch.testing.assert_close(found[:, :3] * (1 + below), alone)


@pytest.mark.parametrize("below", [None, 0.3, 0.9])
def test_a_background_is_answered_with_none_of_these(frames, below, tmp_path):
    method = methods.build("zeroshot", load_clip("random:nano"), ("waving", "running", "nothing"))
    method.clip.logit_scale.data.fill_(4.0)
    features = method.eval().encode(frames)
    alone = method.head(features).softmax(1)
    predictor = Predictor(method, DataConfig(), device="cpu", background="nothing", none_below=below)
    found = predictor.probabilities(features)
    assert predictor.class_names == ("waving", "running")
    assert predictor.none
    torch.testing.assert_close(found.sum(1), torch.ones(5))
    highest = alone[:, :2].amax(1)
    expected = (alone[:, 2] > highest) | (highest < (below or 0))
    assert torch.equal(found.argmax(1) == 2, expected)
    predictor.set_classes(["a", "b"])
    assert (predictor.background, predictor.none) == (None, False)
    saved = methods.build("zeroshot", load_clip("random:nano"), ("a", "b"))
    checkpoint.save(tmp_path, saved, background="b", none_of_these=None)
    loaded = prediction.load(tmp_path, device="cpu")
    assert (loaded.class_names, loaded.none, loaded.warnings([])) == (("a",), True, [])
    assert prediction.load(tmp_path, device="cpu", independent=True).class_names == ("a",)


def test_other_names_have_null_names_of_their_own():
    method = methods.build("zeroshot", load_clip("random:nano"), LABELS)
    predictor = Predictor(method, DataConfig(), device="cpu", none_below=0.5, none=True)
    predictor.set_classes(["archery", "Swimming"])
    assert predictor.class_names == ("archery", "Swimming")
    assert predictor.none_below is None
    assert len(method.class_names) > 40
    assert sum(name.casefold() == "archery" for name in method.class_names) == 1


def test_a_closed_head_cannot_take_null_names():
    config = methods.get("zeroshot").VARIANTS["linear"]
    method = methods.build("zeroshot", load_clip("random:nano"), LABELS, config=config)
    with pytest.raises(ValueError, match=r"has learned its 3 classes alone .* needs a rejection threshold"):
        Predictor(method, DataConfig(), device="cpu", independent=True)
    assert Predictor(method, DataConfig(), device="cpu", none=True, none_below=0.5).none


def test_a_method_with_contexts_of_its_classes_says_that_it_rejects_poorly():
    """It has nothing to save while it is asked for other names."""
    method = methods.build("vita_clip", load_clip("random:nano"), LABELS)
    assert not Predictor(method, DataConfig(), device="cpu", none=None).none
    predictor = Predictor(method, DataConfig(), device="cpu", none=True)
    assert predictor.none
    assert NULLS_OF_TRAINED in predictor.warnings([])
    predictor.set_classes(["archery", "typing"])
    assert predictor.none
    assert NULLS_OF_TRAINED in predictor.warnings([])


@pytest.mark.parametrize("name", methods.names())
def test_every_open_vocabulary_takes_null_names(name, monkeypatch):
    monkeypatch.setattr(none_of_these, "unrelated", lambda most=None: (("archery", "射箭"), ("typing", "打字")))
    method = methods.build(name, load_clip("random:nano"), LABELS, ("挥手", "鼓掌", "跑步"))
    if not method.open_vocabulary and not method.frozen_features:
        with pytest.raises(ValueError, match="has learned its 3 classes alone"):
            Predictor(method, DataConfig(), device="cpu", none=True)
        return
    predictor = Predictor(method, DataConfig(), device="cpu", none=True)
    num_frames = getattr(method.config, "num_frames", None) or 8
    video = torch.randn(2, num_frames, *method.frame_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = predictor.probabilities(method.encode(video))
    assert found.shape == (2, 4)
    torch.testing.assert_close(found.sum(1), torch.ones(2))


def test_near_neighbours_of_a_label_are_no_null_names():
    """By the text tower of the embedded CLIP, which knows these words."""
    method = methods.build("zeroshot", load_clip("tiny"), ("running", "playing the guitar"))
    pairs = (("guitar playing", "吉他演奏"), ("sitting down", "坐下"), ("Running", "跑步"), ("opening a door", "开门"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(none_of_these, "unrelated", lambda most=None: pairs)
        nulls = none_of_these.null_names(method, method.class_names)
    assert "Running" not in nulls.names
    apart = dict(zip(nulls.names, nulls.apart.T.tolist()))
    assert apart["guitar playing"] == [True, False]
    assert apart["opening a door"] == [True, True]
    assert all(all(apart[name]) for name, _ in none_of_these.GENERIC)
    assert len(nulls.names_zh) == len(nulls.names)


def test_unrelated_actions_are_spread_over_all_that_ship():
    every = none_of_these.unrelated(None)
    assert len(every) == len({name for name, _ in every}) == 755
    some = none_of_these.unrelated(64)
    assert len(some) == 64
    assert set(some) <= set(every)
    assert len({name[0].casefold() for name, _ in some}) > 15


def test_views_are_pooled_as_in_evaluation(clip):
    config = DataConfig(num_frames=4, num_clips=2)
    for pooling in ("probabilities", "logits"):
        predictor = nano(none=True, config=replace(config, pooling=pooling))
        result = predictor.predict(clip, top=None)
        assert sum(result.scores) + result.none == pytest.approx(1)
        logits = torch.randn(1, 2, len(predictor.method.class_names), generator=torch.Generator().manual_seed(1))
        pooled = pool_views(logits, pooling, predictor._to_probabilities)
        by_hand = predictor._to_probabilities(logits[0] if pooling == "probabilities" else logits.mean(1)).mean(0)
        torch.testing.assert_close(pooled[0], by_hand)


@pytest.mark.slow
def test_null_prompts_tell_unknown_actions_better_than_the_highest_softmax(tmp_path):
    """Half of the classes of ActionWorld are asked for, clips of all are shown; the embedded CLIP."""
    clips = actionworld.load(tmp_path, part="test", size="mini")
    asked, others = clips.class_names[:18], clips.class_names[18:]
    paths = {name: [c.path for c in clips.clips if clips.class_names[c.label] == name] for name in clips.class_names}
    scores: dict[str, list[tuple[bool, float, float]]] = {"known": [], "unknown": []}
    predictor = zero_shot(asked, backbone="tiny", device="cpu", none=True)
    for kind, names in (("known", asked), ("unknown", others)):
        for _, result in predictor.predict_all([p for name in names for p in paths[name]], num_workers=0):
            scores[kind].append((result.none_of_these, 1 - result.none, result.score / (1 - result.none)))

    def auroc(column: int) -> float:
        pairs = [known[column] > other[column] for known in scores["known"] for other in scores["unknown"]]
        return sum(pairs) / len(pairs)

    assert auroc(1) > 0.8
    assert auroc(1) > auroc(2) + 0.1
    rejected = {kind: sum(none for none, *_ in found) / 36 for kind, found in scores.items()}
    assert rejected["unknown"] > 0.5 > 0.25 > rejected["known"]


# What is said with a prediction ---------------------------------------------------------------------------------------


def test_a_prediction_names_what_answers(clip, tmp_path, capsys):
    method = methods.build("vifi_clip", load_clip("random:nano"), LABELS)
    checkpoint.save(tmp_path / "model", method)
    about = prediction.load(tmp_path / "model", none=True, device="cpu").about()
    assert json.loads(json.dumps(about)) == about
    assert about["program"].startswith("actionprompt ")
    assert (about["method"], about["labels"]) == ("vifi_clip", list(LABELS))
    assert about["backbone"] == {"name": "random:nano", "sha256": load_clip("random:nano").fingerprint()}
    settings = about["settings"]
    assert settings["weights_sha256"] == checkpoint.weights_sha256(tmp_path / "model")
    assert (settings["none"], settings["independent"], settings["data"]["fit"]) == (True, False, "crop")


def test_the_embedded_clip_warns_of_videos_it_was_not_made_for(clip, tmp_path):
    predictor = zero_shot(LABELS, backbone="tiny", device="cpu")
    drawn = actionworld.load(tmp_path, part="test", size="mini").clips[0].path
    assert predictor.warnings([drawn]) == []
    assert predictor.warnings([drawn, clip]) == [TINY_WARNING]
    assert nano().warnings([clip]) == []


def test_a_taught_model_without_a_threshold_says_so(tmp_path, clip):
    method = methods.build("seeing_in_flowing", load_clip("random:nano"), LABELS)
    for threshold, said in ((None, [NO_THRESHOLD]), ({"below": 0.5}, [])):
        checkpoint.save(tmp_path / str(said), method, none_of_these=threshold)
        assert prediction.load(tmp_path / str(said), device="cpu").warnings([clip]) == said
    assert prediction.load(tmp_path / "[]", none=True, device="cpu").method.class_names == LABELS
    asked = prediction.load(tmp_path / str([NO_THRESHOLD]), none=True, device="cpu")
    assert asked.warnings([clip]) == [], "null prompts of frozen CLIP take its place"
    method = methods.build("vifi_clip", load_clip("random:nano"), LABELS)
    assert Predictor(method, DataConfig(), device="cpu", none=True).warnings([clip]) == [NULLS_OF_TRAINED]


def test_frozen_clip_judges_for_a_trained_method_on_its_frames(frames):
    trained, zero = methods.build("seeing_in_flowing", load_clip("random:nano"), LABELS), nano(none=True)
    features = trained.eval().encode(frames)
    alone, judged = trained.head(features).softmax(1), zero.probabilities(features)
    predictor = Predictor(trained, DataConfig(), device="cpu", none=True)
    found = predictor.probabilities(features)
    torch.testing.assert_close(found[:, -1], judged[:, -1])
    torch.testing.assert_close(found[:, :-1], alone * (1 - judged[:, -1:]))
    assert trained.class_names == LABELS


def test_a_long_video_says_how_little_of_it_was_seen(tmp_path):
    frame = np.zeros((1, 32, 32, 3), np.uint8)
    for seconds, fps, said in ((192, 1, "8 frames of 3 min 12 s were seen; a timeline"), (19, 1, "")):
        write_video(tmp_path / "long.mp4", (frame[0] + i % 200 for i in range(seconds * fps)), fps=fps)
        warnings = nano().predict(tmp_path / "long.mp4").warnings
        assert "".join(warnings).startswith(said)
        assert bool(warnings) == bool(said)
        dense = nano(config=DataConfig(sampling="dense", stride=1)).predict(tmp_path / "long.mp4")
        assert bool(dense.warnings) == bool(said)
    many = nano(config=DataConfig(num_clips=12)).predict(tmp_path / "long.mp4")
    assert many.warnings == ()


# What of a frame is seen ----------------------------------------------------------------------------------------------


def test_auto_shows_the_whole_frame_unless_it_is_nearly_square():
    assert [resolve("auto", *size) for size in ((100, 100), (100, 110), (110, 100))] == ["crop"] * 3
    assert [resolve("auto", *size) for size in ((90, 120), (120, 90), (100, 111), (9, 16))] == ["letterbox"] * 4
    rng = np.random.default_rng(0)
    for height, width, fit in ((48, 64, "letterbox"), (64, 48, "letterbox"), (60, 64, "crop")):
        video = rng.integers(0, 256, (2, height, width, 3), np.uint8)
        assert np.array_equal(eval_views(video, side_px=32, fit="auto"), eval_views(video, side_px=32, fit=fit))
        for found, expected in zip(squash(video, side_px=32, fit="auto"), squash(video, side_px=32, fit=fit)):
            assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match="expected num_crops=1 with fit='auto'"):
        DataConfig(fit="auto", num_crops=3)


def test_zero_shot_sees_the_whole_frame_and_a_model_what_it_was_trained_with(clip, tmp_path, capsys):
    method = methods.build("vifi_clip", load_clip("random:nano"), LABELS)
    checkpoint.save(tmp_path / "model", method, data=DataConfig(num_frames=4))
    zero = f"predict {clip} --labels a,b {NANO} --json"
    trained = f"predict {clip} --model {tmp_path / 'model'} --num-workers 0 --json"
    for number, (command, fit) in enumerate(
        ((zero, "auto"), (f"--fit crop {zero}", "crop"), (trained, "crop"), (f"--fit letterbox {trained}", "letterbox"))
    ):
        words = command.split("predict ")
        assert call(f"predict {words[0]}{words[1]} {tmp_path / f'{number}.json'}", capsys)[0] == 0
        about = json.loads((tmp_path / f"{number}.json").read_text())["about"]
        assert about["settings"]["data"]["fit"] == fit


@pytest.mark.parametrize(
    ("command", "given", "usual"),
    [("predict", ["a.mp4"], False), ("timeline", ["a.mp4", "--out", "o"], None), ("tag", ["a", "--out", "o"], False),
     ("export", ["--out", "o"], False)],
)  # fmt: skip
def test_none_is_the_same_switch_in_every_command(command, given, usual, monkeypatch):
    module, seen = importlib.import_module(f"actionprompt.commands.{command}"), []

    def parsed(*arguments):
        seen.append(_shared.parse(*arguments))
        raise ValueError("enough")

    monkeypatch.setattr(module, "parse", parsed)
    for words, expected in (([], usual), (["--none"], True), (["--no-none"], False)):
        assert commands.main([command, *given, *words]) == 2
        assert seen[-1].none is expected


@pytest.mark.parametrize(("command", "usual"), [("predict", "Off"), ("timeline", "On")])
def test_the_help_says_when_none_is_an_answer_by_default(command, usual, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        commands.main([command, "--help"])
    said = re.sub(r"[│|\s]+", " ", capsys.readouterr().out)
    assert f'--no-none Let "none of these" be an answer, by unrelated actions next to the labels. {usual} by' in said
    assert "--none {" not in said


# Output ---------------------------------------------------------------------------------------------------------------


def test_json_on_stdout_is_all_that_is_there(clip, tmp_path, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    command = f"predict {clip} {tmp_path / 'broken.mp4'} --labels waving,clapping"
    code, out, err = call(f"{command} --backbone tiny --num-workers 0 --none --json -", capsys)
    assert code == 1
    found = json.loads(out)
    assert list(found) == ["about", "warnings", "predictions", "unreadable"]
    assert found["warnings"] == [TINY_WARNING]
    assert err.count(TINY_WARNING) == 1
    (result,) = found["predictions"]
    assert sum(result["scores"]) + result["none"] == pytest.approx(1)
    assert found["unreadable"][0]["key"].endswith("broken.mp4")
    code, out, _ = call(f"predict {clip} --labels waving,clapping {NANO} --independent --json -", capsys)
    assert json.loads(out)["about"]["settings"]["independent"] is True


def test_csv_on_stdout_is_all_that_is_there(clip, capsys):
    code, out, err = call(f"predict {clip} --labels waving,clapping {NANO} --csv -", capsys)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, err) == (0, "")
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert all(row["program"].startswith("actionprompt ") and len(row["backbone_sha256"]) == 64 for row in rows)
    assert json.loads(rows[0]["asked"]) == ["waving", "clapping"]
    assert json.loads(rows[0]["settings"])["none"] is False
    code, _, err = call(f"predict {clip} --labels a,b {NANO} --csv - --json -", capsys)
    assert code == 2
    assert "expected --json - or --csv -, not both" in err


@pytest.mark.parametrize("width", [200, 60, 40, 12])
@pytest.mark.parametrize("labels", [("a", "b"), tuple(f"doing something rather long number {i}" for i in range(5))])
def test_a_table_fits_the_terminal_and_loses_nothing(width, labels, monkeypatch, capsys):
    monkeypatch.setattr(_shared.out, "width", width)
    paths = [Path(f"/videos/of a long name/clips/{name}/001.mp4") for name in ("wave", "挥手")]
    rows = Rows(zero_shot(labels, backbone="random:nano", device="cpu"), paths, 5)
    for path in paths:
        rows.show(Prediction(path, labels, tuple([0.9] + [0.1] * (len(labels) - 1)), ()))
    out = capsys.readouterr().out
    for rank, label in enumerate(labels):
        assert out.count(f" {label} {10 if rank else 90}.0 %") == 2
    assert out.count("001.mp4") == 2
    longest = max(map(len, labels)) + len("  1.  90.0 %")
    assert max(_shared.cell_len(line) for line in out.splitlines()) <= max(width, longest)


def test_a_name_is_cut_from_the_left():
    path = "/home/me/videos/clips/wave/001.mp4"
    assert _shared.cut(path, 100) == path
    assert _shared.cut(path, 20) == "…/clips/wave/001.mp4"
    assert _shared.cut(path, 18) == "…/wave/001.mp4"
    assert _shared.cut("C:\\videos\\wave\\001.mp4", 14) == "…\\wave\\001.mp4"
    assert _shared.cut("a" * 30 + ".mp4", 10) == "…aaaaa.mp4"
    for width in range(1, 12):
        assert _shared.cell_len(_shared.cut("/挥手挥手/挥手.mp4", width)) <= width


SLOW = """
import sys, time
from actionprompt import commands, data
from actionprompt.video import read_frames
from actionprompt import video
def slow(path, indices, **options):
    if "b.mp4" in str(path):
        print("waiting", file=sys.stderr, flush=True)
        sys.stdin.readline()
    return read_frames(path, indices, **options)
video.read_frames = slow
sys.exit(commands.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("option", [[], ["--csv", "-"]])
def test_results_appear_as_they_come(clip, tmp_path, option):
    """The second video is decoded when the first line has been read from the pipe."""
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(clip.read_bytes())
    command = ["predict", "a.mp4", "b.mp4", "--labels", "waving,clapping", *NANO.split(), *option]
    running = subprocess.Popen(
        [sys.executable, "-c", SLOW, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=tmp_path, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert running.stderr.readline().strip() == b"waiting"
    lines = [running.stdout.readline() for _ in range(2 if option else 4)]
    head = "path,rank,label,score,none,none_of_these,warnings,program,method,backbone,backbone_sha256,asked,settings"
    assert lines[0].decode().strip() == (head if option else "zeroshot on random:nano, 8 frames")
    assert lines[-1].startswith(b"a.mp4")
    rest, _ = running.communicate(b"\n")
    assert running.returncode == 0
    assert b"b.mp4" in rest


def test_none_of_these_is_ranked_among_the_labels(clip, capsys):
    predictor = nano(none=True)
    rows = Rows(predictor, [clip], 2)
    result = Prediction(clip, LABELS[:2], (0.3, 0.1), (), True, 0.6)
    assert rows.cells(result) == ["none of these 60.0 %", "waving 30.0 %", "clapping 10.0 %"]
    rejected = Prediction(clip, LABELS[:2], (0.3, 0.1), (), True)
    assert rows.cells(rejected)[0] == "none of these (waving 30.0 %)"
    code, out, _ = call(f"predict {clip} --labels waving,clapping {NANO} --none", capsys)
    assert code == 0
    assert out.count("none of these") == 1


def test_it_is_asked_by_itself_where_it_is_told_well():
    """`none=None`: of frozen CLIP, and of a trained method that frozen CLIP judges; not by its own null prompts."""
    assert zero_shot(("a", "b"), backbone="random:nano", none=None).none
    assert not zero_shot(("a", "b"), backbone="random:nano", none=None, independent=True).none

    def predictor(name):
        return Predictor(methods.build(name, load_clip("random:nano"), ("a", "b")), DataConfig(), none=None)

    assert predictor("seeing_in_flowing").none
    own = predictor("vifi_clip")
    assert not own.none
    assert own.warnings([]) == []
