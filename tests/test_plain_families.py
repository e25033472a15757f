"""The plain functions against transformers' own models, with every tensor random."""

import pytest
import torch
import transformers
from safetensors.torch import load_file

import plain_families

NAMES = {
    "clip": "CLIP",
    "metaclip_2": "MetaClip2",
    "siglip": "Siglip",
    "siglip2": "Siglip2",
    "altclip": "AltCLIP",
    "chinese_clip": "ChineseCLIP",
}
IMAGE = {
    "hidden_size": 32,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "patch_size": 8,
    "layer_norm_eps": 2e-3,
}
TEXT = {
    "hidden_size": 24,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "layer_norm_eps": 1e-3,
    "vocab_size": 100,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 50,
}
LENGTHS = torch.tensor([3, 7, 12, 4])
TOLERANCE = 1e-5
"""Of embeddings; of logits relative to the largest."""


def build(family: str):
    """A small model of transformers whose tensors are all random, biases, norms, scale and bias of the score too."""
    text = {**TEXT, "max_position_embeddings": 14 if family == "altclip" else 12}
    image = IMAGE | ({"num_patches": 16} if family == "siglip2" else {"image_size": 32})
    if family == "metaclip_2":
        text["eos_token_id"] = 2
    if family in ("siglip", "siglip2"):
        text["projection_size"] = 32
    extra = {} if family in ("siglip", "siglip2") else {"projection_dim": 20}
    if family == "altclip":
        text["project_dim"] = 28
    config = getattr(transformers, f"{NAMES[family]}Config")(text_config=text, vision_config=image, **extra)
    model = getattr(transformers, f"{NAMES[family]}Model")(config).eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        scales = name.endswith("weight") and tensor.ndim == 1
        spread = tensor[0].numel() ** -0.5 if tensor.ndim > 1 and "embedding" not in name else 0.3
        tensor.data = (1.0 if scales else 3.0 if name == "logit_scale" else 0.0) + spread * noise
    return model


def texts(family: str):
    """Ids [4, 12] of the lengths LENGTHS, each text with its end token, padded on the right: CLIP pads with its end
    token. The end token is not the highest id."""
    end = 2 if family == "metaclip_2" else 50
    ids = torch.full((4, 12), end if family == "clip" else 1)
    generator = torch.Generator().manual_seed(1)
    for row, length in zip(ids, LENGTHS.tolist()):
        row[: length - 1] = torch.randint(60, 98, (length - 1,), generator=generator)
        row[length - 1] = end
    return ids


def call(family: str, pixels, ids) -> dict[str, torch.Tensor]:
    """The arguments of a model of transformers: no mask for SigLIP, which was trained without one."""
    inputs = {"input_ids": ids}
    if family not in ("siglip", "siglip2"):
        inputs["attention_mask"] = (torch.arange(ids.shape[1]) < LENGTHS[:, None]).long()
    if family != "siglip2":
        return {**inputs, "pixel_values": pixels}
    from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

    cut = torch.stack([torch.from_numpy(convert_image_to_patches(image.numpy(), 8)) for image in pixels])
    grid = torch.tensor([[side // 8 for side in pixels.shape[-2:]]] * len(pixels))
    return {
        **inputs,
        "pixel_values": cut,
        "pixel_attention_mask": torch.ones(cut.shape[:2], dtype=torch.long),
        "spatial_shapes": grid,
    }


def differences(family: str, model, state, pixels, ids) -> tuple[float, float, float]:
    """Largest difference of image embeddings, text embeddings, and logits relative to the largest."""
    config, inputs = model.config.to_dict(), call(family, pixels, ids)
    images = {name: value for name, value in inputs.items() if name.startswith(("pixel", "spatial"))}
    words = {name: value for name, value in inputs.items() if name not in images}
    with torch.no_grad():
        theirs = (
            model.get_image_features(**images).pooler_output,
            model.get_text_features(**words).pooler_output,
            model(**inputs).logits_per_image,
        )
        ours = (
            plain_families.encode_images(family, state, config, pixels),
            plain_families.encode_texts(family, state, config, ids, LENGTHS),
            plain_families.logits(family, state, config, pixels, ids, LENGTHS),
        )
    image, text, logits = ((a - b).abs().max().item() for a, b in zip(theirs, ours))
    assert all(a.shape == b.shape for a, b in zip(theirs, ours))
    return image, text, logits / theirs[2].abs().max().item()


@pytest.mark.parametrize("family", plain_families.FAMILIES)
def test_the_plain_functions_compute_what_transformers_does(family):
    model, pixels = build(family), torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    state = Noting(model.state_dict())
    assert max(differences(family, model, state, pixels, texts(family))) <= TOLERANCE
    assert set(state) <= state.read


class Noting(dict):
    """A dictionary that notes what is read: a bias of keys changes no attention, so no result shows that it is read."""

    def __init__(self, *args):
        super().__init__(*args)
        self.read: set[str] = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)


def test_naflex_at_another_size_resizes_its_positions():
    model, pixels = build("siglip2"), torch.randn(3, 3, 24, 40, generator=torch.Generator().manual_seed(2))
    assert max(differences("siglip2", model, model.state_dict(), pixels, texts("siglip2"))) <= TOLERANCE


@pytest.mark.parametrize("published", [True, False])
def test_altclip_of_every_spelling_of_its_layers(published, tmp_path):
    model, pixels = build("altclip"), torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    model.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    if published:
        state = {
            name.replace("vision_model.encoder.layer.", "vision_model.encoder.layers."): state[name] for name in state
        }
    assert max(differences("altclip", model, state, pixels, texts("altclip"))) <= TOLERANCE


def test_clip_of_the_configuration_with_the_wrong_end_token_reads_the_highest_id():
    model, pixels = build("clip"), torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    model.config.text_config.eos_token_id = 2
    model.text_model.eos_token_id = 2
    assert max(differences("clip", model, model.state_dict(), pixels, texts("clip"))) <= TOLERANCE
