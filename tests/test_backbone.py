"""Parity of our towers with transformers' own models at full size, and loading from every kind of checkpoint."""

import gzip
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from actionprompt.backbone import CLIP, layers
from actionprompt.weights import load_chinese_text, load_clip, random
from actionprompt.weights.tokenizer import BPE_FILE

TEXTS = ["a video of a person waving", "brushing hair", "x"]
NANO = [name for name in [*random.CONFIGS, *random.OPEN_CLIP] if "nano" in name]


def hf_twin(arch: str):
    """Our random CLIP and a transformers CLIPModel with the same weights."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.initialization import no_init_weights

    clip = load_clip(f"random:{arch}")
    size, patch, layers = clip.image.image_size, clip.image.patch_size, len(clip.image.layers)
    tokens = clip.text.embeddings.token_embedding
    config = CLIPConfig(
        vision_config={
            "image_size": size, "patch_size": patch, "hidden_size": clip.image.width, "num_hidden_layers": layers,
            "intermediate_size": 4 * clip.image.width, "num_attention_heads": clip.image.num_heads,
        },
        text_config={
            "hidden_size": clip.text.width, "num_hidden_layers": len(clip.text.layers), "eos_token_id": 513,
            "intermediate_size": 4 * clip.text.width, "num_attention_heads": clip.text.num_heads,
            "vocab_size": tokens.num_embeddings, "max_position_embeddings": clip.text.context_length,
            "bos_token_id": 512, "pad_token_id": 513,
        },
        projection_dim=clip.embed_dim,
    )  # fmt: skip
    with no_init_weights():
        model = CLIPModel(config).eval()
    names = {
        "image.embeddings.": "vision_model.embeddings.", "image.pre_norm.": "vision_model.pre_layrnorm.",
        "image.layers.": "vision_model.encoder.layers.", "image.post_norm.": "vision_model.post_layernorm.",
        "image.projection.": "visual_projection.", "text.embeddings.": "text_model.embeddings.",
        "text.layers.": "text_model.encoder.layers.", "text.final_norm.": "text_model.final_layer_norm.",
        "text.projection.": "text_projection.", "logit_scale": "logit_scale",
    }  # fmt: skip
    state = {}
    for key, value in clip.state_dict().items():
        prefix = next(p for p in names if key.startswith(p))
        state[names[prefix] + key[len(prefix) :]] = value
    model.load_state_dict(state, strict=True)
    return clip, model


@pytest.mark.parametrize("arch", ["ViT-B/32", "ViT-B/16"])
def test_features_equal_those_of_transformers_at_full_size(arch):
    clip, model = hf_twin(arch)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    ids = torch.full((3, 77), 513)
    short = clip.text.tokenize(TEXTS)
    ids[:, : short.shape[1]] = short
    with torch.no_grad():
        image, text = clip.image(pixels), clip.text(TEXTS).sentence
        hf_image = model.get_image_features(pixel_values=pixels).pooler_output
        hf_text = model.get_text_features(input_ids=ids).pooler_output
    assert image.std() > 0.1
    assert text.std() > 0.1
    assert (image[0] - image[1]).abs().max() > 1e-2
    torch.testing.assert_close(image, hf_image, rtol=0, atol=1e-5)
    torch.testing.assert_close(text, hf_text, rtol=0, atol=1e-5)


def test_chinese_text_equals_transformers_at_full_size(tmp_path, real_data):
    """The published text tower's shapes (RoBERTa-wwm base), with random weights and the published vocabulary."""
    from transformers import BertTokenizerFast, ChineseCLIPConfig, ChineseCLIPModel

    tiny_image = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ChineseCLIPConfig(text_config={"vocab_size": 21128}, vision_config=tiny_image, projection_dim=512)
    torch.manual_seed(0)
    model = ChineseCLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    shutil.copy(real_data / "tokenizer" / "chinese_clip_vocab.txt", tmp_path / "vocab.txt")
    tokenizer = BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"))
    tokenizer.save_pretrained(tmp_path)
    tower = load_chinese_text(tmp_path)
    texts = ["梳头", "骑自行车", "在公园里打太极拳"]
    with torch.no_grad():
        expected = model.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt")).pooler_output
        torch.testing.assert_close(tower(texts).sentence, expected, rtol=0, atol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    with pytest.raises(ValueError, match="at most 512 tokens, got 602"):
        tower(["走" * 600])


def test_a_text_does_not_depend_on_its_batch():
    text = load_clip("random:nano").text
    with torch.no_grad():
        together = text(TEXTS).sentence
        alone = torch.cat([text([t]).sentence for t in TEXTS])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_leading_axes_of_encode_are_free():
    text = load_clip("random:nano").text
    ids = text.tokenize(TEXTS)
    tokens, lengths = text.token_embeddings(ids), text.lengths(ids)
    with torch.no_grad():
        flat = text.encode(tokens, lengths)
        stacked = text.encode(torch.stack([tokens, tokens.flip(0)]), torch.stack([lengths, lengths.flip(0)]))
    torch.testing.assert_close(stacked.sentence[0], flat.sentence)
    torch.testing.assert_close(stacked.sentence[1], flat.sentence.flip(0))
    assert stacked.words.shape[:2] == (2, 3)


def test_attention_bias_masks_and_weights_are_those_of_the_layer():
    clip = load_clip("random:nano")
    layer, x = clip.image.layers[0], torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        hide = torch.zeros(5, 5)
        hide[:, 3:] = -torch.inf
        seen = layer.attend(x, hide)[:, :3]
        torch.testing.assert_close(seen, layer.attend(x[:, :3]))
        torch.testing.assert_close(layer(x, hide, keep=3), layer.feed_forward(seen))
        q, k, v = layer._qkv(x)
        y = layer.attention_weights(x) @ v
        by_hand = x + layer.self_attn.out_proj(y.transpose(1, 2).flatten(2))
        torch.testing.assert_close(by_hand, layer.attend(x))
        causal = clip.text.layers[0]
        weights = causal.attention_weights(x)
        assert weights.triu(1).abs().max() == 0
        torch.testing.assert_close(causal.attend(x, torch.zeros(5, 5)), causal.attend(x))
        assert q.shape == k.shape


@pytest.mark.parametrize("name", NANO)
def test_gradient_checkpointing_keeps_features_and_gradients(name):
    found = []
    for enabled in (False, True):
        clip = load_clip(f"random:{name}")
        clip.set_gradient_checkpointing(enabled)
        image, text = clip.image(torch.ones(1, 3, 32, 32)), clip.text(TEXTS).sentence
        (image.sum() + text.sum()).backward()
        layers = (clip.image.layers[0], clip.text.layers[0])
        found.append([image, text, *(layer.mlp.fc1.weight.grad for layer in layers)])
    for plain, recomputed in zip(*found, strict=True):
        torch.testing.assert_close(plain, recomputed)


# What differs between families


@torch.no_grad()
@pytest.mark.parametrize("name", NANO)
def test_a_frame_token_is_the_same_among_any_leading_axes(name):
    image = load_clip(f"random:{name}").image
    x = torch.randn(2, 3, image.num_prefix + 4, 32, generator=torch.Generator().manual_seed(0))
    tokens = image.frame_token(x)
    assert tokens.shape == (2, 3, 32)
    torch.testing.assert_close(tokens[1, 2], image.frame_token(x[1, 2:])[0])
    assert image.project(tokens).shape == (2, 3, image.embed_dim)
    assert image.patch_tokens(x).shape == (2, 3, 4, 32)
    patches = x.clone()
    patches[..., image.num_prefix :, :] += 1
    assert torch.equal(image.frame_token(patches), tokens) is (image.pieces.pooling == "class")


@torch.no_grad()
def test_the_probe_of_siglip_attends_as_its_attention_weights_say():
    pool = load_clip("random:siglip-nano").image.pool
    x = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(0))
    weights, heads = pool.attention_weights(x), []
    q, k, v = (getattr(pool.attention, f"{part}_proj") for part in "qkv")
    for head in range(4):
        own = slice(8 * head, 8 * head + 8)
        scores = torch.stack([(q(pool.probe)[own] @ k(x[n])[:, own].T) / 8**0.5 for n in range(2)]).softmax(-1)
        torch.testing.assert_close(weights[:, head], scores)
        heads.append(torch.stack([scores[n] @ v(x[n])[:, own] for n in range(2)]))
    read = pool.attention.out_proj(torch.cat(heads, -1))
    torch.testing.assert_close(pool(x), read + pool.mlp(pool.norm(read)))


