"""Every family of backbones at published shapes, next to transformers, all tensors random.

    python benchmarks/experiments/parity.py --vocabulary FILE [--only NAME ...]

The comparison is that of the tests: fresh initial values would hide what a loader drops, so norms, biases, scale and
bias are drawn too. In Hugging Face format transformers' model is stored and read by `load_clip`; in OpenCLIP's, its
`CLIPModel` under OpenCLIP's names. Shapes of more than 2 GB take minutes, and up to 10 GB of memory.
"""

import argparse
import copy
import gc
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import test_families as families  # noqa: E402
import test_open_clip as open_clip  # noqa: E402
from actionprompt import records  # noqa: E402
from actionprompt.weights import load_clip, random  # noqa: E402


def clip(*sizes) -> dict:
    config = random._config("clip", *sizes)
    return {**config, "text_config": {**config["text_config"], "eos_token_id": 513}}  # of the small tokeniser


SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}


def so400m(**text) -> dict:
    vision = {**SO400M, "image_size": 384, "patch_size": 14}
    return {"model_type": "siglip", "vision_config": vision, "text_config": {**SO400M, **text, "projection_size": 1152}}


METACLIP2_B16 = random._config(
    "metaclip_2", (224, 16, 768, 12), (512, 12), 512, activation="gelu", vocab_size=901629, eos_token_id=2
)
CHINESE_L14 = random._config("chinese_clip", (224, 14, 1024, 24), (768, 12), 768, vocab_size=21128)
FORMS = families.FORMS
SHAPES = {  # model of the hub whose shape it is: (config.json, the family of its tokeniser)
    "openai/clip-vit-base-patch32": (clip((224, 32, 768, 12), (512, 12), 512), "clip"),
    "openai/clip-vit-base-patch16": FORMS["clip"][1:],
    "openai/clip-vit-large-patch14": (clip((224, 14, 1024, 24), (768, 12), 768), "clip"),
    "facebook/metaclip-2-worldwide-b32": FORMS["metaclip_2"][1:],
    "facebook/metaclip-2-worldwide-b16": (METACLIP2_B16, "metaclip_2"),
    "google/siglip-base-patch16-224": FORMS["siglip"][1:],
    "google/siglip-so400m-patch14-384": (so400m(vocab_size=32000, max_position_embeddings=64), "siglip"),
    "google/siglip2-base-patch16-224": FORMS["siglip2 fixed"][1:],
    "google/siglip2-base-patch16-naflex": FORMS["siglip2 naflex"][1:],
    "BAAI/AltCLIP": FORMS["altclip"][1:],
    "OFA-Sys/chinese-clip-vit-base-patch16": FORMS["chinese_clip"][1:],
    "OFA-Sys/chinese-clip-vit-large-patch14": (CHINESE_L14, "chinese_clip"),
}
OPEN_CLIP = {  # the same of OpenCLIP's format: options of its configuration next to those of ViT-B-16
    "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K": {},
    "apple/DFN2B-CLIP-ViT-B-16": {"quick_gelu": True},
}


def hugging_face(config: dict, tokens: str, folder: Path) -> dict:
    texts = families.texts_of(config["model_type"])
    model = families.write(config, tokens, folder)
    theirs = families.their_outputs(model, texts, folder)
    del model
    gc.collect()
    read = load_clip(folder)
    found = families.differences(theirs, read, texts)
    sizes = {"family": read.family, "parameters": sum(parameter.numel() for parameter in read.parameters())}
    return {**sizes, **{what: float(f"{value:.2g}") for what, value in found.items()}}


def in_openclips_format(options: dict, folder: Path, vocabulary: Path) -> dict:
    shutil.copy(vocabulary, folder / vocabulary.name)
    cfg, image, text, _ = open_clip.PUBLISHED["ViT-B-16"]
    embeddings, logits = open_clip.compare(folder, {**copy.deepcopy(cfg), **options})
    found = {"image and text": embeddings, "logits, relative": logits}
    sizes = {"family": "open_clip", "parameters": round((image + text) * 1e6)}
    return {**sizes, **{what: float(f"{value:.2g}") for what, value in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=[*SHAPES, *OPEN_CLIP], default=[*SHAPES, *OPEN_CLIP])
    parser.add_argument("--vocabulary", type=Path, required=True, help="OpenAI's bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("--out", type=Path, default=Path("results/costs/parity.json"))
    args = parser.parse_args()
    started, found = time.time(), {}
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            if name in SHAPES:
                found[name] = hugging_face(*SHAPES[name], Path(folder))
            else:
                found[name] = in_openclips_format(OPEN_CLIP[name], Path(folder), args.vocabulary)
        print(name, found[name], flush=True)
        gc.collect()
    record = {
        **records.provenance(seed=0, started=started),
        "what": "largest difference from transformers in float32, every tensor random: of embeddings, and of logits "
        "relative to the largest",
        "limits": {"embeddings": 1e-5, "logits": 1e-4},
        "models": found,
    }
    records.write(args.out, record)


if __name__ == "__main__":
    main()
