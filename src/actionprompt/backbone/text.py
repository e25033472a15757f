"""The text tower as open pieces: `tokenize`, `token_embeddings`, `insert`, `add_positions`, `layers`, `final_norm`,
`project`; `encode` is all of them behind the token embeddings.

Letters: K texts, L tokens of a text, D width, E width of the joint space.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from actionprompt import files, store
from actionprompt.backbone.layers import Embedding, Layer, LayerNorm, Linear, TowerShape
from actionprompt.config import Progress, cache_root

TEXTS_AT_ONCE = 256
"""Texts that go through a text tower together where no gradients are needed, so that memory is bounded."""
MOST_KNOWN = 50_000
"""Texts whose embeddings are kept in memory: 100 MB at a width of 512."""
ON_TEXTS: ContextVar[Progress | None] = ContextVar("ON_TEXTS", default=None)
"""Is called with (done, total) while new texts are encoded: thousands of names take minutes on a CPU."""
FEW_TEXTS = 8
"""New texts up to which the cache on disk is not asked: hashing the weights, its key, takes as long as a few texts."""


@runtime_checkable
class Tokenizer(Protocol):
    """What a text tower asks of its tokeniser (`weights.Tokenizer`)."""

    pad_token_id: int
    eos_token_id: int | None
    """The token that ends every text; None where none does."""
    num_start: int
    """Tokens that are set in front of every text."""
    num_end: int
    """Tokens that are set behind it."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, with those in front and behind."""

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where in its text each token stands: (start, end) in characters."""


@dataclass(frozen=True)
class TextPieces:
    """Which pieces a text tower has; the defaults are those of CLIP."""

    is_causal: bool = True
    """A token attends to itself and those before it."""
    readout: Literal["eot", "first", "last"] = "eot"
    """The position that a text is read at: its last token without padding, the first, or the last with padding."""
    fixed_length: bool = False
    """All texts are padded to the context length, and the padding is attended to like words. Otherwise nothing depends
    on padding."""
    norm_first: bool = True
    """As in `Layer`; without it the embeddings have a layer norm of their own, as in BERT."""
    num_types: int = 0
    """Rows of BERT's table of token types, of which the first one is added to every token."""
    first_position: int = 0
    """The row of the table of positions for the first token; RoBERTa's begins at 2."""
    final_norm: bool = True
    hidden_projection: int = 0
    """The width that AltCLIP's text tower is projected to before the joint space, with a bias; 0: none."""
    projection: bool = True
    """A linear projection into the joint space; without it E = D."""
    projection_bias: bool = False


@dataclass(frozen=True)
class TextFeatures:
    """What the text tower gives for K texts."""

    sentence: Float[Tensor, "*K E"]
    """The projected token at `readout`, not L2-normalised."""
    words: Float[Tensor, "*K L D"]
    """All tokens after the final layer norm, not projected; positions from `lengths` on are padding."""
    lengths: Int[Tensor, "*K"]
    """Tokens of each text, with those that the tokeniser sets and without padding."""
    readout: Int[Tensor, "*K"]
    """The position that each text is read at."""


class TextEmbeddings(nn.Module):
    """The tables of tokens and positions; in BERT's kind of tower token types and a layer norm, too."""

    def __init__(self, shape: TowerShape, vocab_size: int, num_positions: int, pieces: TextPieces) -> None:
        super().__init__()
        self.token_embedding = Embedding(vocab_size, shape.width)
        self.position_embedding = Embedding(num_positions, shape.width)
        self.type_embedding = Embedding(pieces.num_types, shape.width) if pieces.num_types else None
        self.norm = nn.Identity() if pieces.norm_first else LayerNorm(shape.width, eps=shape.norm_eps)


