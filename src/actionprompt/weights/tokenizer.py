"""Tokenisers of every family: a pipeline of the tokenizers library, and the tokens at the ends of a text."""

import re
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from actionprompt import files

BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"
"""OpenAI's merges, as published."""
SOS, EOT = "<|startoftext|>", "<|endoftext|>"
BERT_ENDS = ("[CLS]", "[SEP]")
BERT_SPECIAL = ("[PAD]", "[UNK]", *BERT_ENDS)
"""What the vocabulary of a BERT must hold."""


class Tokenizer:
    """Texts -> token ids, without padding.

    `num_start` tokens (0 or 1; the first is `bos_token_id`) stand in front of each text, `num_end` behind it;
    `eos_token_id` is the one that ends a text, None where nothing does. `max_length` is the longest text that the
    tokeniser's configuration allows, None where it says nothing.
    """

    def __init__(
        self, backend: Any, *, start: str | None, end: str | None, pad: str, config: dict[str, Any],
        max_length: int | None = None,
    ) -> None:  # fmt: skip
        """Of a pipeline that sets `start` and `end` itself (`set_ends`); `config` is what `save` adds to the names of
        the special tokens in `tokenizer_config.json`."""
        missing = [token for token in (start, end, pad) if token is not None and backend.token_to_id(token) is None]
        if missing:
            raise ValueError(f"expected a vocabulary with {', '.join(missing)}, but it lacks them")
        self.backend, self.config, self.max_length = backend, config, max_length
        self.num_start, self.num_end = int(start is not None), int(end is not None)
        self.bos_token_id: int | None = None if start is None else backend.token_to_id(start)
        self.eos_token_id: int | None = None if end is None else backend.token_to_id(end)
        self.pad_token_id: int = backend.token_to_id(pad)

    def __len__(self) -> int:
        return self.backend.get_vocab_size()

    def __deepcopy__(self, memo: Any) -> "Tokenizer":
        return self  # it never changes

    @cached_property
    def vocab(self) -> dict[str, int]:
        """The tokens, in the order of their ids."""
        found: dict[str, int] = self.backend.get_vocab()
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _encodings(self, texts: Sequence[str]) -> list[Any]:
        for text in texts:
            try:
                text.encode()
            except UnicodeEncodeError:  # a lone surrogate
                raise ValueError(f"expected text in Unicode, got {text!r}; correct its encoding") from None
        with one_line("these texts cannot be tokenised"):
            return self.backend.encode_batch(list(texts))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, with what starts and ends it."""
        return [encoding.ids for encoding in self._encodings(texts)]

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where in its text, as it was given, each token stands: (start, end) in characters."""
        return [encoding.offsets for encoding in self._encodings(texts)]

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text as strings, with what starts and ends it."""
        return self._encodings([text])[0].tokens

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, which Hugging Face's libraries read too."""
        files.write_text(folder / "tokenizer.json", self.backend.to_str(pretty=True))
        is_bert = self.config["tokenizer_class"] == "BertTokenizer"
        start, end = ("cls_token", "sep_token") if is_bert else ("bos_token", "eos_token")
        ids = {start: self.bos_token_id, end: self.eos_token_id, "pad_token": self.pad_token_id}
        named = {key: self.backend.id_to_token(index) for key, index in ids.items() if index is not None}
        if (unknown := getattr(self.backend.model, "unk_token", None)) is not None:
            named["unk_token"] = unknown
        length = {} if self.max_length is None else {"model_max_length": self.max_length}
        files.write_json(folder / "tokenizer_config.json", {**self.config, **length, **named}, indent=2)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn what the tokenizers library raises, `Exception` itself and panics that are none, into a ValueError."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"{what}: {reason}") from None


def set_ends(backend: Any, start: str | None, end: str | None) -> Any:
    """`backend`, with these tokens at the ends of a text, each once, whatever it has set there; it cuts and pads no
    text and gives the same tokens each time."""
    from tokenizers import models, processors

    backend.no_truncation()
    backend.no_padding()
    if isinstance(backend.model, models.BPE) and backend.model.dropout is not None:
        backend.model.dropout = None
    ends = {token: backend.token_to_id(token) for token in (start, end) if token is not None}
    missing = [token for token, index in ends.items() if index is None]
    if missing:
        raise ValueError(f"expected a vocabulary with {', '.join(missing)}, but it lacks them")
    single = [*([start] if start else []), "$A", *([end] if end else [])]
    backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=list(ends.items()))
    return backend


# CLIP -----------------------------------------------------------------------------------------------------------------


def clip_tokenizer(vocab: dict[str, int], merges: Sequence[tuple[str, str]], *, pad: str = EOT) -> Tokenizer:
    """CLIP's lower-casing byte-level BPE (Radford et al., 2021), of a vocabulary and its merges."""
    from tokenizers import Regex, models, normalizers, pre_tokenizers, processors
    from tokenizers import Tokenizer as Backend

    missing = [token for token in (SOS, EOT, pad) if token not in vocab]
    if missing:
        raise ValueError(f"expected the vocabulary of a CLIP, but it lacks {', '.join(missing)}")
    pieces = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    bpe = models.BPE(vocab, list(merges), end_of_word_suffix="</w>", unk_token=EOT, continuing_subword_prefix="")
    backend = Backend(bpe)
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pieces), "removed", invert=True), pre_tokenizers.ByteLevel(False)]
    )
    ends = ((EOT, vocab[EOT]), (SOS, vocab[SOS]))
    backend.post_processor = processors.RobertaProcessing(*ends, trim_offsets=False, add_prefix_space=False)
    backend.add_special_tokens([SOS, EOT])
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    return Tokenizer(backend, start=SOS, end=EOT, pad=pad, config=config)