@torch.no_grad()
@pytest.mark.parametrize("name", NANO)
def test_logits_are_scaled_cosines_and_a_bias_where_there_is_one(name):
    clip = load_clip(f"random:{name}")
    video, text = torch.randn(2, clip.embed_dim), torch.randn(3, clip.embed_dim)
    bias = 0 if clip.logit_bias is None else clip.logit_bias
    torch.testing.assert_close(clip.logits(video, text), clip.logit_scale.exp() * video @ text.T + bias)
    torch.testing.assert_close(clip.score(video @ text.T), clip.logits(video, text))
    assert (clip.logit_bias is not None) is name.startswith("siglip")


@torch.no_grad()
@pytest.mark.parametrize("name", NANO)
def test_learned_tokens_stand_behind_the_start_or_in_front_and_positions_follow_them(name):
    text = load_clip(f"random:{name}").text
    start, fixed = text.tokenizer.num_start, text.pieces.fixed_length
    ids = text.tokenize(TEXTS, reserve=3)
    tokens, lengths = text.token_embeddings(ids), text.lengths(ids)
    context = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0)).expand(len(TEXTS), -1, -1)
    inserted = text.insert(tokens, context)
    assert torch.equal(inserted[:, start : start + 3], context)
    assert torch.equal(inserted[:, start + 3 :], tokens[:, start:])
    assert torch.equal(inserted[:, :start], tokens[:, :start])
    features = text.encode(inserted, lengths + 3)
    expected = {"eot": lengths + 2, "first": 0 * lengths, "last": 0 * lengths + text.context_length - 1}
    assert torch.equal(features.readout, expected[text.pieces.readout])
    read = features.words[torch.arange(len(TEXTS)), features.readout]
    torch.testing.assert_close(text.project(read), features.sentence)
    if fixed:
        with pytest.raises(ValueError, match=rf"expected texts padded to {text.context_length} tokens"):
            text.encode(tokens, lengths)
    else:  # padding reaches nothing
        longer = torch.cat([inserted, torch.randn(len(TEXTS), 5, 32)], 1)
        torch.testing.assert_close(text.encode(longer, lengths + 3, cut=False).sentence, features.sentence)
    with pytest.raises(ValueError, match=rf"at most {text.context_length - 3} tokens and 3 learned ones, got"):
        text.tokenize(["x " * text.context_length], reserve=3)


