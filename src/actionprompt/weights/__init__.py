"""Where towers come from: the embedded models, a folder in Hugging Face format, OpenAI's `.pt` files, the hub, a run
that tuned them, or random weights of a published shape."""

from pathlib import Path

from actionprompt.backbone import CLIP, ChineseTextTower
from actionprompt.weights import chinese, hugging_face, openai, random, run

TINY = "tiny"
"""The name of the small CLIP that ships with the package."""
TINY_ZH = "tiny_zh"
"""The name of its Chinese text tower."""


def load_clip(name: str | Path) -> CLIP:
    """Load a CLIP.

    `name` is `"tiny"` (the embedded one), a folder in Hugging Face format, an OpenAI `.pt` file (TorchScript archive or
    plain state dict), a hub name such as `openai/clip-vit-base-patch16`, a run or model folder of this project whose
    training tuned a tower, or `random:ViT-B/16` for random weights.

    Raises:
        ValueError: the file, folder or name is not a CLIP that can be loaded, with the next step.
    """
    name = str(name)
    if name.startswith("random:"):
        return random.random_clip(name)
    if name == TINY:
        return hugging_face.from_folder(_asset("tiny_clip"), name=TINY)
    if name.startswith(run.PREFIX):
        raise ValueError(
            f"the backbone {name} is the towers of a run, and only you know its folder: give it as the backbone "
            f"(`--backbone RUN`; in Python `backbone=`)"
        )
    if name.endswith((".pt", ".pth")):
        return openai.from_file(Path(name))
    if run.is_model(folder := Path(name).expanduser()):
        return run.tuned(load_clip(run.base_of(folder)), folder)
    return hugging_face.from_folder(hugging_face.find_folder(name), name=name)


def load_chinese_text(name: str | Path) -> ChineseTextTower:
    """Load the text tower of a Chinese-CLIP: `"tiny_zh"`, a folder, a hub name such as
    `OFA-Sys/chinese-clip-vit-base-patch16`, or `random:512`, one small layer of random weights with E = 512 for tests.
    The image tower of the checkpoint, where there is one, is not kept."""
    name = str(name)
    if name.startswith("random:"):
        return chinese.random_text_tower(int(name.removeprefix("random:")))
    folder = _asset("tiny_clip_zh") if name == TINY_ZH else hugging_face.find_folder(name)
    return chinese.text_tower_from_folder(folder)


def _asset(folder: str) -> Path:
    path = Path(__file__).parents[1] / "assets" / folder
    if not (path / "config.json").is_file():
        raise ValueError(f"the embedded model {folder} is missing from this installation; install the package again")
    return path
