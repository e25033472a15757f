"""The tokeniser of a model folder, as its original has it.

`tokenizer_class` in `tokenizer_config.json` says how a text is cleaned and what stands at its ends; where it is
missing, the family does. The pipeline of `tokenizer.json` is kept as it is, with the cleaning in front.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionprompt.weights import sentencepiece
from actionprompt.weights.assemble import MOST
from actionprompt.weights.tensors import check_file, check_text, read_json
from actionprompt.weights.tokenizer import (
    EOT,
    Tokenizer,
    bert_tokenizer,
    clip_tokenizer,
    normalizer,
    one_line,
    set_ends,
)

MOST_BYTES = 128 << 20
"""Of a `tokenizer.json`; Gemma's and XLM-V's have up to 70 MB."""
SANE_LENGTH = range(2, 100_001)
"""Of `model_max_length`, which some configurations give as 10^30."""
TRIAL = "a Á 1 跑 \U0010ffff"
"""What a tokeniser must be able to write; the last character has no meaning and is in no vocabulary."""


@dataclass(frozen=True)
class Rule:
    """What the class of a tokeniser does around the pipeline of `tokenizer.json`."""

    clean: str | None
    """See `tokenizer.normalizer`."""
    start: str | None
    end: str
    pad: str


CLIP, BERT, OWN = "CLIPTokenizer", "BertTokenizer", "PreTrainedTokenizer"
RULES = {
    "SiglipTokenizer": Rule("canonical", None, "</s>", "</s>"),
    "GemmaTokenizer": Rule("lower", None, "<eos>", "<pad>"),
    "Siglip2Tokenizer": Rule("lower", None, "<eos>", "<pad>"),
    "XLMRobertaTokenizer": Rule(None, "<s>", "</s>", "<pad>"),
}
"""By `tokenizer_class`, with or without `Fast` behind it."""
FAMILIES = {
    "clip": (CLIP,),
    "siglip": ("SiglipTokenizer", "GemmaTokenizer", "Siglip2Tokenizer"),
    "siglip2": ("Siglip2Tokenizer", "GemmaTokenizer"),
    "metaclip_2": ("XLMRobertaTokenizer", "SiglipTokenizer"),  # the smaller ones take mT5's pieces, as SigLIP does
    "altclip": ("XLMRobertaTokenizer",),
    "chinese_clip": (BERT,),
}
"""The classes of each family; the first is that of a folder that names none, if they are alike."""


def read_tokenizer(folder: Path, family: str, *, strip_sep: bool = False, pad: int | None = None) -> Tokenizer:
    """The tokeniser of a folder, of a family in `FAMILIES`.

    The options are for OpenCLIP's format, whose tokenisers are those of "clip", "chinese_clip" (a BERT) and "altclip"
    (an XLM-R): with `strip_sep` (`strip_sep_token` of `tokenizer_kwargs`) a BERT's texts end without `[SEP]`, in whose
    place OpenCLIP writes padding; `pad` is the id of padding where the model's configuration gives it (`pad_id` of
    `text_cfg`, by default 0).

    Raises:
        ValueError: no tokeniser, a damaged one, one of another family, or a vocabulary without its special tokens, of
            more than 2**20 tokens or whose ids are not 0 to n - 1.
    """
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    kind = BERT if strip_sep else _kind(family, config, path)
    if kind == CLIP:
        found = _clip(folder, config)
    elif kind == BERT:
        found = _bert(folder, config, path, strip_sep)
    else:
        found = _as_stated(folder, family, kind, config, path)
    if pad is not None:
        if not 0 <= pad < len(found):
            raise ValueError(f"{folder}: expected the id of padding from 0 to {len(found) - 1}, got {pad}")
        found.pad_token_id = pad
    length = config.get("model_max_length")
    found.max_length = length if type(length) is int and length in SANE_LENGTH else None
    return found


def _kind(family: str, config: dict[str, Any], path: Path) -> str:
    """The class of a tokeniser, a key of `RULES`, `CLIP`, `BERT` or `OWN` (whatever `tokenizer.json` says)."""
    kinds, named = FAMILIES[family], config.get("tokenizer_class")
    if kinds in ((CLIP,), (BERT,)):  # of these the vocabulary is read, and the rest is known
        return kinds[0]
    if named is None and len({RULES[kind] for kind in kinds}) == 1:
        return kinds[0]
    name = str(named).removesuffix("Fast")
    if name in (OWN, "TokenizersBackend"):
        return OWN
    if name not in kinds:
        raise ValueError(
            f"{path}: tokenizer_class: expected {', '.join(kinds)} for a model of type {family}, got {named!r}; copy "
            f"the tokeniser's files from where the weights are from"
        )
    return name


def _token(config: dict[str, Any], key: str, default: str, path: Path) -> str:
    """A special token of a `tokenizer_config.json`, as text or as an object with its content."""
    value = config.get(key)
    value = value.get("content") if isinstance(value, dict) else value
    if not isinstance(value, str | None):
        raise ValueError(f"{path}: {key}: expected a token, got {value!r}")
    return default if value is None else value


def _as_stated(folder: Path, family: str, kind: str, config: dict[str, Any], path: Path) -> Tokenizer:
    """The pipeline of a `tokenizer.json`, with the cleaning of a class in front."""
    source = folder / "tokenizer.json"
    if kind == "SiglipTokenizer" and not source.is_file() and (folder / "spiece.model").is_file():
        source = folder / "spiece.model"
    if not source.is_file() and (pieces := sorted(folder.glob("*.model"))):
        raise ValueError(
            f"{folder}: expected tokenizer.json, got {pieces[0].name} alone; make it once, where transformers and "
            f"sentencepiece are installed: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    rule = RULES[FAMILIES[family][0] if kind == OWN else kind]
    backend = _pieces(source) if source.suffix == ".model" else _pipeline(source)
    with one_line(str(source)):
        own = backend.normalizer
        if kind != OWN:
            backend.normalizer = normalizer(rule.clean, own)
            if getattr(backend.pre_tokenizer, "prepend_scheme", None) == "first":  # not where the cleaning cut a start
                backend.pre_tokenizer.prepend_scheme = "always"
        elif rule.clean is not None and (own is None or own.normalize_str("A").strip("▁ ") != "a"):
            raise ValueError(
                f"expected a tokeniser that lower-cases, as every SigLIP's; if this one is, set tokenizer_class in "
                f"{path.name} to {FAMILIES[family][0]}"
            )
        start = None if rule.start is None else _token(config, "bos_token", rule.start, path)
        end, pad = _token(config, "eos_token", rule.end, path), _token(config, "pad_token", rule.pad, path)
        set_ends(backend, start, end)
        backend.encode(TRIAL)
        return Tokenizer(backend, start=start, end=end, pad=pad, config={"tokenizer_class": f"{OWN}Fast"})


def _pieces(source: Path) -> Any:
    """SigLIP's SentencePiece model, with the tokens that its tokeniser recognises in a text."""
    backend = sentencepiece.read(source)
    backend.add_special_tokens(["</s>", "<unk>"])
    return backend


