"""How the models that ship with the package are trained: stills and their changes, texts, losses, and resuming."""

import json
import re
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from actionprompt.methods.dual_semantic_tpr import Config
from actionprompt.methods.zeroshot import VIDEO_TEMPLATES, VIDEO_TEMPLATES_ZH
from actionprompt.weights import load_clip
from actionprompt.world import augment as changes
from actionprompt.world import tiny_clip, train_clip, training_stills
from actionprompt.world.actions import class_names, class_names_zh, pairs
from actionprompt.world.augment import CELL_PX, augment, crop_box
from actionprompt.world.paraphrases import NUM_HELD_OUT, WORDINGS
from actionprompt.world.sayings import (
    ALL_TEMPLATES,
    CLASSES,
    COLOUR_WORDS,
    COLOURS,
    GROUPS,
    NAMES_OF,
    PREDICATE_TEMPLATES,
    ask,
    is_participle,
    recaption,
    say,
    told,
    true_of,
    without_colours,
    wordings,
)  # fmt: skip
from actionprompt.world.stills import moments
from actionprompt.world.training_stills import HELD_OUT_FOLD, draw_stills

PAIRS = pairs("2")


@pytest.fixture(scope="module")
def about():
    """What is known of stills that do not occur in training."""
    return [still.attributes for seed in range(40) for still in moments(seed, 3, size_px=16, fold=HELD_OUT_FOLD)]


# Changes of stills ----------------------------------------------------------------------------------------------------


