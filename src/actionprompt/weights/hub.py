"""Models of the Hugging Face hub: the copy in the local cache, and how it gets there.

The cache has the hub's own layout, so that other programs find what is fetched here: `blobs/<hash>` holds the content
of each file, `snapshots/<commit>/<path>` links to it, `refs/main` names the commit. The hash is the one that the hub
lists: SHA-256 of a large file, git's SHA-1 of a small one. huggingface_hub compares neither with what arrives, and does
not resume a download that an earlier process began; here both is done before a file gets its place in the cache. The
variables of huggingface_hub hold: HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_TOKEN, HF_ENDPOINT.
"""

import contextlib
import hashlib
import io
import os
import re
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionprompt.config import Progress
from actionprompt.files import Notice, replacing, sha256, write_text
from actionprompt.weights.families import FAMILIES, family_of
from actionprompt.weights.tensors import read_json

CONFIGS = ("config.json", "open_clip_config.json")
"""What says how a model is built: in Hugging Face format, and in OpenCLIP's."""
TEXTS = ("preprocessor_config.json", "processor_config.json", "tokenizer_config.json", "vocab.txt")
"""Small files that are taken where they are there; the tokeniser comes in addition."""
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))
"""Forms of a tokeniser, in the order in which they are preferred; a BERT's may be `vocab.txt` alone."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Forms of weights, in the order in which they are preferred; each may be in parts that an index lists."""
OPEN_CLIP_WEIGHTS = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "model.safetensors",
)  # fmt: skip
"""The same of OpenCLIP's format, whose tokeniser is OpenAI's where a model has none of its own."""


class NotThere(ValueError):
    """A model that is not in the local cache and cannot be had from the hub."""


@dataclass(frozen=True)
class Remote:
    """A file as the hub lists it."""

    path: str
    size: int
    hash: str
    """SHA-256 with 64 digits, or git's SHA-1 of the blob with 40."""


def needed(names: Collection[str], *, weights: bool = True) -> list[str]:
    """Of the files of a model those that it is loaded from, the configuration first: in Hugging Face format, else in
    OpenCLIP's; one tokeniser, one form of the weights (none of it with `weights=False`). Empty where there is not
    enough for a model."""
    tokenizer = next((list(form) for form in TOKENIZERS if {*form} <= {*names}), [])
    texts = [name for name in TEXTS if name in names] + tokenizer
    if CONFIGS[0] in names and (tokenizer or "vocab.txt" in names):
        if not weights:
            return [CONFIGS[0], *texts]
        if parts := _one_form(names):
            return [CONFIGS[0], *texts, *parts]
    if CONFIGS[1] in names:
        whole = [name for name in OPEN_CLIP_WEIGHTS if name in names][:1] if weights else []
        if whole or not weights:
            return [CONFIGS[1], *texts, *whole]
    return []


def _one_form(names: Collection[str]) -> list[str]:
    """One of `WEIGHTS`, or all its parts and their index."""
    for whole in WEIGHTS:
        stem, _, suffix = whole.partition(".")
        parts = sorted(name for name in names if re.fullmatch(rf"{stem}-\d+-of-\d+\.{suffix}", name))
        if whole in names:
            return [whole]
        if f"{whole}.index.json" in names and parts and len(parts) == int(re.findall(r"\d+", parts[0])[-1]):
            return [f"{whole}.index.json", *parts]
    return []