# Loading


def openai_state(clip) -> dict[str, torch.Tensor]:
    """The weights of one of our CLIPs under the names of OpenAI's files (written from their published module names)."""
    state = {
        "visual.class_embedding": clip.image.embeddings.class_embedding,
        "visual.positional_embedding": clip.image.embeddings.position_embedding.weight,
        "visual.conv1.weight": clip.image.embeddings.patch_embedding.weight,
        "visual.proj": clip.image.projection.weight.T,
        "text_projection": clip.text.projection.weight.T,
        "positional_embedding": clip.text.embeddings.position_embedding.weight,
        "token_embedding.weight": clip.text.embeddings.token_embedding.weight,
        "logit_scale": clip.logit_scale,
    }
    norms = {
        "visual.ln_pre": clip.image.pre_norm,
        "visual.ln_post": clip.image.post_norm,
        "ln_final": clip.text.final_norm,
    }
    for tower, prefix in ((clip.image, "visual."), (clip.text, "")):
        for index, layer in enumerate(tower.layers):
            block, attn = f"{prefix}transformer.resblocks.{index}", layer.self_attn
            parts = (attn.q_proj, attn.k_proj, attn.v_proj)
            state[f"{block}.attn.in_proj_weight"] = torch.cat([part.weight for part in parts])
            state[f"{block}.attn.in_proj_bias"] = torch.cat([part.bias for part in parts])
            norms |= {f"{block}.attn.out_proj": attn.out_proj, f"{block}.ln_1": layer.layer_norm1}
            norms |= {f"{block}.ln_2": layer.layer_norm2, f"{block}.mlp.c_fc": layer.mlp.fc1}
            norms[f"{block}.mlp.c_proj"] = layer.mlp.fc2
    for name, module in norms.items():
        state |= {f"{name}.weight": module.weight, f"{name}.bias": module.bias}
    return {key: value.detach().clone() for key, value in state.items()}