def _pipeline(source: Path) -> Any:
    """The pipeline of a `tokenizer.json`, parsed once, with the ids 0 to n - 1."""
    from tokenizers import Tokenizer as Backend

    check_file(source)
    if (size := source.stat().st_size) > MOST_BYTES:
        raise ValueError(f"{source}: expected at most {MOST_BYTES >> 20} MB of text, got {size >> 20} MB")
    with one_line(f"{source} cannot be read as a tokeniser"):
        backend = Backend.from_buffer(source.read_bytes())
    num = backend.get_vocab_size()
    if not 1 <= num <= MOST:
        raise ValueError(f"{source}: expected 1 to {MOST} tokens, got {num}")
    if any(backend.id_to_token(index) is None for index in range(num)):
        raise ValueError(f"{source}: expected tokens with the numbers 0 to {num - 1}, each once")
    return backend


def _clip(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """CLIP's, from `tokenizer.json`, else from `vocab.json` and `merges.txt`."""
    if (folder / "tokenizer.json").is_file():
        source = folder / "tokenizer.json"
        found = read_json(source)
        model = found.get("model") or {}
        try:
            vocab, merges = dict(model.get("vocab") or {}), model.get("merges") or []
            for token in found.get("added_tokens") or []:
                vocab.setdefault(token["content"], token["id"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{source}: expected the model and added_tokens of a BPE tokeniser ({error!r})") from None
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        source = folder / "vocab.json"
        vocab = read_json(source)
        check_text(folder / "merges.txt")
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
    else:
        raise ValueError(
            f"{folder}: expected its tokeniser, as tokenizer.json or as vocab.json with merges.txt; copy them from "
            f"where the weights are from"
        )
    _check_ids(vocab, source)
    pad = config.get("pad_token", EOT)
    pad = pad.get("content", EOT) if isinstance(pad, dict) else pad
    with one_line(str(folder)):
        pairs = [(first, second) for first, second in (p if isinstance(p, list) else p.split(" ") for p in merges)]
        return clip_tokenizer(vocab, pairs, pad=pad if isinstance(pad, str) and pad in vocab else EOT)


def _bert(folder: Path, config: dict[str, Any], path: Path, strip_sep: bool) -> Tokenizer:
    """BERT's, of the tokens of `vocab.txt`, one per line, else of those of `tokenizer.json`."""
    source = next((folder / name for name in ("vocab.txt", "tokenizer.json") if (folder / name).is_file()), None)
    if source is None:
        raise ValueError(
            f"{folder}: expected its vocabulary, as vocab.txt or tokenizer.json; copy it from where the weights are "
            f"from"
        )
    check_text(source)
    if source.name == "vocab.txt":
        try:
            lines = source.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{source}: expected UTF-8 text, one token per line ({error})") from None
        vocab: Any = {token: index for index, token in enumerate(lines)}
    else:
        model = read_json(source).get("model")
        vocab = model.get("vocab") if isinstance(model, dict) else None
        vocab = vocab if isinstance(vocab, dict) else {}
    lower, chinese = config.get("do_lower_case", True), config.get("tokenize_chinese_chars", True)
    accents = config.get("strip_accents")
    options = {"do_lower_case": lower, "tokenize_chinese_chars": chinese, "strip_accents": accents or False}
    for key, value in options.items():
        if type(value) is not bool:
            raise ValueError(f"{path}: {key}: expected true or false, got {value!r}")
    _check_ids(vocab, source)
    pad = _token(config, "pad_token", "[PAD]", path)
    with one_line(str(source)):
        return bert_tokenizer(vocab, pad=pad, lower=lower, accents=accents, chinese=chinese, strip_sep=strip_sep)


def _check_ids(vocab: dict[str, Any], source: Path) -> None:
    """Raise ValueError where the ids of a vocabulary are not 0 to n - 1."""
    ids = list(vocab.values())
    if not all(type(value) is int for value in ids) or sorted(ids) != list(range(len(ids))):
        raise ValueError(f"{source}: expected tokens with the numbers 0 to {len(ids) - 1}, each once")
