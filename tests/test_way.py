"""The way of a clip through the program: what is decoded, how often, with which times, and what is imported for it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actionprompt import checkpoint, data, methods, registry, training, video
from actionprompt.clips import Broken, Clip, ClipList
from actionprompt.config import Augment, DataConfig, Pixels, TrainConfig
from actionprompt.evaluation import predict_clips
from actionprompt.features import cached
from actionprompt.prediction import Predictor
from actionprompt.study import experiment, pages, protocols
from actionprompt.video import write_video
from actionprompt.weights import load_clip
from videos import numbered_frame

NAMES = ("red", "green")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> ClipList:
    """Clips twice as wide as high whose left, middle and right third differ, in `red` and `green`."""
    root = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(0)
    clips = []
    for number in range(6):
        frames = rng.integers(0, 60, (12, 32, 64, 3), np.uint8)
        frames[:, :, :20] += rng.integers(0, 190, (3,), np.uint8)  # the left crop tells nothing
        frames[:, :, 24:40, number % 2] += 150
        write_video(root / f"{number}.mp4", frames, fps=6)
        clips.append(Clip(f"{number}.mp4", root / f"{number}.mp4", number % 2))
    return ClipList("wide/train", tuple(clips), NAMES)


def read_spy(monkeypatch) -> list[tuple[Path, list[int]]]:
    """Every call of `video.read_frames` from here on: path and indices."""
    calls, read = [], video.read_frames
    monkeypatch.setattr(
        video,
        "read_frames",
        lambda path, indices, **o: calls.append((path, [*map(int, indices)])) or read(path, indices, **o),
    )
    return calls


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_training_from_the_cache_sees_one_centre_view_and_the_model_says_so(wide, tmp_path, monkeypatch):
    config = TrainConfig(epochs=3, batch_size=6, lr=1e-2, num_workers=0)
    seen = {}
    for name, views in (("one", {}), ("many", {"num_clips": 3, "num_crops": 3, "random_groups": True})):
        calls = read_spy(monkeypatch)
        method = methods.build(
            "zeroshot", load_clip("random:nano"), NAMES, config=methods.get("zeroshot").VARIANTS["linear"]
        )
        monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / f"cache_{name}"))
        data_config = DataConfig(num_frames=4, **views)
        training.train(method, wide, tmp_path / name, config=config, data_config=data_config, device="cpu")
        seen[name] = [len(indices) for _, indices in calls]
        manifest = json.loads((tmp_path / name / "model" / "manifest.json").read_text())
        assert manifest["trained_on"] == "cached features of one centre view, not augmented"
        assert manifest["data"]["num_crops"] == data_config.num_crops, "evaluation keeps its views"
    assert seen["many"] == seen["one"] == [4] * 6, "one view of each clip is decoded"
    assert losses(tmp_path / "many") == losses(tmp_path / "one")
    method = methods.build("zeroshot", load_clip("random:nano"), NAMES)
    views = cached(method, wide.clips, DataConfig(num_frames=4, num_crops=3), num_workers=0).features.read()
    centre = cached(method, wide.clips, DataConfig(num_frames=4, num_crops=3).centre_view, num_workers=0).features
    assert torch.equal(centre.read()[:, 0], views[:, 1])
    assert not torch.allclose(views[:, 0], views[:, 1], atol=1e-3), "the left crop is another image"


def test_training_from_pixels_says_so(wide, tmp_path):
    method = methods.build("vifi_clip", load_clip("random:nano"), NAMES)
    config = TrainConfig(epochs=1, batch_size=6, num_workers=0)
    training.train(method, wide, tmp_path, config=config, data_config=DataConfig(num_frames=4), device="cpu")
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["trained_on"] == "pixels of one view of random frames, augmented"


@pytest.mark.parametrize(
    "views",
    [{}, {"num_clips": 3}, {"num_clips": 3, "random_groups": True}, {"sampling": "dense", "stride": 2, "num_clips": 2}],
    ids=["one", "even", "random", "dense"],
)
def test_the_times_of_a_prediction_are_those_of_the_decoded_frames(tmp_path, monkeypatch, views):
    path = tmp_path / "numbered.mp4"
    write_video(path, (numbered_frame(number) for number in range(40)), fps=8)
    config = DataConfig(num_frames=4, **views)
    predictor = Predictor(methods.build("zeroshot", load_clip("random:nano"), NAMES), config, device="cpu")
    calls, scans = read_spy(monkeypatch), []
    scan = video.scan.scan
    monkeypatch.setattr(video.scan, "scan", lambda path, limits: scans.append(path) or scan(path, limits))
    result = predictor.predict(path)
    ((_, indices),) = calls
    assert len(indices) == 4 * config.num_clips
    assert result.times_s == tuple(index / 8 for index in indices)
    assert len(scans) == 1, "the packets of a file are read once to learn its frames"


def test_a_folder_of_images_has_no_times(tmp_path):
    from PIL import Image

    for number in range(5):
        Image.fromarray(numbered_frame(number)).save(tmp_path / f"img_{number:05d}.png")
    predictor = Predictor(
        methods.build("zeroshot", load_clip("random:nano"), NAMES), DataConfig(num_frames=4), device="cpu"
    )
    assert predictor.predict(tmp_path).times_s == ()


@pytest.mark.parametrize("training_part", [False, True])
def test_no_frame_is_decoded_to_learn_the_length(wide, monkeypatch, training_part):
    calls = read_spy(monkeypatch)
    dataset = data.VideoDataset(
        wide.clips, DataConfig(num_frames=4), side_px=32, training=training_part, pixels=Pixels()
    )
    sample = dataset[0, 2]
    assert [(path, len(indices)) for path, indices in calls] == [(wide.clips[2].path, 4)]
    assert sample.indices.ravel().tolist() == calls[0][1]


def test_broken_clips_carry_their_position_and_answers_their_order(wide, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    clips = [*wide.clips[:2], Clip("broken.mp4", tmp_path / "broken.mp4", 0), *wide.clips[2:4]]
    method = methods.build("zeroshot", load_clip("random:nano"), NAMES)
    for cache in (False, True):
        answers = list(predict_clips(method, clips, DataConfig(num_frames=4), num_workers=0, batch_size=2, cache=cache))
        assert [index for index, _ in answers] == [0, 1, 2, 3, 4]
        broken = answers[2][1]
        assert isinstance(broken, Broken)
        assert broken.position == (0, 2)


def test_an_experiment_loads_its_backbone_once(wide, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(experiment, "load_clip", lambda name: loaded.append(name) or load_clip(name))
    test = replace(
        wide,
        name="wide/test",
        clips=tuple(replace(c, key=f"t{c.key}", path=c.path.with_name(f"t{c.key}")) for c in wide.clips),
    )
    for clip in wide.clips:
        clip.path.with_name(f"t{clip.key}").write_bytes(clip.path.read_bytes())
    plan = protocols.closed_set(lambda split, part: wide if part == "train" else test, splits=(1, 2))
    recipe = TrainConfig(epochs=1, batch_size=6, num_workers=0)
    record = experiment.run(
        plan, "vifi_clip", tmp_path, backbone="random:nano", train_config=recipe,
        data_config=DataConfig(num_frames=4, augment=Augment(crop_scale=(1, 1))), device="cpu",
    )  # fmt: skip
    assert loaded == ["random:nano"]
    assert record["trained_on"] == "pixels of one view of random frames, augmented"
    assert record["backbone"]["sha256"] == load_clip("random:nano").fingerprint(), (
        "each part starts from the same weights"
    )
    first, second = (json.loads((tmp_path / f"split{n}" / "log.jsonl").read_text().splitlines()[0]) for n in (1, 2))
    assert first == second


WITH_CLASS_FEATURES = ("actionclip", "mip_clip", "promptlearner_clip", "vifi_clip", "vita_clip")


@pytest.mark.parametrize("name", WITH_CLASS_FEATURES)
def test_class_features_are_kept_while_nothing_can_change_them(name):
    method = methods.build(name, load_clip("random:nano"), NAMES).eval()
    encoded = []
    encode = method.encode_classes
    method.encode_classes = lambda: encoded.append(1) or encode()
    with torch.no_grad():
        first = method.class_features()
        assert method.class_features() is first
        assert len(encoded) == 1
        method.train()
        for parameter in method.parameters():
            parameter += 0.05
        method.eval()
        assert not torch.allclose(method.class_features(), first), "training changes them"
        before = method.class_features()
        method.set_classes(NAMES)
        method.class_features()
    assert len(encoded) == 3, "set_classes encodes anew"
    if method.open_vocabulary:
        with torch.no_grad():
            method.set_classes(("blue", "a yellow one"))
            assert not torch.allclose(method.class_features(), before)
            method.set_classes(NAMES)
    with torch.enable_grad():
        method.train()
        features = method.class_features()
        assert features.requires_grad
        assert method.class_features() is not features, "a graph is used once"


ADAPTER = '''"""A residual adapter on frozen frame embeddings, for a test."""
from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn

from actionprompt.method import Method


@dataclass(frozen=True)
class Config:
    width: int = 8


class Model(Method):
    def __init__(self, config, clip, class_names, class_names_zh=None):
        super().__init__(config, clip)
        self.down, self.up = nn.Linear(clip.embed_dim, config.width), nn.Linear(config.width, clip.embed_dim)
        self.set_classes(class_names, class_names_zh)

    def encode_classes(self):
        return F.normalize(self.clip.text([f"a video of {name}." for name in self.class_names]).sentence, dim=-1)

    def head(self, features):
        video = features.mean(1)
        video = F.normalize(video + self.up(F.relu(self.down(video))), dim=-1)
        return self.clip.logit_scale.exp() * video @ self.class_features().T
'''


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    """A method file with nothing but `Config` and `Model`, in the registry for the time of a test."""
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "throw_away.py").write_text(ADAPTER)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
    known = registry.names
    monkeypatch.setattr(
        registry, "names", lambda place: (*known(place), "throw_away") if place == methods.FOLDER else known(place)
    )
    monkeypatch.setattr(methods, "summary", lambda name: "A residual adapter.")
    yield folder
    sys.modules.pop("actionprompt.methods.throw_away", None)


def test_every_table_of_a_method_file_is_optional(adapter, wide, tmp_path):
    module = methods.get("throw_away")
    assert (module.VARIANTS, module.RECIPES, module.ABLATIONS, module.PUBLISHED) == ({}, {}, [], [])
    assert "throw_away" in pages.method_table([])
    assert "| `throw_away` | the contract suite |" in pages.results_page([])
    method = methods.build("throw_away", load_clip("random:nano"), NAMES)
    config = TrainConfig(epochs=1, batch_size=6, num_workers=0)
    training.train(method, wide, tmp_path / "run", config=config, data_config=DataConfig(num_frames=4), device="cpu")
    assert method.name == "throw_away"


def test_a_method_file_without_its_two_parts_is_told_in_one_line(adapter):
    (adapter / "throw_away.py").write_text("Config = 3\n")
    with pytest.raises(ValueError, match=r"methods/throw_away.py: expected a dataclass `Config` and a class `Model"):
        methods.get("throw_away")


HEAVY = ("torchmetrics", "matplotlib", "kornia", "accelerate", "tensorboard", "transformers", "torch._dynamo")


def imported(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of the modules are loaded after the code ran in a process of its own."""
    program = f"import sys\n{code}\nprint([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return eval(done.stdout.splitlines()[-1])