def cached(name: str, *, weights: bool = True) -> Path | None:
    """The folder of a model in the local cache, if all that it is loaded from is there. Asks nobody."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = [try_to_load_from_cache(name, config) for config in CONFIGS]
    except HFValidationError:
        return None
    folder = next((Path(config).parent for config in found if isinstance(config, str)), None)
    if folder is None or not needed([path.name for path in folder.iterdir() if path.exists()], weights=weights):
        return None
    return folder


def folder(name: str, *, weights: bool = True, progress: Progress | None = None) -> Path:
    """The folder of a model: that of the local cache, else it is fetched.

    Raises:
        NotThere: neither can be had.
        ValueError: as `get`.
    """
    return cached(name, weights=weights) or get(name, weights=weights, progress=progress)


def get(name: str, *, weights: bool = True, progress: Progress | None = None) -> Path:
    """Fetch the files that a model is loaded from, as the hub has them today, and return their folder in the cache.
    Files that are there are compared with their hash, and fetched again if they differ.

    A download that was cut resumes, also one of an earlier process. `progress` is called with bytes done and in total.
    What is fetched, and how large it is, is said before as a `files.Notice`.

    Raises:
        NotThere: the hub cannot be reached, has no such model or does not give it to this user, or ended the download.
        ValueError: a model of another kind, or a file that arrived with another content than the hub lists.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import WeakFileLock

    with _named(name):
        commit, found = _listing(name)
    cache = Path(constants.HF_HUB_CACHE)
    store = cache / repo_folder_name(repo_id=name, repo_type="model")
    snapshot = store / "snapshots" / commit
    lock = cache / ".locks" / store.name / "actionprompt.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # another process may be fetching the same: then it is there
        if {*CONFIGS} <= {*found}:  # timm has a config.json for the image tower alone next to OpenCLIP's files
            _bring(name, commit, found[CONFIGS[0]], store, lambda done: None)
            if read_json(snapshot / CONFIGS[0]).get("model_type") not in FAMILIES:
                del found[CONFIGS[0]]
        files = _needed(name, found, weights)
        todo = [file for file in files if not _is(snapshot / file.path, file)]
        fetched = [file for file in todo if not _is(store / "blobs" / file.hash, file)]
        total = sum(file.size for file in fetched)
        if fetched:
            warnings.warn(Notice(f"fetching {name} from the hub: {total / 1e6:.1f} MB into {store}"), stacklevel=2)
        before = 0
        for file in files:
            if file in todo:
                _bring(name, commit, file, store, _shifted(progress, before, total))
                before += file.size if file in fetched else 0
            if file.path in CONFIGS:
                _check_kind(name, snapshot / file.path)
        write_text(store / "refs" / "main", commit)
    return snapshot


def copy(source: Path, out: Path, *, weights: bool = True) -> Path:
    """A copy of a model's folder with files in place of links, to take to another machine.

    Raises:
        ValueError: `out` holds something else.
    """
    names = needed([path.name for path in source.iterdir()], weights=weights)
    strange = sorted({path.name for path in out.iterdir()} - {*names}) if out.is_dir() else []
    if strange:
        raise ValueError(f"{out}: expected a new or empty folder, but it holds {strange[0]!r}; give another --out")
    for name in names:
        with replacing(out / name) as temporary:
            shutil.copyfile(source / name, temporary)
    return out


