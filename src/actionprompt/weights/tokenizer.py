"""CLIP's tokeniser, from a vocabulary and its merges, over the tokenizers library."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"
"""OpenAI's merges, as published."""
SOS, EOT = "<|startoftext|>", "<|endoftext|>"


class Tokenizer:
    """CLIP's lower-casing byte-level BPE (Radford et al., 2021), of a vocabulary and its merges."""

    def __init__(self, vocab: dict[str, int], merges: Sequence[tuple[str, str]], *, pad: str = EOT) -> None:
        from tokenizers import Regex, models, normalizers, pre_tokenizers, processors
        from tokenizers import Tokenizer as Backend

        missing = [token for token in (SOS, EOT, pad) if token not in vocab]
        if missing:
            raise ValueError(f"expected the vocabulary of a CLIP, but it lacks {', '.join(missing)}")
        self.bos_token_id, self.eos_token_id, self.pad_token_id = vocab[SOS], vocab[EOT], vocab[pad]
        self.vocab, self.merges = vocab, list(merges)
        pieces = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
        bpe = models.BPE(vocab, self.merges, end_of_word_suffix="</w>", unk_token=EOT, continuing_subword_prefix="")
        backend = Backend(bpe)
        backend.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(pieces), "removed", invert=True), pre_tokenizers.ByteLevel(False)]
        )
        ends = ((EOT, self.eos_token_id), (SOS, self.bos_token_id))
        backend.post_processor = processors.RobertaProcessing(*ends, trim_offsets=False, add_prefix_space=False)
        backend.add_special_tokens([SOS, EOT])
        self.backend = backend

    def __len__(self) -> int:
        return len(self.vocab)

    def __deepcopy__(self, memo: Any) -> "Tokenizer":
        return self  # it never changes

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, with SOS and EOT."""
        return [encoding.ids for encoding in self.backend.encode_batch(list(texts))]

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where in its text each token stands: (start, end) in characters."""
        return [encoding.offsets for encoding in self.backend.encode_batch(list(texts))]

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text as strings, with SOS and EOT."""
        return self.backend.encode(text).tokens

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, which Hugging Face's libraries read too."""
        self.backend.save(str(folder / "tokenizer.json"))
        named = {"bos_token": SOS, "eos_token": EOT, "pad_token": EOT, "unk_token": EOT}
        config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **named}
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def bpe_tokenizer(merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """The tokeniser of a list of merges, ids in OpenAI's order; with none, one token per byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves, as in GPT-2
    hidden = [byte for byte in range(256) if byte not in shown]
    alphabet = [chr(byte) for byte in shown] + [chr(256 + place) for place in range(len(hidden))]
    words = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in merges]
    return Tokenizer({word: index for index, word in enumerate([*words, SOS, EOT])}, merges)
