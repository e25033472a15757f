"""SentencePiece's `.model` files of the unigram kind, for the tokenizers library.

Only what a tokeniser needs is read of the protocol buffer (github.com/google/sentencepiece,
src/sentencepiece_model.proto): pieces with their scores and kinds, the table that normalises characters, and the flags
for white space.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionprompt.weights import tensors
from actionprompt.weights.tokenizer import one_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

PIECES, TRAINER, NORMALIZER = 1, 2, 3
"""Fields of a model."""
NORMAL, UNKNOWN = 1, 2
"""Kinds of a piece."""
UNIGRAM = 1
SPACE = "▁"
"""What stands for a space in a piece."""


def read(path: Path) -> "Backend":
    """A unigram model as the tokenizers library has it, with its own normalisation, and without tokens at the ends.

    Raises:
        ValueError: a file that is damaged or of another kind.
    """
    from tokenizers import Regex, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    tensors.check_text(path)
    try:
        fields = list(_fields(path.read_bytes()))
        pieces = [dict(_fields(value)) for field, value in fields if field == PIECES]
        vocab = [(piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0]) for piece in pieces]
        kinds = [piece.get(3, NORMAL) for piece in pieces]
        trainer, normalizer = (
            dict(_fields(next((value for field, value in fields if field == part), b"")))
            for part in (TRAINER, NORMALIZER)
        )
    except (IndexError, KeyError, struct.error, AttributeError, TypeError, ValueError):
        raise ValueError(f"{path} cannot be read as a SentencePiece model; get it again") from None
    if trainer.get(3, UNIGRAM) != UNIGRAM or UNKNOWN not in kinds:
        raise ValueError(f"{path}: expected a SentencePiece model of the unigram kind; give tokenizer.json instead")
    steps: list[normalizers.Normalizer] = []
    with one_line(f"{path} cannot be read as a SentencePiece model"):
        backend = Backend(models.Unigram(vocab, kinds.index(UNKNOWN), byte_fallback=bool(trainer.get(35, 0))))
        if normalizer.get(2):
            steps.append(normalizers.Precompiled(normalizer[2]))
    if normalizer.get(4, 1):  # spaces at the ends and repeated ones
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    backend.normalizer = normalizers.Sequence(steps)
    scheme = "always" if normalizer.get(3, 1) else "never"
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
    return backend


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message of a protocol buffer; 32 and 64 bits stay bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size, at = _varint(data, at) if kind == 2 else ({5: 4, 1: 8}[kind], at)
        if at + size > len(data):
            raise IndexError
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise IndexError
