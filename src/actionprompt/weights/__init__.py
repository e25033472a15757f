"""Where towers come from: the embedded models, a folder in Hugging Face's or in OpenCLIP's format, OpenAI's `.pt`
files, the hub, a run that tuned them, or random weights of a published shape."""

import re
from pathlib import Path

from actionprompt.backbone import CLIP, TextTower
from actionprompt.config import Progress
from actionprompt.weights import families, given, hub, hugging_face, open_clip, openai, random, run
from actionprompt.weights.tensors import read_json
from actionprompt.weights.tokenizer import Tokenizer
from actionprompt.weights.tokenizer_files import read_tokenizer

AUTO = "auto"
"""The name of the default backbone, which is `DEFAULT`; where the clips are those of ActionWorld, it is `TINY`."""
DEFAULT = "openai/clip-vit-base-patch16"
"""The CLIP that `AUTO` stands for."""
TINY = "tiny"
"""The name of the small CLIP that ships with the package."""
TINY_WARNING = (
    "the backbone `tiny` knows the drawings of ActionWorld alone: its scores say nothing about other video; use "
    "--backbone auto"
)
"""What is said where `is_tiny` and a video that ActionWorld did not draw meet."""
TINY_ZH = "tiny_zh"
"""The name of its Chinese text tower."""
FAMILIES = (*families.FAMILIES, "open_clip")
"""The kinds of checkpoints that `load_clip` reads: `model_type` in Hugging Face format, and OpenCLIP's."""


def load_clip(name: str | Path) -> CLIP:
    """Load a CLIP, or a dual encoder of another of the `FAMILIES`.

    `name` is `"auto"` (`DEFAULT`, from the local cache or the hub), `"tiny"` (the embedded one), a folder in Hugging
    Face's or OpenCLIP's format, an OpenAI `.pt` file (TorchScript archive or plain state dict), a hub name such as
    `openai/clip-vit-base-patch16` or `google/siglip2-base-patch16-224`, a run or model folder of this project whose
    training tuned a tower, or `random:ViT-B/16` for random weights.

    Raises:
        ValueError: the file, folder or name is not a model that can be loaded, with the next step.
    """
    name = str(name)
    if name.startswith(run.PREFIX):
        raise ValueError(
            f"the backbone {name} is the towers of a run, and only you know its folder: give it as the backbone "
            f"(`--backbone RUN`; in Python `backbone=`)"
        )
    if name == TINY or name.startswith("random:"):
        return _inert(name)
    if name == AUTO:
        download(AUTO)
        return _from_folder(hub.folder(DEFAULT), name=DEFAULT)
    download(name)
    path = hugging_face.local_path(name)
    if name.endswith((".pt", ".pth")):
        clip = openai.from_file(path)
    elif run.is_model(path):
        base, sha256 = run.base_of(path)
        return run.tuned(load_named(base, sha256, model=path), path)
    else:
        clip = _from_folder(hugging_face.find_folder(name), name=name)
    if path.exists():
        clip.path = path.absolute()
    return clip


def download(name: str | Path, progress: Progress | None = None) -> None:
    """Fetch a backbone that is a model of the hub and not in the local cache; others are left alone.

    `progress` is called with bytes done and in total; how large it is, is said before as a `files.Notice`.

    Raises:
        ValueError: it cannot be had, with the three ways out.
    """
    name = str(name)
    wanted = DEFAULT if name == AUTO else name
    if name == TINY or name.startswith(("random:", run.PREFIX)) or (name != AUTO and hugging_face.is_path(name)):
        return
    try:
        hub.folder(wanted, progress=progress)
    except hub.NotThere as error:
        raise ValueError(
            f"{error}: connect once, or run `actionprompt weights get {wanted} --out DIR` on a connected machine and "
            f"copy DIR; or give a CLIP that you have, a folder or an OpenAI `.pt` file (`--backbone PATH`; in Python "
            f"`backbone=`); or take `--backbone tiny`, which knows ActionWorld's drawings alone"
        ) from None


def is_tiny(clip: CLIP) -> bool:
    """Whether a CLIP is the embedded one, or made of it by training: no other has its vocabulary."""
    tokenizer = clip.tokenizer
    own = read_tokenizer(_asset("tiny_clip"), "clip")
    return isinstance(tokenizer, Tokenizer) and len(tokenizer) == len(own) and tokenizer.vocab == own.vocab


