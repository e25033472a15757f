"""Public checkpoints become models: every tensor accounted for, the same predictions, and refusal of what does not fit.

The files are made in the published names and shapes (`plain_clip`), small except where marked slow.
"""

import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import plain_clip
from actionprompt import checkpoint, commands, methods
from actionprompt.apps import published
from actionprompt.methods.actionclip import TEMPLATES
from actionprompt.video import write_video
from actionprompt.weights import load_clip

NANO = "random:nano"
NAMES = ["abseiling", "air drumming", "yoga"]


@pytest.fixture(scope="module")
def clip():
    return load_clip(NANO)


@pytest.fixture(scope="module")
def video(clip):
    side = clip.image.image_size
    return torch.randn(2, 4, 3, side, side, generator=torch.Generator().manual_seed(5))


def files(method: str, clip, **sizes) -> dict:
    """What the authors' code writes for a method, with the entries next to the tensors."""
    if method in ("actionclip", "bike"):
        model, fusion = getattr(plain_clip, method)(clip)
        fusion = {f"module.{name}": value for name, value in fusion.items()}
        return {"epoch": 49, "model_state_dict": model, "fusion_model_state_dict": fusion, "optimizer_state_dict": {}}
    state = getattr(plain_clip, method)(clip, NAMES, **sizes)
    return {"model": {f"module.{name}": value for name, value in state.items()}, "optimizer": {"state": {}}, "epoch": 9}


def parts(content: dict) -> list[dict]:
    """The state dicts of a file."""
    return [value for key, value in content.items() if "model" in key]


def import_file(method: str, content: dict, tmp_path, **options):
    torch.save(content, tmp_path / "best.pth")
    names = options.pop("names", NAMES)
    return published.import_checkpoint(method, tmp_path / "best.pth", tmp_path / "run", names, backbone=NANO, **options)


METHODS = ("vifi_clip", "actionclip", "vita_clip", "xclip", "bike")


# ----------------------------------------------------------------------------------------------- the same predictions


@torch.no_grad()
def test_vifi_clip_predicts_as_published(clip, video, tmp_path):
    content = files("vifi_clip", clip)
    import_file("vifi_clip", content, tmp_path)
    method, manifest = checkpoint.load(tmp_path / "run")
    state = plain_clip.vifi_clip(clip, NAMES)
    expected = plain_clip.vifi_clip_logits(state, video, clip, NAMES)
    assert expected.std() > 0.01
    torch.testing.assert_close(method(video), expected, rtol=1e-4, atol=1e-4)
    assert manifest["config"]["template"] == "a photo of a {}."
    assert manifest["imported"]["source"] == "muzairkhattak/ViFi-CLIP"
    assert manifest["imported"]["tensors"] == len(state)
    assert list(manifest["imported"]["unused"]) == ["prompt_learner.complete_text_embeddings"]

    del content["model"]["module.prompt_learner.complete_text_embeddings"]  # people leave it out
    torch.testing.assert_close(import_file("vifi_clip", content, tmp_path)(video), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["Transf", "LSTM", "meanP"])
@torch.no_grad()
def test_actionclip_predicts_as_published(head, clip, video, tmp_path):
    model, fusion = plain_clip.actionclip(clip, head)
    content = {"epoch": 1, "model_state_dict": model, "fusion_model_state_dict": fusion}
    import_file("actionclip", content, tmp_path, num_frames=4)
    method, manifest = checkpoint.load(tmp_path / "run")
    expected = plain_clip.actionclip_probabilities(model, fusion, video, clip, NAMES, TEMPLATES, heads=1)
    assert (expected - 1 / 3).abs().max() > 0.01
    torch.testing.assert_close(method(video).softmax(-1), expected, rtol=1e-4, atol=1e-5)
    assert manifest["data"]["num_frames"] == 4