# The hub -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _named(name: str, blob: Path | None = None) -> Iterator[None]:
    """What keeps a model of the hub away, in one line, with how much of a `blob` came; a fault of the disk stays what
    it is."""
    from huggingface_hub.errors import HFValidationError, HTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        yield
    except HFValidationError:
        raise ValueError(
            f"expected a folder or file that is there, or the name of a model on the hub, such as "
            f"google/siglip2-base-patch16-224, got {name!r}"
        ) from None
    except (OSError, HTTPError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if isinstance(error, OfflineModeIsEnabled):
            reason = "HF_HUB_OFFLINE is set"
        elif isinstance(error, RepositoryNotFoundError):
            reason = "the hub has no such model, or not for everyone: then set HF_TOKEN"
        else:
            text = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            reached = isinstance(error, OSError)  # httpx's own errors are of the way there
            reason = text if reached else "not reached: " + re.sub(r"^\[Errno [-\d]+\] ", "", text)
        partial = blob and _partial(blob)
        if partial and partial.exists():
            reason += f"; {partial.stat().st_size / 1e6:.1f} MB of a file are kept, and the next call resumes there"
        raise NotThere(f"cannot get {name!r} from the hub ({reason})") from error


def _listing(name: str) -> tuple[str, dict[str, Remote]]:
    """The commit of a model today, and its files by their paths."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    commit = api.model_info(name).sha
    assert commit is not None
    files = [file for file in api.list_repo_tree(name, revision=commit) if isinstance(file, RepoFile)]
    return commit, {f.path: Remote(f.path, f.size, f.lfs.sha256 if f.lfs else f.blob_id) for f in files}


def _needed(name: str, found: Mapping[str, Remote], weights: bool) -> list[Remote]:
    """The files that a model is loaded from, small ones first."""
    paths = needed(found, weights=weights)
    if not paths:
        raise ValueError(
            f"{name} is no CLIP in Hugging Face format: expected config.json, a tokeniser and model.safetensors or "
            f"pytorch_model.bin, nor in OpenCLIP's: {CONFIGS[1]} and {OPEN_CLIP_WEIGHTS[0]} or {OPEN_CLIP_WEIGHTS[2]}; "
            f"the hub lists {', '.join(sorted(found)) or 'no file'}"
        )
    return [found[path] for path in paths]


def _bring(name: str, commit: str, file: Remote, store: Path, progress: Callable[[int], None]) -> None:
    """Give a file its place in the snapshot, and fetch it if its content is not in the cache."""
    blob = store / "blobs" / file.hash
    if not _is(blob, file):
        with _named(name, blob):
            _fetch(name, commit, file, blob, progress)
    _link(blob, store / "snapshots" / commit / file.path)


def _fetch(name: str, commit: str, file: Remote, blob: Path, progress: Callable[[int], None]) -> None:
    """Download a file, or the rest of it, and give it its place in the cache if it is the one that the hub lists."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars

    disable_progress_bars()  # a library does not print
    partial = _partial(blob)
    partial.parent.mkdir(parents=True, exist_ok=True)
    if partial.exists() and partial.stat().st_size > file.size:
        partial.unlink()
    try:
        with _Counted(partial, progress) as out:
            http_get(
                hf_hub_url(name, file.path, revision=commit), out, resume_size=out.tell(), expected_size=file.size,
                headers={**build_hf_headers(), "Accept-Encoding": "identity"},
            )  # fmt: skip
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk does not say where
            error.filename = str(partial)
        raise
    if not _is(partial, file):
        partial.unlink()
        raise ValueError(
            f"{name}: {file.path} arrived with another content than the hub lists (its hash is not {file.hash[:12]}), "
            f"and was deleted; try again, and if it stays so, do not use the place it comes from (HF_ENDPOINT)"
        )
    partial.replace(blob)


def _partial(blob: Path) -> Path:
    """Where a download grows; the hub's own name for it."""
    return blob.with_name(f"{blob.name}.incomplete")


class _Counted(io.BufferedWriter):
    """A file that is written to at its end, and says how long it is."""

    def __init__(self, path: Path, progress: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self.progress = progress

    def write(self, data: bytes) -> int:  # type: ignore[override]
        written = super().write(data)
        self.progress(self.tell())
        return written


def _shifted(progress: Progress | None, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total) if progress is not None else None


def _is(path: Path, file: Remote) -> bool:
    """Whether a path holds the content of a file of the hub."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if len(file.hash) == 64:
        return sha256(path) == file.hash
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == file.hash


def _link(blob: Path, pointer: Path) -> None:
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # Windows, without the right to make links
        blob.replace(pointer)


def _check_kind(name: str, config: Path) -> None:
    """Before the weights are fetched."""
    found = read_json(config)
    if config.name == CONFIGS[0]:
        family_of(found, name)
        return
    model: Any = found.get("model_cfg")
    for part, field, kind in (
        ("vision_cfg", "timm_model_name", "an image tower of timm"),
        ("text_cfg", "hf_model_name", "a text tower of transformers"),
    ):
        options = model.get(part) if isinstance(model, dict) else None
        if isinstance(options, dict) and options.get(field):
            raise ValueError(f"{name} has {kind}, {options[field]!r}: expected OpenCLIP's own towers; choose another")