def test_a_prediction_imports_what_it_needs_alone(wide):
    video_path, command = str(wide.clips[0].path), "from actionprompt.commands import main"
    call = f"main(['predict', {video_path!r}, '--labels', 'red,green', '--num-workers', '0', '--backbone', 'tiny'])"
    assert imported(f"{command}; assert {call} == 0", HEAVY) == []


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["--version"]])
def test_help_and_list_import_no_torch(arguments):
    code = f"from actionprompt.commands import main; assert main({arguments}) == 0"
    assert imported(code, ("torch", "av", *HEAVY)) == []


def test_the_public_functions_are_there_and_listed():
    code = "import actionprompt; assert {'train', 'evaluate', 'teach', 'load', 'zero_shot'} <= set(dir(actionprompt))"
    assert imported(code, ("torch",)) == []
    import actionprompt

    assert actionprompt.train is training.train


@pytest.mark.parametrize(
    "folder", sorted((Path(__file__).parent / "golden" / "models").iterdir()), ids=lambda f: f.name
)
def test_models_saved_before_the_layout_changed_load_and_say_the_same(folder):
    method, manifest = checkpoint.load(folder)
    assert manifest["data"]["num_frames"] == 8
    frames = torch.randn(1, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = method.head(method.encode(frames))
    expected = torch.tensor(json.loads((folder / "logits.json").read_text()))
    torch.testing.assert_close(logits[0], expected, rtol=1e-4, atol=1e-4)