def load_named(name: str, sha256: str, *, model: str | Path) -> CLIP:
    """Load the CLIP that the manifest of `model` names, with the hash of its weights, which the caller compares.

    A file does not open paths: the name is the embedded model, a hub name or `random:`, or it is looked up by the hash
    among the folders and files that this user has given as a backbone (`weights.given`).

    Raises:
        ValueError: a name that is none of these, or a backbone that cannot be loaded, with the next step.
    """
    if name == TINY or name.startswith("random:"):
        return _inert(name)
    path = given.recall(sha256)
    if path is not None:
        return load_clip(path)
    if name.startswith(run.PREFIX):
        return load_clip(name)
    if hugging_face.is_hub_name(name):
        try:
            folder = hub.folder(name)
        except hub.NotThere as error:
            raise ValueError(
                f"{model}: {error}: connect once, or if you have its backbone, give it (`--backbone PATH`)"
            ) from None
        return _from_folder(folder, name=name)
    raise ValueError(
        f"{model} was trained on a backbone {name!r} with weights {sha256[:12]}, and only you know where it is: give "
        f"its folder or file once (`--backbone PATH`; in Python `backbone=`)"
    )


def load_again(clip: CLIP, sha256: str) -> CLIP:
    """The CLIP that was loaded as `clip`, whose weights had the hash `sha256`, as it was then."""
    return load_clip(clip.path) if clip.path is not None else load_named(clip.name, sha256, model="this model")


def load_chinese_text(name: str | Path) -> TextTower:
    """Load the text tower of a Chinese-CLIP: `"tiny_zh"`, a folder, a hub name such as
    `OFA-Sys/chinese-clip-vit-base-patch16`, or `random:512`, one small layer of random weights with E = 512 for tests.
    The image tower of the checkpoint, where there is one, is not kept."""
    name = str(name)
    if name.startswith("random:"):
        return random.random_chinese_text(name)
    if name == TINY_ZH:
        return hugging_face.text_from_folder(_asset("tiny_clip_zh"), "chinese_clip")
    try:
        folder = hugging_face.find_folder(name)
    except hub.NotThere as error:
        raise ValueError(f"{error}: connect once, or download the folder of a Chinese-CLIP and give its path") from None
    tower = hugging_face.text_from_folder(folder, "chinese_clip")
    if (path := hugging_face.local_path(name)).exists():
        given.remember(given.path_key(name), path)
    return tower


def check_chinese_name(name: str, *, model: str | Path) -> None:
    """Raise ValueError for the name of a Chinese text tower in the manifest of `model` that is a path, unless it is one
    that this user has given before from this directory."""
    if name in ("auto", TINY_ZH) or re.fullmatch(r"random:\d{1,4}", name):
        return
    if hugging_face.is_hub_name(name) and not Path(name).exists():
        return
    if given.recall(given.path_key(name)) is None:
        raise ValueError(
            f"{model} names the Chinese text tower {name!r}, a folder that you have not given, and a model does not "
            f"open paths: if it is yours, load it once with actionprompt.weights.load_chinese_text({name!r})"
        )


def _inert(name: str) -> CLIP:
    """The embedded CLIP, or random weights."""
    if name == TINY:
        return hugging_face.from_folder(_asset("tiny_clip"), name=TINY)
    return random.random_clip(name)


def _from_folder(folder: Path, *, name: str) -> CLIP:
    """The model of a folder in either format; in Hugging Face's, where it holds both."""
    config = folder / open_clip.CONFIG
    if config.is_file() and not _in_hugging_face_format(folder):
        return open_clip.from_folder(folder, name=name)
    return hugging_face.from_folder(folder, name=name)


def _in_hugging_face_format(folder: Path) -> bool:
    """Whether a folder holds all that a model in Hugging Face format is loaded from."""
    path, names = folder / "config.json", hub.needed([path.name for path in folder.iterdir()])
    return path.name in names and read_json(path).get("model_type") in families.FAMILIES


def _asset(folder: str) -> Path:
    path = Path(__file__).parents[1] / "assets" / folder
    if not (path / "config.json").is_file():
        raise ValueError(f"the embedded model {folder} is missing from this installation; install the package again")
    return path