@pytest.mark.parametrize("shared", [False, True])
@torch.no_grad()
def test_vita_clip_predicts_as_published(shared, clip, video, tmp_path):
    content = files("vita_clip", clip)
    state = plain_clip.vita_clip(clip, NAMES)
    if shared:
        state["prompt_learner.ctx"] = content["model"]["module.prompt_learner.ctx"] = state["prompt_learner.ctx"][0]
    import_file("vita_clip", content, tmp_path)
    method, manifest = checkpoint.load(tmp_path / "run")
    expected = plain_clip.vita_clip_logits(state, video, clip, NAMES)
    assert expected.std() > 0.01
    torch.testing.assert_close(method(video), expected, rtol=1e-4, atol=1e-4)
    config = manifest["config"]
    assert (config["num_frames"], config["num_global"], config["num_context"]) == (4, 3, 2)
    assert config["class_context"] is not shared
    assert manifest["data"]["num_frames"] == 4


@torch.no_grad()
def test_xclip_predicts_as_published(clip, video, tmp_path):
    content, state = files("xclip", clip), plain_clip.xclip(clip, NAMES)
    import_file("xclip", content, tmp_path)
    method, manifest = checkpoint.load(tmp_path / "run")
    expected = plain_clip.xclip_logits(state, video, clip, NAMES)
    assert expected.std() > 0.01
    torch.testing.assert_close(method(video), expected, rtol=1e-4, atol=1e-4)
    assert (manifest["config"]["num_frames"], manifest["config"]["train_text"]) == (4, False)
    for name, value in content["model"].items():  # some tune the text tower, too
        if "visual" not in name and "mit" not in name and "prompts" not in name:
            value += 0.1
    import_file("xclip", content, tmp_path)
    method, manifest = checkpoint.load(tmp_path / "run")
    state = {name.removeprefix("module."): value for name, value in content["model"].items()}
    torch.testing.assert_close(method(video), plain_clip.xclip_logits(state, video, clip, NAMES), rtol=1e-4, atol=1e-4)
    assert manifest["config"]["train_text"] is True