def marked(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A dark image with a bright rectangle, and its mask."""
    mask = np.zeros((28, 28), np.uint8)
    top, left = rng.integers(4, 14, 2)
    mask[top : top + 10, left : left + 8] = 255
    image = np.full((112, 112, 3), 20, np.uint8)
    image[np.kron(mask, np.ones((CELL_PX, CELL_PX), np.uint8)) > 0] = (220, 200, 180)
    return image, mask


def test_the_mask_follows_the_image():
    rng = np.random.default_rng(0)
    for _ in range(60):
        image, mask, _ = augment(*marked(rng), rng)
        assert (image.shape, image.dtype, mask.shape, mask.dtype) == ((112, 112, 3), np.uint8, (28, 28), np.uint8)
        bright = (image.mean(-1) > 100).reshape(28, CELL_PX, 28, CELL_PX).mean((1, 3))
        assert abs(bright - mask / 255).mean() < 0.03


def test_crops_have_the_asked_size_and_keep_the_figure_where_they_can():
    rng = np.random.default_rng(0)
    _, mask = marked(rng)
    boxes = np.array([crop_box(mask, rng) for _ in range(400)])
    height, width = (boxes[:, 2:] - boxes[:, :2]).T
    assert boxes.min() >= 0
    assert boxes.max() <= 28
    area, ratio = height * width / 28**2, width / height
    assert 0.25 < area.min() < 0.35
    assert area.max() > 0.9
    assert 0.7 < ratio.min() < 0.85
    assert 1.15 < ratio.max() < 1.42
    kept = [mask[top:bottom, left:right].sum() / mask.sum() for top, left, bottom, right in boxes]
    assert np.mean(np.array(kept) >= 0.5) > 0.95


def test_grey_images_have_no_colour_and_the_share_that_is_meant():
    rng = np.random.default_rng(1)
    image, mask = marked(rng)
    out = [augment(image, mask, rng) for _ in range(300)]
    without = [bool((np.ptp(changed.astype(int), axis=-1) <= 1).all()) for changed, _, _ in out]
    assert without == [grey for _, _, grey in out]
    assert changes.GREY / 2 < np.mean(without) < 2 * changes.GREY


def test_changed_colours_keep_their_hue():
    rng = np.random.default_rng(2)
    hues = []
    for colour in ((208, 56, 52), (72, 150, 82), (54, 108, 188)):
        image = np.full((112, 112, 3), colour, np.uint8)
        seen = [cv2.transform(image, changes.colour_matrix(image, rng, grey=False, jittered=True)) for _ in range(50)]
        hue = [int(cv2.cvtColor(one[:1, :1], cv2.COLOR_RGB2HSV)[0, 0, 0]) for one in (image, *seen)]
        hues.append([min((h - hue[0]) % 180, (hue[0] - h) % 180) * 2 for h in hue])
    assert np.max(hues) <= 14, "degrees"


def test_patches_of_the_figure_come_from_its_mask(about):
    mask = np.zeros((3, 28, 28), np.uint8)
    mask[:, 4:8, 8:12] = 255  # patch (1, 2)
    images = np.zeros((3, 112, 112, 3), np.uint8)
    stills = training_stills.Stills(images, mask, about[:3])
    rng = np.random.default_rng(0)
    for _ in range(9):
        _, figures, known = train_clip.changed(stills, np.arange(3), rng)
        assert figures.shape == (3, 49)
        assert all(set(now) in (set(then), set(then) - set(COLOURS)) for now, then in zip(known, about, strict=False))
    whole = [row for row in figures if row.sum() == 255]
    assert all(row.argmax() in (9, 11) for row in whole), "mirrored or not"


# Texts ----------------------------------------------------------------------------------------------------------------


def test_wordings_are_complete_and_none_occurs_twice():
    assert set(WORDINGS) == set(class_names("2"))
    english = [text for name, (texts, _) in WORDINGS.items() for text in (name, *texts)]
    chinese = [text for _, texts in WORDINGS.values() for text in texts] + list(class_names_zh("2"))
    assert [text for texts in (english, chinese) for text, n in Counter(texts).items() if n > 1] == []
    for name, (texts, texts_zh) in WORDINGS.items():
        assert 8 <= len(texts) <= 10, name
        assert 4 <= len(texts_zh) <= 6, name
        assert {is_participle(text) for text in texts} == {True, False}, name
        assert all(text.isascii() for text in texts)
        assert not any(text.isascii() for text in texts_zh)


def test_templates_of_the_methods_occur_in_training():
    assert {*VIDEO_TEMPLATES, Config().template} <= set(ALL_TEMPLATES[0])
    assert set(VIDEO_TEMPLATES_ZH) <= set(ALL_TEMPLATES[1])


def test_every_group_holds_the_classes_of_the_same_images():
    assert sorted(k for group in GROUPS for k in group) == list(range(len(CLASSES)))
    named = {tuple(CLASSES[k][0] for k in group) for group in GROUPS if len(group) > 1}
    assert named == {*PAIRS, ("clapping slowly", "clapping quickly")}


def test_two_wordings_of_every_class():
    rng = np.random.default_rng(0)
    for language in (0, 1):
        texts = [wordings(language, rng) for _ in range(40)]
        assert all(len(row) == 2 * len(CLASSES) for row in texts)
        assert all(name[language] in text for row in texts for name, text in zip(CLASSES, row, strict=False))
    held_out = {text for rows, _ in WORDINGS.values() for text in rows[-NUM_HELD_OUT:]}
    said = {text for _ in range(100) for text in wordings(0, rng)}
    unseen = {template.format(text) for text in held_out for template in (*ALL_TEMPLATES[0], *PREDICATE_TEMPLATES)}
    assert not said & unseen
    assert not held_out & set(train_clip.reworded(0))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_texts_never_tell_the_direction_of_time(pair, about):
    """Names and other wordings of both directions describe the same images equally often, in the same templates."""
    activity = next(key for key, names in NAMES_OF.items() if names[0][0] == pair[0])
    attributes = {**about[0], "activity": activity, "kind": "reversible"}
    rng = np.random.default_rng(1)
    texts = Counter(say(attributes, rng)[0] for _ in range(3000))

    def count(name: str) -> Counter[str]:
        other = pair[1 - pair.index(name)]
        rows = {text.replace(name, "#"): n for text, n in texts.items() if name in text and other not in text}
        return Counter({text: n for text, n in rows.items() if any(text == t.format("#") for t in ALL_TEMPLATES[0])})

    first, second = (count(name) for name in pair)
    n = first.total() + second.total()
    assert n > 200
    assert abs(first.total() - second.total()) < 4 * n**0.5
    assert len(first.keys() ^ second.keys()) <= 2, "a template that goes with one direction only"
    others = [sum(n for t, n in texts.items() for w in WORDINGS[name][0] if w in t and name not in t) for name in pair]
    assert sum(others) > 150
    assert abs(others[0] - others[1]) < 6 * sum(others) ** 0.5


def test_facts_of_a_text_are_true_of_its_image_and_of_images_like_it(about):
    rng = np.random.default_rng(0)
    facts = [say(a, rng)[2] for a in about]
    true = true_of(facts, about)
    assert true.diagonal().all()
    assert 0.005 < true.mean() < 0.2
    for k, n in zip(*np.nonzero(true), strict=True):
        assert all(about[n][name] == value for name, value in facts[k].items())
    assert told("a photo of a woman in a red shirt standing", {**about[0], "who": "woman", "shirt": "red"}).keys() == {
        "pose", "who", "shirt"
    }  # fmt: skip
    bald = {**about[0], "hair": "bald", "hair_colour": "none"}
    assert any("bald head" in recaption(bald, rng)[0] for _ in range(30))


def test_no_text_about_a_grey_image_mentions_a_colour(about):
    rng = np.random.default_rng(0)
    grey = [without_colours(a) for a in about]
    for a in grey:
        for text, text_zh, facts in (say(a, rng) for _ in range(15)):
            assert not COLOUR_WORDS & set(re.findall(r"\w+", text)), text
            assert "色" not in text_zh, text_zh
            assert not facts.keys() & set(COLOURS)
    asked = dict(zip(train_clip.PROMPTS, ask(grey), strict=True))
    assert all(asked[what][1] == [] for what in COLOURS)
    assert all(asked[what][1] for what in ("place", "who", "object"))
    red = {"shirt": "red"}
    assert true_of([red], [{"shirt": "red"}, {"shirt": "blue"}, {}]).tolist() == [[True, False, True]]


def test_questions_have_the_answers_of_their_images(about):
    for (texts, rows, values), (what, prompt) in zip(ask(about), train_clip.PROMPTS.items(), strict=True):
        assert len(rows) == len(values) > 20
        assert len(set(texts)) == len(texts) > max(values)
        assert all(texts[value] == prompt.text(about[row][what], 0) for row, value in zip(rows, values, strict=True))


# Losses ---------------------------------------------------------------------------------------------------------------


def test_names_of_an_action_and_its_reversal_are_pushed_apart_and_no_others():
    torch.manual_seed(0)
    texts = torch.randn(len(CLASSES), 64)
    one, other = train_clip.SAME_IMAGES[0].tolist()
    texts[other] = texts[one] + 0.1 * torch.randn(64)
    texts = F.normalize(texts, dim=-1).expand(2, -1, -1)
    match, apart = train_clip.told_apart(texts, torch.tensor(20.0))
    assert float(apart) > 0
    turned = texts.clone()
    turned[:, other] = F.normalize(torch.randn(64), dim=-1)
    far_match, far = train_clip.told_apart(turned, torch.tensor(20.0))
    assert float(far) == 0
    assert far_match < match
    alone = next(group[0] for group in GROUPS if len(group) == 1)
    turned[:, alone] = turned[:, alone - 1]
    assert float(train_clip.told_apart(turned, torch.tensor(20.0))[1]) == 0, "two actions, not a reversal"


def test_images_are_free_of_order_where_both_names_are_equally_near():
    torch.manual_seed(0)
    pairs_of = train_clip.SAME_IMAGES
    common = torch.randn(len(CLASSES), 64)
    common[:, 0], common[pairs_of[:, 1], 1:] = 0, common[pairs_of[:, 0], 1:]
    common[pairs_of[:, 0], 0], common[pairs_of[:, 1], 0] = 1.0, -1.0
    images = torch.randn(5, 64)
    images[:, 0] = 0
    scale = torch.tensor(10.0)
    assert float(train_clip.free_of_order(images, common.expand(2, -1, -1), scale)) == 0
    images[:, 0] = 0.1
    assert float(train_clip.free_of_order(images, common.expand(2, -1, -1), scale)) == pytest.approx(
        len(pairs_of) * (10 * 0.1 * 2) ** 2, rel=1e-4
    )


def test_a_group_is_classified_by_any_of_its_names():
    torch.manual_seed(0)
    texts = F.normalize(torch.randn(2, len(CLASSES), 64), dim=-1)
    texts[:, train_clip.SAME_IMAGES[:, 1]] = texts[:, train_clip.SAME_IMAGES[:, 0]]
    texts[1] = texts[0]
    keys = list(train_clip.GROUP_OF)
    images = torch.stack([texts[0, GROUPS[train_clip.GROUP_OF[key]][0]] for key in keys])
    facts = [{"activity": key} for key in keys]
    rng = np.random.default_rng(0)
    assert float(train_clip.classified(images, texts, facts, torch.tensor(50.0), rng)) < 1e-3
    assert float(train_clip.classified(images.roll(1, 0), texts, facts, torch.tensor(50.0), rng)) > 10


# Training -------------------------------------------------------------------------------------------------------------


def test_texts_are_encoded_in_groups_as_they_are_together():
    tower = load_clip("tiny").text
    texts = [text for _ in range(3) for text in wordings(0, np.random.default_rng(0))]
    with torch.no_grad():
        torch.testing.assert_close(train_clip.encode_texts(tower, texts), tower(texts).sentence, rtol=1e-4, atol=1e-5)


def test_patches_with_the_figure_are_seen_first():
    clip = load_clip("tiny")
    pixels = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    figures = np.zeros((2, 49), np.uint8)
    figures[0, [10, 17]], figures[1, [20, 30]] = 200, 200
    rng = np.random.default_rng(0)
    with torch.no_grad():
        torch.testing.assert_close(
            train_clip.encode_some(clip, pixels, figures, 49, rng), clip.image(pixels), rtol=1e-4, atol=1e-4
        )
        two = train_clip.encode_some(clip, pixels, figures, 2, rng)
        other = pixels.clone()
        other[:, :, :16] += 1.0  # the first row of patches is not among them
        torch.testing.assert_close(train_clip.encode_some(clip, other, figures, 2, rng), two)
    kept = [train_clip.num_kept(step / 100, keep=16, num_patches=49) for step in range(101)]
    assert kept[0] == kept[40] == 16 < kept[60] < kept[80] == kept[100] == 49


def test_drawing_resumes_at_a_chunk(tmp_path, monkeypatch):
    """Killed in the second chunk: the first is kept, and the stills are those of an uninterrupted run."""
    monkeypatch.setattr(training_stills, "CHUNK", 8)
    whole = draw_stills(tmp_path / "whole", 20, seed=0)
    calls = []

    def killed(seed, *args, **options):
        calls.append(seed)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return moments(seed, *args, **options)

    monkeypatch.setattr(training_stills, "moments", killed)
    with pytest.raises(KeyboardInterrupt):
        draw_stills(tmp_path / "killed", 20, seed=0)
    resumed = draw_stills(tmp_path / "killed", 20, seed=0)
    assert calls == [0, 1, 2, 3, 2, 3, 4]
    draw_stills(tmp_path / "killed", 20, seed=0)
    assert len(calls) == 7
    assert resumed.sha256 == whole.sha256
    assert (resumed.masks == whole.masks).all()
    assert len(resumed.attributes) == 20
    assert resumed.core_hours > 0
    drawn = moments(0, 4)[2]
    assert (whole.images[2] == drawn.image).all()
    assert whole.attributes[2] == drawn.attributes
    assert 0.02 < (whole.masks > 12).mean() < 0.5, "cells with the figure"


@pytest.mark.slow
def test_drawing_in_two_processes_gives_the_same(tmp_path):
    one, two = (draw_stills(tmp_path / str(n), 8, seed=0, num_processes=n) for n in (1, 2))
    assert one.sha256 == two.sha256


@pytest.mark.slow
def test_training_resumes_exactly(tmp_path, monkeypatch):
    """Killed after a checkpoint and restarted from other random weights: the result equals an uninterrupted run."""
    monkeypatch.setattr(train_clip, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(train_clip, "LOG_EVERY", 1)
    drawn = draw_stills(tmp_path / "stills", 16, seed=0)
    texts = [say(a, np.random.default_rng(0))[0] for a in drawn.attributes * 9]
    lines = []

    def train(folder, *, seed, kill_at=None):
        def log(line):
            lines.append(line)
            if line["step"] == kill_at:
                raise KeyboardInterrupt

        torch.manual_seed(seed)
        clip = tiny_clip.build_clip(texts)[1]
        (tmp_path / folder).mkdir(exist_ok=True)
        options = {"out": tmp_path / folder, "batch_size": 4, "lr": 1e-3, "seed": 0, "steps": 4, "keep": 20}
        train_clip.train_english(clip, drawn, log=log, **options)
        return clip.state_dict()

    whole = train("whole", seed=0)
    with pytest.raises(KeyboardInterrupt):
        train("killed", seed=0, kill_at=3)
    resumed = train("killed", seed=1)
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 0, 1, 2, 3, 2, 3]
    assert {"match", "asked", "named", "images", "texts", "same", "apart", "order", "scale"} < lines[-1].keys()


@pytest.mark.slow
def test_everything_from_one_command(tmp_path, monkeypatch):
    """Tiny numbers: both models are stored, load, and are measured on both versions of the world."""
    monkeypatch.setattr(train_clip, "NUM_HELD_OUT", 60)
    options = ["--num-stills", "40", "--steps", "2", "--steps-zh", "2", "--batch-size", "8", "--num-threads", "1"]
    train_clip.main(["--out", str(tmp_path), *options])
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["core_hours"].keys() == {"stills", "tiny_clip", "tiny_clip_zh"}
    assert record["data"]["world_version"] == "2"
    assert record["bytes"] < 10_000_000
    for version in ("version 1", "version 2"):
        assert record["held_out"][version].keys() == {"english", "chinese", "class of changed stills"}
    assert len(record["names"]["same images"]) == len(train_clip.SAME_IMAGES)
    assert all("chinese, bare" in row for row in record["names"]["same images"])
    options[3] = "0"
    train_clip.main(["--out", str(tmp_path / "again"), "--start", str(tmp_path / "tiny_clip"), *options])
    again = json.loads((tmp_path / "again" / "record.json").read_text())
    assert again["core_hours"]["tiny_clip"] == 0
    weights = "tiny_clip/model.safetensors"
    assert again["files"][weights] == record["files"][weights]


def test_no_steps_and_nothing_to_keep_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        train_clip.main(["--out", str(tmp_path / "out"), "--steps", "0"])
    assert "--steps 0 trains no CLIP: give the folder of the one to keep as --start" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