class TextTower(nn.Module):
    """A text transformer, with its tokeniser.

    Where padding cannot reach the words, `encode` cuts behind the longest text of a batch: exact, and several times
    cheaper than 77 tokens for class names.
    """

    def __init__(
        self, shape: TowerShape, tokenizer: Tokenizer, *, vocab_size: int, num_positions: int, context_length: int,
        embed_dim: int, pieces: TextPieces,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embeddings = TextEmbeddings(shape, vocab_size, num_positions, pieces)
        self.layers = nn.ModuleList(
            Layer(shape, is_causal=pieces.is_causal, norm_first=pieces.norm_first) for _ in range(shape.num_layers)
        )
        self.final_norm = LayerNorm(shape.width, eps=shape.norm_eps) if pieces.final_norm else nn.Identity()
        self.projection: nn.Module = Linear(shape.width, embed_dim, bias=pieces.projection_bias)
        if not pieces.projection:
            self.projection = nn.Identity()
        elif pieces.hidden_projection:
            hidden = pieces.hidden_projection
            self.projection = nn.Sequential(Linear(shape.width, hidden), Linear(hidden, embed_dim, bias=False))
        self.tokenizer = tokenizer
        self.pieces, self._shape = pieces, shape
        self.width, self.num_heads = shape.width, shape.num_heads
        self.context_length = context_length
        """Most tokens of a text, with those that the tokeniser sets."""
        self.embed_dim = embed_dim
        self._known: dict[str, Tensor] = {}
        self._known_state: list[tuple[int, int]] = []
        self._about: str | None = None
        self._said: set[str] = set()
        self._num_tensors = len(self.state_dict())

    @property
    def device(self) -> torch.device:
        return self.embeddings.token_embedding.weight.device

    @property
    def is_causal(self) -> bool:
        return self.pieces.is_causal

    def tokenize(self, texts: Sequence[str], *, reserve: int = 0) -> Int[Tensor, "K L"]:
        """Token ids, padded to the longest text, or to the context length where texts have a fixed length. A text over
        the context length is an error; `reserve` positions of it are kept for learned tokens that the caller will
        insert."""
        rows = self.tokenizer.encode(texts)
        longest = max(range(len(rows)), key=lambda row: len(rows[row]))
        length, most = len(rows[longest]), self.context_length - reserve
        if length > most:
            and_learned = f" and {reserve} learned ones" if reserve else ""
            text = texts[longest] if len(texts[longest]) <= 100 else f"{texts[longest][:100]}..."
            raise ValueError(
                f"expected texts of at most {most} tokens{and_learned}, got {length} for {text!r}; shorten the text or "
                f"the template (texts are never cut)"
            )
        length = most if self.pieces.fixed_length else length
        padded = [row + [self.tokenizer.pad_token_id] * (length - len(row)) for row in rows]
        return torch.tensor(padded, device=self.device)

    def lengths(self, ids: Int[Tensor, "*K L"]) -> Int[Tensor, "*K"]:
        """The number of tokens of each text: up to its first end-of-text token, where a text is read at that; else up
        to the padding, since a text may hold the name of that token. The token may also be the padding."""
        end, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        if self.pieces.readout == "eot":
            assert end is not None
            return (ids == end).cumsum(-1).eq(0).sum(-1) + 1
        return (ids != pad).flip(-1).cumsum(-1).gt(0).sum(-1) + int(end == pad)

    def token_embeddings(self, ids: Int[Tensor, "*K L"]) -> Float[Tensor, "*K L D"]:
        """Rows of the token table, without positions: what learned context tokens are inserted into."""
        return self.embeddings.token_embedding(ids)

    def insert(self, tokens: Float[Tensor, "*K L D"], context: Float[Tensor, "*K n D"]) -> Float[Tensor, "*K _ D"]:
        """Learned context tokens in front of the words of each text: behind [SOS], where the tokeniser sets one."""
        start = self.tokenizer.num_start
        return torch.cat([tokens[..., :start, :], context, tokens[..., start:, :]], -2)

    def add_positions(self, tokens: Float[Tensor, "*K L D"]) -> Float[Tensor, "*K L D"]:
        """Token embeddings -> the input of the first layer."""
        tables, first = self.embeddings, self.pieces.first_position
        x = tokens + tables.position_embedding.weight[first : first + tokens.shape[-2]]
        return tables.norm(x if tables.type_embedding is None else x + tables.type_embedding.weight[0])

    def key_bias(self, lengths: Int[Tensor, " K"], length: int) -> Float[Tensor, "K 1 1 {length}"] | None:
        """What keeps padding from being attended to, as the `bias` of a layer; None where nothing has to."""
        if self.is_causal or self.pieces.fixed_length:
            return None
        is_padding = torch.arange(length, device=lengths.device) >= lengths[:, None]
        return torch.zeros(is_padding.shape, device=lengths.device).masked_fill(is_padding, -torch.inf)[:, None, None]

    def positions_read(self, lengths: Int[Tensor, "*K"], length: int) -> Int[Tensor, "*K"]:
        """The position at which each text of `length` tokens with padding is read."""
        return {"eot": lengths - 1, "first": 0 * lengths, "last": 0 * lengths + length - 1}[self.pieces.readout]

    def project(self, x: Float[Tensor, "*K D"]) -> Float[Tensor, "*K E"]:
        """Projection of tokens that already went through `final_norm`."""
        return self.projection(x)

    def encode(self, tokens: Float[Tensor, "*K L D"], lengths: Int[Tensor, "*K"], *, cut: bool = True) -> TextFeatures:
        """Token embeddings without positions -> features; `lengths` counts inserted tokens, too. Leading axes are free:
        [B, K, L, D] works too. Without gradients the layers see `TEXTS_AT_ONCE` texts at a time. With `cut=False` the
        padding gets features, too."""
        if self.pieces.fixed_length and tokens.shape[-2] != self.context_length:
            raise ValueError(
                f"expected texts padded to {self.context_length} tokens for this backbone, got {tokens.shape[-2]}; "
                f"`tokenize` pads them, with `reserve` for tokens that are inserted"
            )
        length = int(lengths.max()) if cut and not self.pieces.fixed_length else tokens.shape[-2]
        leading, read = tokens.shape[:-2], self.positions_read(lengths, length)
        tokens = tokens[..., :length, :].flatten(0, -3)
        size = len(tokens) if torch.is_grad_enabled() else TEXTS_AT_ONCE
        groups = zip(tokens.split(size), lengths.flatten().split(size), read.flatten().split(size))
        parts = [self._through_layers(*group) for group in groups]
        sentence, words = (torch.cat(part) if len(parts) > 1 else part[0] for part in zip(*parts))
        return TextFeatures(sentence.unflatten(0, leading), words.unflatten(0, leading), lengths, read)

    def _through_layers(self, tokens: Tensor, lengths: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        x, bias = self.add_positions(tokens), self.key_bias(lengths, tokens.shape[1])
        for layer in self.layers:
            x = layer(x, bias)
        words = self.final_norm(x)
        return self.project(words[torch.arange(len(words), device=words.device), read]), words

    def forward(self, texts: Sequence[str]) -> TextFeatures:
        """Texts -> features."""
        ids = self.tokenize(texts)
        return self.encode(self.token_embeddings(ids), self.lengths(ids))

    @torch.no_grad()
    def sentences(self, texts: Sequence[str]) -> Float[Tensor, "K E"]:
        """`forward(texts).sentence` without gradients, in memory that does not grow with the number of texts. A text is
        encoded once, as long as the weights do not change.

        On a CPU every text is encoded by itself: with others in its batch, the last bits would be others. There the
        embeddings of a frozen tower are kept on disk, too (`config.cache_root`)."""
        if torch.is_autocast_enabled(self.device.type):  # in another precision
            return torch.cat([self(part).sentence for part in in_parts(texts)])
        state = [(parameter.data_ptr(), parameter._version) for parameter in self.parameters()]
        if state != self._known_state or len(self._known) > MOST_KNOWN:
            self._known, self._known_state, self._about = {}, state, None
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if self.device.type == "cpu":
            self._known.update(zip(new, self._one_by_one(new) if new else ()))
        else:
            for number, part in enumerate(in_parts(new)):
                self._known.update(zip(part, self(part).sentence.cpu()))
                _report(number * TEXTS_AT_ONCE + len(part), len(new))
        return torch.stack([self._known[text] for text in texts]).to(self.device)

    def _one_by_one(self, texts: Sequence[str]) -> list[Tensor]:
        """The sentences of texts, from the cache on disk where it is used and they are there."""
        frozen = not any(parameter.requires_grad for parameter in self.parameters())
        # in float32, and no layer has been exchanged for one whose weights the fingerprint would not see
        kinds = [tensor.dtype for tensor in self.state_dict().values()]
        whole = kinds == [torch.float32] * self._num_tensors
        if not (frozen and whole and (len(texts) > FEW_TEXTS or self._about)):
            return [self([text]).sentence[0] for text in texts]
        self._about = self._about or self._fingerprint()
        folder = cache_root() / "texts" / hashlib.sha256(self._about.encode()).hexdigest()[:32]
        ids = self.tokenize(texts)
        tokens = [row[:length] for row, length in zip(ids.tolist(), self.lengths(ids).tolist())]
        keys = [hashlib.sha256(f"{self._about}\n{row}".encode()).digest() for row in tokens]
        found = store.find(folder, keys)
        there = np.flatnonzero(found.part >= 0)
        if found.damaged or (found.unnamed and len(there) < len(texts)):
            self._say(f"{folder}: embeddings of texts are damaged and encoded again")
        sentences = dict(zip(there.tolist(), store.Rows(found.parts, found.part[there], found.row[there]).read()))
        with store.Appender(folder, self._about) as appender:
            writable = True
            for row in range(len(texts)):
                if row in sentences:
                    continue
                sentences[row] = self([texts[row]]).sentence[0]
                _report(row + 1, len(texts))
                try:
                    if writable:
                        appender.add([keys[row]], sentences[row][None].numpy())
                except OSError as error:
                    writable = False
                    text = (
                        f"embeddings of texts cannot be kept in {folder} ({error.strerror or error}); they are encoded "
                        f"every time, ACTIONPROMPT_CACHE names another cache folder"
                    )
                    self._say(text)
        return [sentences[row] for row in range(len(texts))]

    def _say(self, text: str) -> None:
        """A notice, once: a program asks for several lists of texts."""
        if text not in self._said:
            self._said.add(text)
            warnings.warn(text, files.Notice, stacklevel=2)

    def _fingerprint(self) -> str:
        """All that an embedding depends on to the last bit, apart from its tokens."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
        machine = [torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]
        return json.dumps([1, digest.hexdigest(), repr(self._shape), repr(self.pieces), *machine])


def _report(done: int, total: int) -> None:
    progress = ON_TEXTS.get()
    if progress is not None and total > FEW_TEXTS:
        progress(done, total)


def in_parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """`TEXTS_AT_ONCE` texts at a time."""
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        yield texts[start : start + TEXTS_AT_ONCE]