class Archive(nn.Module):
    """A module tree with given parameter names, to be scripted: what OpenAI's TorchScript files look like inside."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for key, value in state.items():
            module = self
            *path, leaf = key.split(".")
            for part in path:
                if not hasattr(module, part):
                    module.add_module(part, nn.Module())
                module = getattr(module, part)
            module.register_parameter(leaf, nn.Parameter(value))
        self.register_buffer("input_resolution", torch.tensor(224))
        self.register_buffer("context_length", torch.tensor(77))
        self.register_buffer("vocab_size", torch.tensor(49408))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture(scope="module")
def openai_files(tmp_path_factory, request):
    """A full-size ViT-B/32 in OpenAI's two formats, half precision as published, with the real vocabulary."""
    real_data = request.getfixturevalue("real_data")
    folder = tmp_path_factory.mktemp("openai")
    clip = load_clip("random:ViT-B/32")
    state = {key: value.half() for key, value in openai_state(clip).items()}
    torch.jit.script(Archive(state)).save(folder / "ViT-B-32.pt")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, folder / "plain.pt")
    shutil.copy(real_data / "tokenizer" / BPE_FILE, folder / BPE_FILE)
    return folder, clip


@pytest.mark.parametrize("name", ["ViT-B-32.pt", "plain.pt"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openai_files_load(openai_files, name):
    folder, original = openai_files
    clip = load_clip(folder / name)
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(clip.image(pixels), original.image(pixels), rtol=0, atol=5e-3)  # stored in fp16
    # ids published with CLIP: simple_tokenizer("a diagram") is 49406 320 22697 49407
    assert clip.text.tokenize(["a diagram"])[0].tolist() == [49406, 320, 22697, 49407]
    assert clip.text.tokenize(["A  Diagram"])[0].tolist() == [49406, 320, 22697, 49407]
    assert clip.name == str(folder / name)


def test_a_hugging_face_folder_loads_and_misses_nothing(tmp_path):
    import json

    from safetensors.torch import load_file, save_file

    _, model = hf_twin("nano")
    clip = load_clip("random:nano")
    model.save_pretrained(tmp_path)
    clip.text.tokenizer.save(tmp_path)
    processor = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    loaded = load_clip(tmp_path)
    assert loaded.pixels.mean == (0.5, 0.5, 0.5)
    assert loaded.pixels.std == (0.25, 0.25, 0.25)
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = model.get_image_features(pixel_values=pixels).pooler_output
        torch.testing.assert_close(loaded.image(pixels), expected)
    state = load_file(tmp_path / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights are missing from the checkpoint, the first is \['image.proj"):
        load_clip(tmp_path)


def test_every_wrong_name_is_answered_with_the_next_step(tmp_path):
    with pytest.raises(ValueError, match="expected random: and one of ViT-B/32"):
        load_clip("random:RN50")
    with pytest.raises(ValueError, match=r"no file .*missing.pt; check the path"):
        load_clip(tmp_path / "missing.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"junk.pt cannot be read as weights"):
        load_clip(tmp_path / "junk.pt")
    torch.save({"visual.layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "rn50.pt")
    with pytest.raises(ValueError, match="is a CLIP with a ResNet; take a ViT-B or ViT-L file"):
        load_clip(tmp_path / "rn50.pt")
    with pytest.raises(ValueError, match=r"expected a model folder with config.json"):
        load_clip(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        ValueError, match=r"expected a model of type clip, metaclip_2, .* but .* is 'bert'; choose another checkpoint"
    ):
        load_clip(tmp_path)
    with pytest.raises(
        ValueError, match=r"cannot get 'openai/no-such-clip' from the hub .*: connect once, or run .*--backbone tiny"
    ):
        load_clip("openai/no-such-clip")


def test_text_is_never_cut_and_images_have_one_size(as_users_call):
    clip = load_clip("random:nano")
    with pytest.raises(ValueError, match=r"at most 128 tokens, got 202 for 'waaaa.*never cut"):
        clip.text(["short", "w" + "a" * 199])
    with pytest.raises(ValueError, match=r"expected images of 32 x 32 pixels for this backbone, got 32 x 48"):
        clip.image(torch.zeros(1, 3, 32, 48))


def test_the_vocabulary_is_the_published_one(real_data):
    lines = gzip.decompress((real_data / "tokenizer" / BPE_FILE).read_bytes()).decode().split("\n")
    assert len(lines[1 : 49152 - 256 - 2 + 1]) == 48894


def test_the_fingerprint_follows_the_weights():
    clip = load_clip("random:nano")
    before = clip.fingerprint()
    assert load_clip("random:nano").fingerprint() == before
    with torch.no_grad():
        clip.logit_scale += 1e-6
    assert clip.fingerprint() != before


@pytest.mark.parametrize(
    "changed",
    [
        {"image": {"activation": "gelu"}}, {"text": {"norm_eps": 1e-6}}, {"image_pieces": {"pooling": "mean"}},
        {"text_pieces": {"is_causal": False}}, {"text_pieces": {"readout": "last"}},
    ],
    ids=str,
)  # fmt: skip
def test_the_fingerprint_tells_towers_of_equal_weights_apart(changed):
    clip = load_clip("random:nano")
    ((part, fields),) = changed.items()
    shape = replace(clip.shape, **{part: replace(getattr(clip.shape, part), **fields)})
    other = CLIP(shape, clip.tokenizer, name="other")
    other.load_state_dict(clip.state_dict())
    assert other.fingerprint() != clip.fingerprint()


@pytest.mark.parametrize(("causal", "masked"), [(False, False), (True, False), (False, True)])
def test_attention_in_bf16_is_that_of_float32_and_keeps_its_type(causal, masked):
    q, k, v = torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(0)).unbind()
    bias = torch.randn(9, 9, generator=torch.Generator().manual_seed(1)) if masked else None
    mask = bias if not causal else torch.full((9, 9), -torch.inf).triu(1)
    scores = q @ k.mT / 8**0.5 + (0 if mask is None else mask)
    expected = scores.softmax(-1) @ v
    half = [x.bfloat16().requires_grad_() for x in (q, k, v)]
    with torch.autocast("cpu", torch.bfloat16):
        y = layers.attention(*half, bias.bfloat16() if masked else None, is_causal=causal)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, atol=3e-2, rtol=0)
    y.float().square().sum().backward()
    assert all(x.grad.dtype == torch.bfloat16 and x.grad.abs().sum() > 0 for x in half)


def test_a_text_is_encoded_once_as_long_as_the_weights_do_not_change(monkeypatch):
    text, encoded = load_clip("random:nano").text, []
    forward = type(text).forward
    monkeypatch.setattr(type(text), "forward", lambda self, texts: encoded.extend(texts) or forward(self, texts))
    first = text.sentences(["a", "b", "a"])
    assert torch.equal(text.sentences(["b", "a", "c"])[:2], first[[1, 0]])
    assert encoded == ["a", "b", "c"]
    with torch.no_grad():
        text.projection.weight.mul_(2)
    torch.testing.assert_close(text.sentences(["a"]), 2 * first[:1])
    text.load_state_dict(load_clip("random:nano").text.state_dict())
    torch.testing.assert_close(text.sentences(["a"]), first[:1])
    assert encoded == ["a", "b", "c", "a", "a"]
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(text.sentences(["a"]).float(), first[:1]), "another precision is another embedding"
    monkeypatch.setattr("actionprompt.backbone.text.MOST_KNOWN", 0)
    text.sentences(["a"])
    assert encoded[-2:] == ["a", "a"]
