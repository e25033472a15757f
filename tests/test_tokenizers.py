"""Tokenisers of every family against transformers' own classes, on small vocabularies trained here; the damaged, the
small ones for random weights, and where tokens stand in their text."""

import gzip
import json
import re
import shutil
import string
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Regex, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from actionprompt.weights import tokenizer_files
from actionprompt.weights.tokenizer import BPE_FILE, Tokenizer, bert_tokenizer, bpe_tokenizer, nano_tokenizer
from actionprompt.weights.tokenizer_files import read_tokenizer
from hubs import change

LABELS = sorted((Path(tokenizer_files.__file__).parents[1] / "datasets" / "labels").glob("*.tsv"))
CORPUS = [
    "a video of a person running a marathon.", "playing guitar in the park", "brush hair, brush teeth", "horse riding",
    "Tai chi at dawn", "a naïve café in Zürich", "跑步 和 骑马 的 视频", "Бег и танцы", "ΟΔΟΣ και δρόμος", "don't!",
    "a photo of two dogs (playing)", "walking, jumping, swimming; climbing?", "the horse is riding away at 3 o'clock",
]  # fmt: skip
HARD = [
    "Running!", "running", "brush_hair", "HORSE riding", "  two  spaces ", "naïve café", "nai\u0308ve cafe\u0301",
    "跑步", "a跑步b", "play (guitar)", "😀 smile 👩\u200d👩\u200d👧", "don't", "", " ", "line\nbreak",
    "tab\tand\r\nmore", "zero\u200bwidth\ufeff", "ＦＵＬＬ，ｗｉｄｔｈ！", "x" * 300, "Zürich " * 60, "ΟΔΟΣ",
    "bell\x07 del\x7f unit\x1fsep", "3,000.5 km", "▁under▁", "¿qué? — «à»", "a </s> b", "[MASK] it", "!!!",
    "no\u00a0break", "ΑΣ, Σ'Α", "İstanbul ẞ",
]  # fmt: skip
"""Case, punctuation, white space, accents, scripts, control characters, long words and special tokens in a text."""


def canonicalize(text: str) -> str:
    """What transformers' SiglipTokenizer does to a text before SentencePiece sees it."""
    text = text.replace("▁", " ").lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", text).strip()


# Folders as transformers writes them ----------------------------------------------------------------------------------


def pieces(special: list[str]) -> list[tuple[str, float]]:
    """A unigram vocabulary of the corpus, as SentencePiece would have it."""
    learner = Backend(models.Unigram())
    learner.normalizer = normalizers.NFKC()
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    learner.train_from_iterator([*CORPUS, *(text.lower() for text in CORPUS)], trainer)
    return [(piece, score) for piece, score in json.loads(learner.to_str())["model"]["vocab"]]


def merges(learner: Backend, trainer: trainers.BpeTrainer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    learner.train_from_iterator([*CORPUS, *(text.lower() for text in CORPUS)], trainer)
    model = json.loads(learner.to_str())["model"]
    return model["vocab"], [
        tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in model["merges"]
    ]


def clip(folder: Path) -> Any:
    plain = nano_tokenizer("clip")
    letters = list(plain.vocab)[:512]
    learner = Backend(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = plain.backend.normalizer, plain.backend.pre_tokenizer
    ends = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700, end_of_word_suffix="</w>", special_tokens=[*letters, *ends], show_progress=False
    )
    return saved(transformers.CLIPTokenizer(*merges(learner, trainer)), folder)


def siglip2(folder: Path) -> Any:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    learner = Backend(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    learner.normalizer, learner.pre_tokenizer = (
        normalizers.Replace(" ", "▁"),
        pre_tokenizers.Split("▁", "merged_with_next"),
    )
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))], show_progress=False
    )
    vocab, pairs = merges(learner, trainer)
    return saved(transformers.Siglip2Tokenizer(vocab, pairs, add_eos_token=True, padding_side="right"), folder)


def gemma(folder: Path) -> Any:
    """A fixed-size SigLIP 2, which names Gemma's class and leaves lower-casing to whoever reads it."""
    theirs = siglip2(folder)
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.save(str(folder / "tokenizer.json"))
    change(folder / "tokenizer_config.json", tokenizer_class="GemmaTokenizerFast")
    return theirs


def xlm(folder: Path) -> Any:
    vocab = pieces(["<s>", "<pad>", "</s>", "<unk>"])
    return saved(transformers.XLMRobertaTokenizer(vocab=[*vocab, ("<mask>", 0.0)], model_max_length=512), folder)


