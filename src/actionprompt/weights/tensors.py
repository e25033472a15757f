"""Files of weights, read as data: safetensors, and what torch.save and torch.jit.save write. No code of a file runs."""

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from actionprompt import files
from actionprompt.weights import archive

POINTER = b"version https://git-lfs"
"""How a file begins that Git LFS leaves in place of the content."""
OPTIONS = (OrderedDict, "yacs.config.CfgNode")
"""Options next to the tensors of X-CLIP and ViFi-CLIP, read as a plain dictionary."""
MOST_TEXT_BYTES = 16 << 20
"""Of a configuration, a vocabulary or a manifest; CLIP's largest, `tokenizer.json`, has 2 MB."""


def read(path: Path) -> Any:
    """The content of a file: tensors by name, or whatever torch.save was given.

    Raises:
        ValueError: no file, an empty or damaged one, a pointer of Git LFS, one that would run code, or one whose
            tensors state other sizes than it has.
    """
    check_file(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if archive.is_zip(path):
            return archive.read(path)
        with torch.serialization.safe_globals([OPTIONS]), warnings.catch_warnings(action="ignore"):
            found = torch.load(path, map_location="cpu", weights_only=True)  # before version 1.6 torch wrote no zip
        if sum(tensor.numel() * tensor.itemsize for tensor in _tensors(found)) > archive.SHARED * path.stat().st_size:
            raise archive.Refused("states more numbers than the file has")
        return found
    except archive.Refused as error:
        raise ValueError(f"{path} cannot be read as weights: it {error}") from None
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as weights: {error}; get the file again") from None
    except Exception as error:  # torch, zipfile and pickletools raise a dozen kinds here
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:100]
        if code := re.search(r"Unsupported global:? (?:GLOBAL )?(\S+)", str(error), re.IGNORECASE):
            reason = f"it holds {code[1]}, and reading that would run code"
            raise ValueError(f"{path} cannot be read as weights: {reason}") from None
        if "Unsupported operand" in str(error):
            reason = "it is a pickle that torch.save did not write, and reading that could run code"
            raise ValueError(f"{path} cannot be read as weights: {reason}") from None
        raise ValueError(
            f"{path} cannot be read as weights: it is damaged, cut or another kind of file ({reason}); get it again"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of at most 16 MB; ValueError as `files.read_json`, and for a pointer of Git LFS."""
    check_text(path)
    return files.read_json(path)


def check_file(path: Path) -> None:
    """Raise ValueError where there is no file, nothing in it, or a pointer of Git LFS."""
    if not path.is_file():
        raise ValueError(f"expected a file, but there is none at {path}; check the path")
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    if not start:
        raise ValueError(f"{path} is empty; get it again")
    if start == POINTER:
        raise ValueError(
            f"{path} is a pointer of Git LFS, not the content; run `git lfs pull` in its folder, or download the file"
        )


def check_text(path: Path) -> None:
    """`check_file`, and ValueError for more than 16 MB."""
    check_file(path)
    if path.stat().st_size > MOST_TEXT_BYTES:
        size = path.stat().st_size / 2**20
        raise ValueError(f"{path}: expected at most {MOST_TEXT_BYTES >> 20} MB of text, got {size:.0f} MB")


def check_finite(where: str | Path, state: Mapping[str, Tensor]) -> None:
    """Raise ValueError naming the first tensor with a NaN or an infinity, or of 8 bits, which need a scale."""
    for name, tensor in state.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        if tensor.itemsize == 1:
            raise ValueError(
                f"{where}: {name}: expected numbers of 16 or 32 bits, got {tensor.dtype}; get weights that are not "
                f"quantised"
            )
        if not torch.stack(torch.aminmax(tensor)).isfinite().all():  # without a mask as large as the tensor
            bad = tensor.numel() - int(tensor.isfinite().sum())
            raise ValueError(
                f"{where}: {name} is not finite: {bad} of its {tensor.numel()} numbers are NaN or infinite; get other "
                f"weights, or train with a lower learning rate"
            )


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in lists and dictionaries, each as often as it is there."""
    waiting, most = [value], archive.MOST_PICKLE_BYTES
    for _ in range(most):
        if not waiting:
            return
        item = waiting.pop()
        if isinstance(item, Tensor):
            if item.layout != torch.strided or item.is_quantized or item.device.type != "cpu":
                raise archive.Refused("holds a tensor that is not stored as plain numbers")
            yield item
        elif isinstance(item, dict | list | tuple):
            waiting.extend(item.values() if isinstance(item, dict) else item)
            if len(waiting) > most:
                break
    raise archive.Refused("holds lists that are endlessly in each other")