@torch.no_grad()
def test_xclip_of_transformers(clip, video, tmp_path):
    """The names of transformers, and its own forward pass."""
    from transformers import XCLIPConfig, XCLIPModel

    image, text, joint = clip.image, clip.text, clip.embed_dim
    config = XCLIPConfig(
        vision_config={
            "image_size": image.image_size, "patch_size": image.patch_size, "hidden_size": image.width,
            "num_hidden_layers": len(image.layers), "intermediate_size": 4 * image.width,
            "num_attention_heads": image.num_heads, "num_frames": 4, "mit_hidden_size": joint,
            "mit_intermediate_size": 4 * joint, "mit_num_attention_heads": 1,
        },
        text_config={
            "hidden_size": text.width, "num_hidden_layers": len(text.layers), "intermediate_size": 4 * text.width,
            "num_attention_heads": text.num_heads, "vocab_size": 514, "eos_token_id": 513,
            "max_position_embeddings": text.context_length,
        },
        projection_dim=joint, prompt_num_attention_heads=1,
    )  # fmt: skip
    model = XCLIPModel(config).eval()
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    method = published.import_checkpoint(
        "xclip", tmp_path / "model.safetensors", tmp_path / "run", NAMES, backbone=NANO
    )
    rows = text.tokenizer.encode(NAMES)
    ids = torch.tensor([row + [row[-1]] * (20 - len(row)) for row in rows])
    expected = model(input_ids=ids, pixel_values=video, attention_mask=torch.ones_like(ids)).logits_per_video
    torch.testing.assert_close(method(video), expected, rtol=1e-4, atol=1e-4)

    del state["mit.position_embedding"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 tensors are missing \(the first: mit\.position\), 0 are unknown"):
        published.import_checkpoint("xclip", tmp_path / "model.safetensors", tmp_path / "no", NAMES, backbone=NANO)


@torch.no_grad()
def test_bike_predicts_as_published(clip, video, tmp_path):
    import_file("bike", files("bike", clip), tmp_path, num_frames=4)
    method, manifest = checkpoint.load(tmp_path / "run")
    expected = plain_clip.bike_similarities(*plain_clip.bike(clip), video, clip, NAMES, heads=1)
    assert expected.std() > 1e-3
    logits = method(video)
    scale = logits.norm() / expected.norm()  # S_V times a temperature
    torch.testing.assert_close(logits / scale, expected, rtol=1e-4, atol=1e-5)
    assert (manifest["config"]["attributes"], manifest["config"]["num_layers"]) == (False, 6)


def test_i3d_flow_has_no_backbone(tmp_path):
    method = methods.build("i3d_flow", load_clip("tiny"), NAMES)
    port = {
        name.removeprefix("network.").replace("logits.", "logits.conv3d."): value
        for name, value in method.trained_state().items()
    }
    port["logits.conv3d.weight"] = port["logits.conv3d.weight"][..., None, None, None]
    torch.save(port, tmp_path / "flow.pt")
    options = {"method": "i3d_flow", "file": tmp_path / "flow.pt", "run": tmp_path / "run"}

    def run(names, backbone=None):
        return published.import_checkpoint(options["method"], options["file"], options["run"], names, backbone=backbone)

    run(NAMES)
    again, manifest = checkpoint.load(tmp_path / "run")
    state = again.trained_state()
    assert all(torch.equal(value, state[name]) for name, value in method.trained_state().items())
    assert manifest["data"]["num_frames"] == 64
    with pytest.raises(ValueError, match=r"i3d_flow has no CLIP backbone: expected none, got random:nano"):
        run(NAMES, NANO)
    with pytest.raises(
        ValueError, match=r"logits\.weight has shape \[3, 1024\], which does not fit logits\.weight of shape"
    ):
        run(NAMES[:2])
    with pytest.raises(ValueError, match=r"expected the CLIP that the checkpoint was trained from, such as openai/"):
        published.build("vifi_clip", {}, NAMES, backbone=None)


# ------------------------------------------------------------------------------------------------- what does not fit


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_too_few_too_many_or_of_another_shape_is_refused(method, clip, tmp_path):
    def changed(change) -> dict:
        content = files(method, clip)
        change(parts(content)[0])
        return content

    name = next(name for name in parts(files(method, clip))[0] if name.endswith("ln_post.weight"))
    bare = name.removeprefix("module.")
    with pytest.raises(ValueError, match=rf"1 tensors are missing \(the first: {bare}\), 0 are unknown; nothing was"):
        import_file(method, changed(lambda state: state.pop(name)), tmp_path)
    with pytest.raises(
        ValueError, match=r"0 tensors are missing, 1 are unknown \(the first: visual\.VPT\); nothing was"
    ):
        import_file(method, changed(lambda state: state.update({"visual.VPT": torch.zeros(3)})), tmp_path)
    with pytest.raises(ValueError, match=rf"{bare} has shape \[7\], which does not fit clip\.image\.post_norm\.weight"):
        import_file(method, changed(lambda state: state.update({name: torch.zeros(7)})), tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", ["random:siglip2-nano", "random:chinese-clip-nano"])
def test_another_kind_of_backbone_is_refused(method, backbone, clip):
    with pytest.raises(ValueError, match=rf"trained from OpenAI's CLIP: expected one, .* got {backbone}, a backbone"):
        published.build(method, {}, NAMES, backbone=backbone)


def test_prompts_of_other_classes_are_refused(clip, tmp_path):
    other = ["air drumming", "abseiling", "yoga"]
    for method in ("vifi_clip", "vita_clip"):
        with pytest.raises(
            ValueError, match=r"the prompt of the class 'air drumming' has other tokens; check the class"
        ):
            import_file(method, files(method, clip), tmp_path, names=other)
    with pytest.raises(ValueError, match=r"has prompts of 3 classes, but 2 class names were given"):
        import_file("vifi_clip", files("vifi_clip", clip), tmp_path, names=other[:2])
    with pytest.raises(ValueError, match=r"prompt_learner\.ctx has shape \[3, 2, 32\], which does not fit context"):
        import_file("vita_clip", files("vita_clip", clip), tmp_path, names=other[:2])
    with pytest.raises(ValueError, match=r"the prompt of the class 'abseiling' has other tokens; .* the template"):
        import_file("vifi_clip", files("vifi_clip", clip), tmp_path, template="a video of a {}.")
    content = {"model": plain_clip.vifi_clip(clip, NAMES, "a video of a")}
    assert (
        import_file("vifi_clip", content, tmp_path, template="a video of a {}.").config.template == "a video of a {}."
    )
    with pytest.raises(ValueError, match=r"actionclip has no single prompt template: expected no template, got 'a {}'"):
        import_file("actionclip", files("actionclip", clip), tmp_path, template="a {}")


def test_frozen_towers_must_be_those_of_the_backbone(clip, tmp_path):
    content = files("vita_clip", clip)
    content["model"]["module.textual.text_projection"] += 0.01
    with pytest.raises(
        ValueError, match=r"vita_clip keeps textual\.text_projection frozen, but .* other numbers there \(1 "
    ):
        import_file("vita_clip", content, tmp_path)
    content = files("vita_clip", clip)
    content["model"]["module.visual.patch_embed.proj.bias"][0] = 1e-3
    with pytest.raises(ValueError, match=r"proj\.bias is not zero, but CLIP's patch embedding has no bias"):
        import_file("vita_clip", content, tmp_path)


def test_a_head_that_is_not_ours_is_refused(clip, tmp_path):
    model, fusion = plain_clip.actionclip(clip, "Conv_1D")
    content = {"model_state_dict": model, "fusion_model_state_dict": fusion}
    with pytest.raises(ValueError, match=r"expected the head Transf, LSTM or meanP of ActionCLIP, got Conv_1D"):
        import_file("actionclip", content, tmp_path)
    with pytest.raises(
        ValueError, match=r"no public checkpoints of mip_clip are known; there are those of actionclip, "
    ):
        import_file("mip_clip", content, tmp_path)


# ----------------------------------------------------------------------------------------------------------- reading


def test_options_next_to_the_tensors_are_data(clip, tmp_path, monkeypatch):
    """X-CLIP and ViFi-CLIP store the options of yacs, a class of that library, next to the tensors."""
    module = ModuleType("yacs.config")
    node = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = node
    monkeypatch.setitem(sys.modules, "yacs", ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    options = node(MODEL=node(ARCH="ViT-B/16"))
    options.__dict__["__immutable__"] = True
    torch.save({**files("vifi_clip", clip), "config": options}, tmp_path / "best.pth")
    monkeypatch.delitem(sys.modules, "yacs.config")
    state = published.read(tmp_path / "best.pth")
    assert len(state) == len(plain_clip.vifi_clip(clip, NAMES))
    assert "logit_scale" in state


class Trap:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return (print, ("code was run",))


def test_files_that_are_no_checkpoints(tmp_path, capsys):
    def answer(content, pattern: str, name: str = "x.pth") -> None:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        with pytest.raises(ValueError, match=pattern):
            published.read(path)

    answer(None, r"there is no file .*nowhere\.pth; check the path", "nowhere.pth")
    answer(
        b"text", r"x\.pth cannot be read as weights: it is damaged, cut or another kind of file \(.*\); get it again"
    )
    answer(b"text", r"x\.safetensors cannot be read as weights: ", "x.safetensors")
    answer({"model": {"a": Trap()}}, r"it holds (__builtin__|builtins).print, and reading that would run code")
    answer([torch.zeros(1)], r"expected a dictionary of tensors, got list")
    answer(
        {"epoch": 3}, r"expected tensors by name, or a dictionary of them as model or state_dict; got the entry 'epoch'"
    )
    answer({}, r"expected tensors by name, .*; got none")
    assert "code was run" not in capsys.readouterr().out


def test_tensors_alone_and_safetensors_are_read_too(clip, tmp_path):
    state = plain_clip.vifi_clip(clip, NAMES)
    torch.save(state, tmp_path / "bare.pt")
    save_file({f"module.{name}": value.half() for name, value in state.items()}, tmp_path / "half.safetensors")
    for name in ("bare.pt", "half.safetensors"):
        found = published.read(tmp_path / name)
        assert found.keys() == state.keys()
        assert {value.dtype for value in found.values()} == {torch.float32}


# ---------------------------------------------------------------------------------------------------- on the terminal


def test_import_eval_predict(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    for name in NAMES:
        (tmp_path / "clips" / name).mkdir(parents=True)
        write_video(tmp_path / "clips" / name / "1.mp4", frames, fps=10)
    torch.save(files("vifi_clip", clip), tmp_path / "best.pth")
    (tmp_path / "names.csv").write_text("id,name\n" + "".join(f"{i},{name}\n" for i, name in enumerate(NAMES)))

    def call(*args: str) -> tuple[int, str]:
        code = commands.main([*args])
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    run, file = str(tmp_path / "run"), str(tmp_path / "best.pth")
    code, text = call("import", "vifi_clip", file, "--backbone", NANO, "--out", run, "--labels-file",
                      str(tmp_path / "names.csv"), "--num-frames", "2")  # fmt: skip
    assert (code, "vifi_clip with 3 classes, from" in text) == (0, True)
    assert json.loads((tmp_path / "run/model/manifest.json").read_text())["data"]["num_frames"] == 2
    code, text = call("eval", run, "--clips.root", str(tmp_path / "clips"), "--num-workers", "0")
    assert (code, "top-1 33.33 %" in text) == (0, True)
    code, text = call("predict", str(tmp_path / "clips"), "--model", run, "--num-workers", "0")
    assert code == 0
    assert any(name in text for name in NAMES)

    for options, message in (
        (
            [],
            "does not hold its class names: expected one of --dataset, --labels and --labels-file, got none",
        ),
        (["--dataset", "ucf101", "--labels", "a,b"], "got dataset and labels"),
        (["--dataset", "hmdb51"], "has prompts of 3 classes, but 51 class names were given"),
        (["--dataset", "hmdb"], "there is no data set 'hmdb'; did you mean 'hmdb51'?"),
        (["--labels", "abseiling,air drumming,yoga", "--template", "a {}."], "has other tokens"),
    ):
        code, text = call("import", "vifi_clip", file, "--backbone", NANO, "--out", str(tmp_path / "no"), *options)
        assert code == 2
        assert message in text
    assert not (tmp_path / "no").exists()


# ------------------------------------------------------------------------------------------------- published sizes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "tensors", "parameters"),
    [
        ("vifi_clip", 302, 124_323_841),
        ("actionclip", 375, 168_574_465),
        ("vita_clip", 512, 185_237_249 - 6 * 13 * 768),  # T = 2 in place of 8: positions, and prompts of 12 layers
        ("xclip", 443, 194_929_153 - 6 * 512),
        ("bike", 375, 168_574_465),
    ],
)
@torch.no_grad()
def test_published_sizes(method, tensors, parameters, tmp_path, monkeypatch):
    """ViT-B/16: as many tensors as the public code makes, and the same predictions."""
    monkeypatch.setattr(sys.modules[__name__], "NANO", "random:ViT-B/16")
    monkeypatch.setattr(sys.modules[__name__], "NAMES", NAMES[:2])
    clip, num_frames = load_clip("random:ViT-B/16"), 2
    video = torch.randn(1, num_frames, 3, 224, 224, generator=torch.Generator().manual_seed(5))
    sizes = {"vita_clip": {"num_global": 8, "num_context": 8}, "xclip": {}}
    sizes = {"num_frames": num_frames, **sizes[method]} if method in sizes else {}
    content = files(method, clip, **sizes)
    states = [{k.removeprefix("module."): v for k, v in part.items()} for part in parts(content)]
    assert sum(map(len, states)) == tensors
    buffers = ("token_prefix", "token_suffix", "complete_text_embeddings")
    assert sum(v.numel() for part in states for k, v in part.items() if not k.endswith(buffers)) == parameters
    model = import_file(method, content, tmp_path, names=NAMES)
    found = model(video)
    if method == "actionclip":
        expected = plain_clip.actionclip_probabilities(*states, video, clip, NAMES, TEMPLATES, heads=8).log()
    elif method == "bike":
        expected = plain_clip.bike_similarities(*states, video, clip, NAMES, heads=8)
        found = found * expected.norm() / found.norm()
    else:
        expected = getattr(plain_clip, f"{method}_logits")(*states, video, clip, NAMES)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