def bert(folder: Path, **options: Any) -> Any:
    learner = Backend(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer, learner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    learner.train_from_iterator(CORPUS, trainer)
    return saved(transformers.BertTokenizer(vocab=learner.get_vocab(), **options), folder)


def bert_cased(folder: Path) -> Any:
    return bert(folder, do_lower_case=False, tokenize_chinese_chars=False)


def bert_lines(folder: Path) -> Any:
    """With `vocab.txt` in place of `tokenizer.json`, and accents kept."""
    theirs = bert(folder, strip_accents=False)
    vocab = sorted(theirs.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in vocab), encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    return theirs


def saved(tokenizer: Any, folder: Path) -> Any:
    tokenizer.save_pretrained(folder)
    return tokenizer


def siglip_json(folder: Path, scheme: str = "always") -> Callable[[list[str]], list[list[int]]]:
    """A SigLIP's `tokenizer.json` without cleaning of its own; returns how the original has it: `canonicalize`, the
    pieces, `</s>`."""
    special = ["<pad>", "</s>", "<unk>"]
    backend = Backend(models.Unigram(pieces(special), unk_id=2))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(split=False, prepend_scheme=scheme)
    backend.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>", "eos_token": {"content": "</s>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 64}))
    return lambda texts: [[*backend.encode(canonicalize(text)).ids, 1] for text in texts]


FOLDERS = {
    "clip": (clip, "clip"),
    "siglip2": (siglip2, "siglip2"),
    "siglip2, fixed size": (siglip2, "siglip"),
    "siglip2 that names Gemma": (gemma, "siglip"),
    "naflex that names Gemma": (gemma, "siglip2"),
    "metaclip_2": (xlm, "metaclip_2"),
    "altclip": (xlm, "altclip"),
    "chinese_clip": (bert, "chinese_clip"),
    "chinese_clip, cased": (bert_cased, "chinese_clip"),
    "chinese_clip, vocab.txt": (bert_lines, "chinese_clip"),
}


# Ids ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "family"), FOLDERS.values(), ids=FOLDERS)
def test_ids_are_those_of_transformers(make, family, tmp_path):
    theirs = make(tmp_path)
    ours = read_tokenizer(tmp_path, family)
    for text, ids in zip(HARD, ours.encode(HARD), strict=True):
        assert ids == theirs(text)["input_ids"], text
        assert ids == ours.encode([text])[0], "in a batch as alone"
    assert len(ours) == len(theirs)
    assert ours.pad_token_id == theirs.pad_token_id
    assert ours.vocab == theirs.get_vocab()
    (start, end), (empty,) = (ours.num_start, ours.num_end), ours.encode([""])
    assert len(empty) == start + end
    assert empty[:start] == [ours.bos_token_id] * start
    assert empty[-1] == ours.eos_token_id
    assert (start, end) == (0 if family.startswith("siglip") else 1, 1)


@pytest.mark.parametrize("scheme", ["always", "first"])
def test_siglip_cleans_as_the_original(scheme, tmp_path):
    """With `first`, the library sets the space in front of a word only where the cleaning has not cut the start."""
    theirs = siglip_json(tmp_path, scheme)
    ours = read_tokenizer(tmp_path, "siglip")
    texts = [text for text in HARD if "</s>" not in text]
    assert ours.encode(texts) == theirs(texts)
    assert ours.encode(["Running!", "running"])[0] == ours.encode(["running"])[0]
    assert (ours.pad_token_id, ours.eos_token_id, ours.bos_token_id, ours.max_length) == (1, 1, None, 64)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "SiglipTokenizer"}')
    ours = read_tokenizer(tmp_path, "siglip")
    assert (ours.pad_token_id, ours.eos_token_id, ours.bos_token_id, ours.max_length) == (1, 1, None, None)


def test_cleaning_is_that_of_python_for_every_character(tmp_path):
    """Unassigned characters are left out: Unicode has given some of them a case since Python's tables."""
    siglip_json(tmp_path)
    clean = read_tokenizer(tmp_path, "siglip").backend.normalizer
    (tmp_path / "plain").mkdir()
    own = Backend.from_file(str(tmp_path / "tokenizer.json")).normalizer
    for code in [*range(0x3000), 0x1E9E, 0xFB00, 0xFF21, 0xFF01, 0x10400, 0x1F600]:
        if unicodedata.category(chr(code)) != "Cn":
            text = f"A{chr(code)}b {chr(code)}"
            assert clean.normalize_str(text) == own.normalize_str(canonicalize(text)), hex(code)


