"""Zip archives of torch.save and torch.jit.save, read as data: no code of a file runs, and no object of it is built.

The pickle in such an archive is a small program for a stack machine. The interpreter below knows numbers, texts, lists,
dictionaries and tensors, and nothing else. A class of TorchScript becomes a dictionary of its attributes, and the code
that the archive holds for it is not looked at. Whatever else the pickle names is refused before it is used.

Sizes that a file states are checked against the bytes that it has, so reading takes memory in proportion to the file.
"""

import math
import mmap
import pickletools
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MOST_PICKLE_BYTES = 4 << 20
"""Of the pickle alone, which holds names and shapes; those of published checkpoints have less than 1 MB."""
MOST_ATTRIBUTES, LONGEST_NAME = 100_000, 1_000
"""Of a TorchScript module with the modules in it; published ones have a few thousand."""
SHARED = 4
"""How many times over the tensors of a file may use its bytes: some models store one table under two names."""
DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
TYPED = ("intlist", "doublelist", "boollist", "tensorlist")
FUNCTIONS = {
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    "torch.jit._pickle.restore_type_tag",
    *(f"torch.jit._pickle.build_{kind}" for kind in TYPED),
}
"""Functions of torch that a pickle may name; what they do is written out in `_call`."""
MAPPINGS = {"collections.OrderedDict", "yacs.config.CfgNode"}
"""Classes that are read as plain dictionaries; the second holds the options of X-CLIP and ViFi-CLIP."""


class Refused(ValueError):
    """Something in a file that is no data, in words that follow "it"."""


class Name(str):
    """A function or class that a pickle names."""


class Attributes(dict[str, Any]):
    """An object of TorchScript."""


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, as torch writes them since version 1.6, or the beginning of one."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04" or zipfile.is_zipfile(path)