def bpe_tokenizer(merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """CLIP's tokeniser of a list of merges, ids in OpenAI's order; with none, one token per byte."""
    alphabet = _bytes()
    words = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in merges]
    return clip_tokenizer({word: index for index, word in enumerate([*words, SOS, EOT])}, merges)


def _bytes() -> list[str]:
    """The characters that stand for bytes in GPT-2's tokeniser, in its order: those that show, then the others."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
    return [chr(byte) for byte in shown] + [chr(256 + place) for place in range(256 - len(shown))]


# BERT -----------------------------------------------------------------------------------------------------------------


def bert_tokenizer(
    vocab: dict[str, int], *, pad: str = "[PAD]", lower: bool = True, accents: bool | None = None, chinese: bool = True,
    strip_sep: bool = False, max_length: int | None = None,
) -> Tokenizer:  # fmt: skip
    """BERT's WordPiece (Devlin et al., 2019), of a vocabulary: `[CLS] A [SEP]`, or `[CLS] A` with `strip_sep`.

    With `lower`, letters are lower-cased; with `accents` (None: as `lower`), accents are dropped; with `chinese`, each
    CJK character is a word.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, normalizers, pre_tokenizers

    missing = [token for token in BERT_SPECIAL if token not in vocab]
    if missing:
        raise ValueError(f"expected the vocabulary of a BERT, but it lacks {', '.join(missing)}")
    backend = Backend(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens([token for token in (*BERT_SPECIAL, "[MASK]") if token in vocab])
    start, end = BERT_ENDS[0], None if strip_sep else BERT_ENDS[1]
    options = {"do_lower_case": lower, "strip_accents": accents, "tokenize_chinese_chars": chinese}
    config = {"tokenizer_class": "BertTokenizer", **options}
    return Tokenizer(set_ends(backend, start, end), start=start, end=end, pad=pad, config=config, max_length=max_length)


# Cleaning -------------------------------------------------------------------------------------------------------------


def normalizer(clean: str | None, then: Any = None) -> Any:
    """What is done to a text first, `then` what its pipeline does; steps of the tokenizers library, which keep track of
    where each character came from.

    `clean` is `"lower"`, as in SigLIP 2, `"canonical"`, as in SigLIP: no case, none of Python's `string.punctuation`
    and single spaces (`canonicalize_text` in google-research/big_vision, with Python's `str.lower`), or None.
    """
    from tokenizers import Regex, normalizers

    steps = [] if then is None else [then]
    if clean == "lower":
        steps = [normalizers.Lowercase(), *steps]
    elif clean == "canonical":
        final = r"\p{Cased}\p{Case_Ignorable}*\KΣ(?!\p{Case_Ignorable}*\p{Cased})"  # a sigma at the end of a word
        steps = [
            normalizers.Replace("▁", " "),
            normalizers.Replace(Regex(final), "ς"),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
            normalizers.Replace(Regex(r"[\s\x1c-\x1f]+"), " "),  # what Python takes for white space
            normalizers.Strip(),
            *steps,
        ]
    return normalizers.Sequence(steps)


# Nano -----------------------------------------------------------------------------------------------------------------


def nano_tokenizer(family: str, *, max_length: int | None = None) -> Tokenizer:
    """A small tokeniser with the rules of a family, for models of random weights: one token per byte, or per character
    for Chinese-CLIP, so that any text can be written."""
    if family == "clip":
        found = bpe_tokenizer([])
        found.max_length = max_length
        return found
    if family == "chinese_clip":
        letters = [chr(code) for code in (*range(0x21, 0x7F), *range(0x4E00, 0x9FA6))]  # fewer than Chinese-CLIP's
        words = [*BERT_SPECIAL, "[MASK]", *letters, *(f"##{letter}" for letter in letters[:94])]
        return bert_tokenizer({word: index for index, word in enumerate(words)}, max_length=max_length)
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, normalizers, pre_tokenizers

    start, end, pad = None, "</s>", "<pad>"
    if family == "siglip2":  # as Gemma's: bytes where it has no piece
        end, special = "<eos>", ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
        words = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
        ids = {word: index for index, word in enumerate(words)}
        backend = Backend(models.BPE(ids, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        backend.normalizer = normalizer("lower", normalizers.Replace(" ", "▁"))
        backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    elif family in ("siglip", "metaclip_2", "altclip"):
        special = ["<pad>", "</s>", "<unk>"] if family == "siglip" else ["<s>", "<pad>", "</s>", "<unk>"]
        backend = Backend(models.BPE({word: index for index, word in enumerate([*special, *_bytes()])}, []))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        if family == "siglip":
            pad, backend.normalizer = "</s>", normalizer("canonical")
        else:
            start = "<s>"
    else:
        raise ValueError(f"expected a family of tokenisers, got {family!r}")
    backend.add_special_tokens(special)
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    return Tokenizer(set_ends(backend, start, end), start=start, end=end, pad=pad, config=config, max_length=max_length)