def test_siglips_sentencepiece_model_is_read_as_the_original(tmp_path):
    """The tokenizers library normalises a character together with its combining marks, SentencePiece by the longest
    entry of its table: they differ for a compatibility character with a mark behind it, such as U+02B2 U+0313."""
    import sentencepiece  # with which the original reads spiece.model

    (tmp_path / "corpus.txt").write_text("\n".join([*CORPUS, *map(canonicalize, CORPUS)]), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"), model_prefix=str(tmp_path / "spiece"), vocab_size=200, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    theirs = saved(transformers.SiglipTokenizer(str(tmp_path / "spiece.model")), tmp_path)
    ours = read_tokenizer(tmp_path, "siglip")
    for text, ids in zip(HARD, ours.encode(HARD), strict=True):
        if text != "a </s> b":  # the library sets a space in front of the word behind a special token, too
            assert ids == theirs(text)["input_ids"], text
    assert ours.encode(["a </s> b"])[0].count(1) == 2
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    assert read_tokenizer(tmp_path / "saved", "siglip").encode(HARD) == ours.encode(HARD)
    whole = (tmp_path / "spiece.model").read_bytes()
    table = whole.index(b"nmt_nfkc") + 12  # the table of characters begins with its size
    for damaged in (whole[:-1], b"\xff" * 99, whole[:table] + b"\xff" * 4 + whole[table + 4 :]):
        (tmp_path / "spiece.model").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"spiece.model cannot be read as a SentencePiece model") as error:
            read_tokenizer(tmp_path, "siglip")
        assert "\n" not in str(error.value)


def test_metaclip_2_of_mt5_takes_siglips_tokeniser(tmp_path):
    theirs = siglip_json(tmp_path)
    ours = read_tokenizer(tmp_path, "metaclip_2")
    assert ours.encode(["Running, fast!"]) == theirs(["Running, fast!"])
    with pytest.raises(ValueError, match=r"tokenizer_class: expected XLMRobertaTokenizer for a model of type altclip"):
        read_tokenizer(tmp_path, "altclip")


@pytest.mark.parametrize("single", ["$A", "$A <eos>", "<bos> $A", "<bos> $A <eos>"])
def test_a_text_of_siglip_2_ends_once_whatever_the_file_sets(single, tmp_path):
    theirs = siglip2(tmp_path)
    expected = [theirs(text)["input_ids"] for text in HARD]
    backend = Backend.from_file(str(tmp_path / "tokenizer.json"))
    backend.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(token, backend.token_to_id(token)) for token in ("<bos>", "<eos>")]
    )
    backend.save(str(tmp_path / "tokenizer.json"))
    assert read_tokenizer(tmp_path, "siglip2").encode(HARD) == expected


@pytest.mark.parametrize(("make", "family"), FOLDERS.values(), ids=FOLDERS)
def test_nothing_is_cut_padded_or_drawn(make, family, tmp_path):
    theirs = make(tmp_path)
    expected = [theirs(text)["input_ids"] for text in HARD]
    if (tmp_path / "tokenizer.json").exists():
        backend = Backend.from_file(str(tmp_path / "tokenizer.json"))
        backend.enable_truncation(4)
        backend.enable_padding(length=90)
        if isinstance(backend.model, models.BPE):
            backend.model.dropout = 0.5
        backend.save(str(tmp_path / "tokenizer.json"))
    assert read_tokenizer(tmp_path, family).encode(HARD) == expected


def test_special_tokens_and_lengths_of_the_configuration(tmp_path):
    theirs = xlm(tmp_path)
    assert read_tokenizer(tmp_path, "altclip").max_length == 512
    for length in (1, 0, -5, 10**30, 100_001, True, "77", 77.0, None):
        change(tmp_path / "tokenizer_config.json", model_max_length=length)
        assert read_tokenizer(tmp_path, "altclip").max_length is None
    for pad, index in (("<mask>", theirs.mask_token_id), ({"content": "<unk>"}, 3), (None, 1)):
        change(tmp_path / "tokenizer_config.json", pad_token=pad)
        assert read_tokenizer(tmp_path, "altclip").pad_token_id == index
    change(tmp_path / "tokenizer_config.json", pad_token="<none>")
    with pytest.raises(ValueError, match=r"tokenizer.json: expected a vocabulary with <none>"):
        read_tokenizer(tmp_path, "altclip")
    change(tmp_path / "tokenizer_config.json", pad_token=3)
    with pytest.raises(ValueError, match=r"tokenizer_config.json: pad_token: expected a token, got 3"):
        read_tokenizer(tmp_path, "altclip")
    (tmp_path / "tokenizer_config.json").unlink()
    assert read_tokenizer(tmp_path, "altclip").encode(HARD) == [theirs(text)["input_ids"] for text in HARD]