def read(path: Path) -> Any:
    """What an archive holds: of torch.save the saved value, of torch.jit.save the tensors by name.

    Raises:
        Refused: it names a function or class that is no tensor, or states sizes that it does not have.
        zipfile.BadZipFile: it is damaged.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        reader = _Reader(archive, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        try:
            found = interpret(bytes(reader.content(reader.entries["data.pkl"])), reader.storage, reader.count)
        except (IndexError, KeyError, TypeError, AttributeError) as error:  # an operation without its operands
            raise Refused("holds a pickle that makes no sense") from error
    return _by_name(found) if isinstance(found, Attributes) else found


class _Reader:
    """The entries of an archive, which lie in the file as they are, and how much of it has been used."""

    def __init__(self, archive: zipfile.ZipFile, file: mmap.mmap) -> None:
        self.file, self.left = file, SHARED * len(file)
        self.entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
        self.storages: dict[str, Tensor] = {}
        if "data.pkl" not in self.entries:
            raise Refused("is a zip archive, but none of torch")
        used = [entry for name, entry in self.entries.items() if name.startswith(("data", "byteorder"))]
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in used):
            raise Refused("holds compressed or encrypted tensors, which torch does not write")
        if sum(entry.file_size for entry in used) > len(file):
            raise Refused("states more bytes of tensors than the file has")
        if self.entries["data.pkl"].file_size > MOST_PICKLE_BYTES:
            raise Refused(f"holds a pickle of more than {MOST_PICKLE_BYTES >> 20} MB next to its tensors")
        order = self.entries.get("byteorder")
        if order is not None and bytes(self.content(order)) != sys.byteorder.encode():
            raise Refused(f"was not written in the {sys.byteorder}-endian order of this machine")

    def content(self, entry: zipfile.ZipInfo) -> memoryview:
        """The bytes of an entry, which have its checksum."""
        lengths = self.file[entry.header_offset + 26 : entry.header_offset + 30]  # of the name and what follows it
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", lengths))
        content = memoryview(self.file)[start : start + entry.file_size]
        if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
            raise Refused(f"is damaged: {entry.filename} has not the checksum that it was written with")
        return content

    def storage(self, kind: str, key: str, numel: int) -> Tensor:
        """The flat tensor of an entry, which is read once."""
        dtype, entry = DTYPES[kind], self.entries.get(f"data/{key}")
        if entry is None or entry.file_size != numel * dtype.itemsize:
            has = "no such entry" if entry is None else f"{entry.file_size} bytes"
            raise Refused(f"states {numel} numbers of {dtype.itemsize} bytes as data/{key}, and has {has}")
        if key not in self.storages:
            flat = torch.frombuffer(self.content(entry), dtype=torch.uint8) if numel else torch.empty(0).byte()
            self.storages[key] = flat.clone() if flat.data_ptr() % 8 else flat
        return self.storages[key].view(dtype)

    def count(self, tensor: Tensor) -> None:
        self.left -= tensor.nbytes
        if self.left < 0:
            raise Refused("uses the same bytes for more tensors than a model does")


def interpret(pickle: bytes, storage: Callable[[str, str, int], Tensor], count: Callable[[Tensor], None]) -> Any:
    """The value of a pickle of torch. `storage` is called with (type, key, numbers), `count` with every tensor.

    Raises:
        Refused: an operation or a name that data does not need.
        ValueError, IndexError, TypeError, KeyError: it is damaged.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for operation, arg, _ in pickletools.genops(pickle):
        match operation.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                break
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(arg)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(operation.name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack[-int(operation.name[-1]) :] = [tuple(stack[-int(operation.name[-1]) :])]
            case "BINPUT" | "LONG_BINPUT":
                memo[arg] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])
            case "APPEND" | "APPENDS":
                items = since_mark() if operation.name == "APPENDS" else [stack.pop()]
                _checked(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = since_mark() if operation.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                if not all(isinstance(key, str | int | float) for key in items[::2]):
                    raise Refused("holds a dictionary with keys that are no names or numbers")
                _checked(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                name = Name(str(arg).replace(" ", "."))
                if name not in FUNCTIONS | MAPPINGS and name not in DTYPES and not name.startswith("__torch__."):
                    raise Refused(f"holds {name}, and reading that would run code")
                stack.append(name)
            case "BINPERSID":
                _, kind, key, _, numel = stack.pop()
                stack.append(storage(_checked(kind, Name), _checked(key, str), _checked(numel, int)))
            case "NEWOBJ" | "REDUCE":
                args, name = stack.pop(), stack.pop()
                made = _call(_checked(name, Name), _checked(args, tuple), new=operation.name == "NEWOBJ")
                if isinstance(made, Tensor):
                    count(made)
                stack.append(made)
            case "BUILD":
                state, target = stack.pop(), stack[-1]
                if type(state) is not dict or not isinstance(target, dict):
                    raise Refused("holds an object that only its own code can restore")
                if isinstance(target, Attributes):  # of a dictionary they are options of its class
                    target.update(state)
            case other:
                raise Refused(f"holds the pickle operation {other}, which no tensors need")
    (value,) = stack
    return value


def _call(name: Name, args: tuple[Any, ...], *, new: bool) -> Any:
    """What a function of torch, or a class, makes of its arguments."""
    if name.startswith("__torch__.") and new and not args:
        return Attributes()
    if name in MAPPINGS and not args:
        return {}
    if new or name not in FUNCTIONS:
        raise Refused(f"holds {name} in a place where it makes no sense")
    if name == "torch._utils._rebuild_tensor_v2":
        return _view(*args[:4])
    return args[0]  # a parameter of its tensor; a list or size of its numbers; a value without the name of its type


def _view(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """A tensor over numbers of a storage, every one of them in it."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Tensor) or len(size) != len(stride) or not all(type(x) is int for x in numbers):
        raise Refused("holds a tensor without a size")
    numel, last = math.prod(size), offset + sum((n - 1) * step for n, step in zip(size, stride))
    if min(numbers) < 0 or numel > len(storage) or (numel and last >= len(storage)):
        raise Refused(
            f"holds a tensor of size {list(size)}, strides {list(stride)} and offset {offset}, which is outside its "
            f"{len(storage)} numbers"
        )
    return storage.as_strided(size, stride, offset) if numel else torch.empty(size, dtype=storage.dtype)


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _by_name(module: Attributes) -> dict[str, Tensor]:
    """The tensors of a TorchScript module and of the modules in it, by their names in its state dict."""
    state: dict[str, Tensor] = {}
    left, waiting = MOST_ATTRIBUTES, [("", module)]
    while waiting:
        prefix, attributes = waiting.pop()
        for name, value in attributes.items():
            left -= 1
            if left < 0 or len(prefix) + len(str(name)) > LONGEST_NAME:
                raise Refused(f"holds modules with more than {MOST_ATTRIBUTES} attributes, or endlessly in each other")
            if isinstance(value, Tensor):
                state[f"{prefix}{name}"] = value
            elif isinstance(value, Attributes):
                waiting.append((f"{prefix}{name}.", value))
    return state