def test_published_vocabularies_are_read_as_by_transformers(real_data, tmp_path):
    """OpenAI's and Chinese-CLIP's own, on the class names of every data set."""
    names = [row for path in LABELS for row in path.read_text(encoding="utf-8").replace("\t", "\n").splitlines()]
    texts = [*HARD, *names]
    assert len(names) > 3000
    shutil.copy(real_data / "tokenizer" / "chinese_clip_vocab.txt", tmp_path / "vocab.txt")
    theirs: Any = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))
    assert read_tokenizer(tmp_path, "chinese_clip").encode(texts) == theirs(texts)["input_ids"]
    packed = gzip.decompress((real_data / "tokenizer" / BPE_FILE).read_bytes()).decode()
    pairs = [tuple(line.split()) for line in packed.split("\n")[1 : 49152 - 256 - 1]]
    ours = bpe_tokenizer(pairs)
    theirs = transformers.CLIPTokenizer(ours.vocab, pairs)
    assert ours.encode(texts) == theirs(texts)["input_ids"]


# OpenCLIP -------------------------------------------------------------------------------------------------------------


def test_open_clip_writes_padding_in_place_of_sep(tmp_path):
    theirs = bert(tmp_path)
    ours = read_tokenizer(tmp_path, "chinese_clip", strip_sep=True, pad=0)
    assert (ours.num_start, ours.num_end, ours.eos_token_id, ours.pad_token_id) == (1, 0, None, 0)
    for text in HARD:
        ids, (row,) = theirs(text)["input_ids"], ours.encode([text])
        stripped = [0 if index == theirs.sep_token_id else index for index in ids]  # as OpenCLIP has it
        assert [*row, 0] == stripped


def test_open_clip_pads_clips_tokens_with_zeros(tmp_path):
    clip(tmp_path)
    assert read_tokenizer(tmp_path, "clip", pad=0).pad_token_id == 0
    ours = read_tokenizer(tmp_path, "clip", pad=0)
    ours.save(tmp_path)
    assert read_tokenizer(tmp_path, "clip").pad_token_id == 0
    for pad in (-1, len(ours)):
        with pytest.raises(ValueError, match=rf"expected the id of padding from 0 to {len(ours) - 1}, got {pad}"):
            read_tokenizer(tmp_path, "clip", pad=pad)


# Where tokens stand ---------------------------------------------------------------------------------------------------

NAMES = ["playing guitar", "Tai Chi", "naïve café", "brush_hair", "跑步", "play (guitar)", "don't stop", "ΟΔΟΣ", "😀"]
NANO = ("clip", "siglip", "siglip2", "metaclip_2", "altclip", "chinese_clip")


def tokenisers(tmp_path: Path) -> dict[str, Tokenizer]:
    found = {f"nano {family}": nano_tokenizer(family) for family in NANO}
    for name, (make, family) in FOLDERS.items():
        folder = tmp_path / name.replace(" ", "_")
        folder.mkdir()
        make(folder)
        found[name] = read_tokenizer(folder, family)
    (tmp_path / "siglip").mkdir()
    siglip_json(tmp_path / "siglip")
    return {**found, "siglip": read_tokenizer(tmp_path / "siglip", "siglip")}


@pytest.mark.parametrize("template", ["a video of {}.", "{} , filmed", "İ ＡＢ \t Ünïcödé  {}", "!? {}"])
def test_the_tokens_of_a_name_are_found_in_a_sentence(template, tmp_path):
    """Of a name in a template, every letter is in a token that overlaps with it, and such a token has at most the
    character before and behind it, too."""
    sentences, begin = [template.format(name) for name in NAMES], template.index("{}")
    for kind, tokeniser in tokenisers(tmp_path).items():
        for name, sentence, spans in zip(NAMES, sentences, tokeniser.offsets(sentences), strict=True):
            end = begin + len(name)
            own = {at for a, b in spans if max(a, begin) < min(b, end) for at in range(a, b)}
            letters = {at for at in range(begin, end) if sentence[at].isalnum() or sentence[at] == "😀"}
            assert letters <= own, (kind, sentence)
            assert own <= set(range(begin - 1, end + 1)), (kind, sentence)


# Small ones for random weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", NANO)
def test_nano_tokenisers_write_any_text(family):
    ours = nano_tokenizer(family, max_length=64)
    (row,), unknown = ours.encode(["İ don't 跑步 3\n"]), ours.vocab.get("<unk>", ours.vocab.get("[UNK]"))
    assert unknown not in row
    assert list(ours.vocab.values()) == list(range(len(ours)))
    a, b, c, d = ours.encode(["Running!", "running", "running!", "running ."])
    assert (a == c) == (family not in ("metaclip_2", "altclip"))
    assert (a == b == d) == (family == "siglip")
    if family != "chinese_clip":
        assert [len(row) - ours.num_start - ours.num_end for row in ours.encode(["run", "é", "跑", "r 😀"])] == {
            "clip": [3, 2, 3, 5]
        }.get(family, [3, 2, 3, 6])
    assert ours.pad_token_id == {"clip": ours.eos_token_id, "siglip": ours.eos_token_id}.get(
        family, 1 if family in ("metaclip_2", "altclip") else 0
    )
    with pytest.raises(ValueError, match="expected a family of tokenisers, got 'word2vec'"):
        nano_tokenizer("word2vec")


@pytest.mark.parametrize("family", NANO)
def test_what_is_saved_transformers_and_we_read(family, tmp_path):
    ours = nano_tokenizer(family, max_length=64)
    ours.save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text, ids in zip(HARD, ours.encode(HARD), strict=True):
        assert theirs(text)["input_ids"] == ids, text
    assert theirs.pad_token_id == ours.pad_token_id
    assert theirs.model_max_length == 64
    again = read_tokenizer(tmp_path, family)
    assert again.backend.to_str() == ours.backend.to_str()
    assert {**vars(again), "backend": None} == {**vars(ours), "backend": None}


@pytest.mark.parametrize(("make", "family"), FOLDERS.values(), ids=FOLDERS)
def test_what_was_read_is_saved_alike(make, family, tmp_path):
    make(tmp_path)
    ours = read_tokenizer(tmp_path, family)
    other = tmp_path / "other"
    other.mkdir()
    ours.save(other)
    again = read_tokenizer(other, family)
    assert again.encode(HARD) == ours.encode(HARD)
    assert again.backend.to_str() == ours.backend.to_str()
    (other / "config.json").write_text(json.dumps({"model_type": family}))
    theirs = transformers.AutoTokenizer.from_pretrained(other)
    assert [theirs(text)["input_ids"] for text in HARD] == ours.encode(HARD)


# What is wrong with a folder ------------------------------------------------------------------------------------------


def test_a_siglip_that_keeps_case_is_refused(tmp_path):
    siglip_json(tmp_path)
    change(tmp_path / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(ValueError, match=r"expected a tokeniser that lower-cases, .* set tokenizer_class .* Siglip"):
        read_tokenizer(tmp_path, "siglip")
    for wrong in ("T5TokenizerFast", 3, ["SiglipTokenizer"], None):
        change(tmp_path / "tokenizer_config.json", tokenizer_class=wrong)
        with pytest.raises(ValueError, match=r"tokenizer_class: expected SiglipTokenizer, GemmaTokenizer, Siglip2"):
            read_tokenizer(tmp_path, "siglip")


@pytest.mark.parametrize("name", ["tokenizer.model", "sentencepiece.bpe.model"])
def test_sentencepiece_alone_says_how_to_make_the_file(name, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    family = "siglip2" if name == "tokenizer.model" else "altclip"
    with pytest.raises(ValueError, match=rf"expected tokenizer.json, got {name} alone; .*save_pretrained\(FOLDER\)"):
        read_tokenizer(tmp_path, family)


@pytest.mark.parametrize("family", ["siglip", "siglip2", "metaclip_2", "altclip"])
def test_a_folder_without_a_tokeniser_is_told(family, tmp_path):
    """Two families have tokenisers of two kinds, and nothing else in the folder says which."""
    if family in ("siglip", "metaclip_2"):
        with pytest.raises(ValueError, match=r"config.json: tokenizer_class: expected \w+, .*, got None; copy"):
            read_tokenizer(tmp_path, family)
        (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "SiglipTokenizer"}')
    with pytest.raises(ValueError, match=r"expected a file, but there is none at .*tokenizer.json"):
        read_tokenizer(tmp_path, family)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", r"tokenizer.json is empty"),
        (b"version https://git-lfs", r"pointer of Git LFS"),
        (b"{", r"tokenizer.json cannot be read as a tokeniser: "),
        (b"\xff\xfe", r"tokenizer.json cannot be read as a tokeniser: "),
        (b"[]", r"tokenizer.json cannot be read as a tokeniser: "),
        (b'{"model": {}}', r"tokenizer.json cannot be read as a tokeniser: "),
        ({"model__vocab": []}, r"tokenizer.json cannot be read as a tokeniser: "),
        ({"model__unk_id": None}, r"tokenizer.json: Encountered an unknown token"),
        ({"model__unk_id": 10**6}, r"tokenizer.json cannot be read as a tokeniser: "),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, r"cannot be read as a tokeniser: "),
        ({"model__vocab": [["a", 0.0], ["b", 0.0], ["c", 0.0], ["<unk>", 0.0]], "added_tokens": []}, r"with <s>, </s>"),
    ],
)  # fmt: skip
def test_a_damaged_file_ends_in_one_line(content, expected, tmp_path):
    xlm(tmp_path)
    if isinstance(content, bytes):
        (tmp_path / "tokenizer.json").write_bytes(content)
    else:
        change(tmp_path / "tokenizer.json", **content)
    with pytest.raises(ValueError, match=expected) as error:
        read_tokenizer(tmp_path, "metaclip_2")
    assert "\n" not in str(error.value)


def test_ids_with_holes_are_refused(tmp_path):
    siglip2(tmp_path)
    vocab = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    change(tmp_path / "tokenizer.json", model__vocab={**vocab, "new": len(vocab) + 5})
    with pytest.raises(ValueError, match=rf"expected tokens with the numbers 0 to {len(vocab)}, each once"):
        read_tokenizer(tmp_path, "siglip2")
    bert_lines(tmp_path)
    lines = (tmp_path / "vocab.txt").read_text(encoding="utf-8")
    (tmp_path / "vocab.txt").write_text(f"{lines}[PAD]\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab.txt: expected tokens with the numbers 0 to \d+, each once"):
        read_tokenizer(tmp_path, "chinese_clip")


def test_large_files_are_read_up_to_a_limit(tmp_path, monkeypatch):
    xlm(tmp_path)
    monkeypatch.setattr(tokenizer_files, "MOST", 10)
    with pytest.raises(ValueError, match=r"tokenizer.json: expected 1 to 10 tokens, got \d+"):
        read_tokenizer(tmp_path, "altclip")
    monkeypatch.setattr(tokenizer_files, "MOST_BYTES", 1 << 10)
    with pytest.raises(ValueError, match=r"tokenizer.json: expected at most 0 MB of text, got 0 MB"):
        read_tokenizer(tmp_path, "altclip")


@pytest.mark.parametrize("wrong", [{"do_lower_case": "yes"}, {"strip_accents": 1}, {"tokenize_chinese_chars": None}])
def test_options_of_a_bert_are_yes_or_no(wrong, tmp_path):
    bert(tmp_path)
    change(tmp_path / "tokenizer_config.json", **wrong)
    with pytest.raises(ValueError, match=rf"tokenizer_config.json: {next(iter(wrong))}: expected true or false, got"):
        read_tokenizer(tmp_path, "chinese_clip")


def test_a_text_that_is_no_unicode_is_told():
    for family in NANO:
        with pytest.raises(ValueError, match=r"expected text in Unicode, got 'a\\ud800'; correct its encoding"):
            nano_tokenizer(family).encode(["a", "a\ud800"])


def test_words_of_a_bert_over_a_hundred_letters_are_unknown():
    ours = bert_tokenizer({word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "x", "##x"])})
    assert ours.encode(["x" * 100]) == [[2, 4, *[5] * 99, 3]]
    assert ours.encode(["x" * 101]) == [[2, 1, 3]]
    with pytest.raises(ValueError, match=r"expected the vocabulary of a BERT, but it lacks \[CLS\], \[SEP\]"):
        bert_tokenizer({"[PAD]": 0, "[UNK]": 1})
