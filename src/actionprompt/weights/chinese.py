"""The text tower of Chinese-CLIP, with transformers' own modules."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from actionprompt.backbone import in_parts
from actionprompt.weights.assemble import MOST, MOST_LAYERS, check_sizes, check_vocabulary, num_layers
from actionprompt.weights.hugging_face import number, read_weights
from actionprompt.weights.tensors import check_text, read_json

SIZES = {  # field of config.json: (what it leaves out, the weight that tells it, along which axis)
    "text_config.vocab_size": (30522, "text_model.embeddings.word_embeddings.weight", 0),
    "text_config.hidden_size": (768, "text_model.embeddings.word_embeddings.weight", 1),
    "text_config.max_position_embeddings": (512, "text_model.embeddings.position_embeddings.weight", 0),
    "text_config.type_vocab_size": (2, "text_model.embeddings.token_type_embeddings.weight", 0),
    "text_config.intermediate_size": (3072, "text_model.encoder.layer.0.intermediate.dense.weight", 0),
    "projection_dim": (512, "text_projection.weight", 0),
}
LAYERS, HEADS = "text_config.num_hidden_layers", "text_config.num_attention_heads"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class ChineseTextTower(nn.Module):
    """The text tower of Chinese-CLIP (Yang et al., 2022): a bidirectional RoBERTa, its CLS token projected."""

    def __init__(self, text_model: Any, projection: nn.Linear, tokenizer: Any) -> None:
        super().__init__()
        self.text_model = text_model
        self.projection = projection
        self.tokenizer = tokenizer
        self.context_length: int = min(text_model.config.max_position_embeddings, 512)
        self.embed_dim: int = projection.out_features

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "K E"]:
        """Texts -> embeddings, not L2-normalised. A text over the context length is an error."""
        return torch.cat([self._encode(part) for part in in_parts(texts)])

    def _encode(self, texts: Sequence[str]) -> Tensor:
        batch = self.tokenizer(list(texts), padding=True, truncation=False, return_tensors="pt")
        length = batch["input_ids"].shape[1]
        if length > self.context_length:
            raise ValueError(f"expected Chinese texts of at most {self.context_length} tokens, got {length}")
        batch = batch.to(self.projection.weight.device)
        return self.projection(self.text_model(**batch).last_hidden_state[:, 0])


def text_tower_from_folder(folder: Path) -> ChineseTextTower:
    """The text tower of a Chinese-CLIP folder in Hugging Face format; every weight of it must be in the checkpoint."""
    from accelerate import init_empty_weights
    from transformers import BertTokenizer, ChineseCLIPTextConfig, ChineseCLIPTextModel
    from transformers.activations import ACT2FN

    path = folder / "config.json"
    config = read_json(path)
    if config.get("model_type") != "chinese_clip":
        raise ValueError(
            f"expected a model of type 'chinese_clip', but {folder} is {config.get('model_type')!r}; choose another "
            f"checkpoint"
        )
    vocabulary = _vocabulary(folder)
    state = {key: value.float() for key, value in read_weights(folder).items() if key.startswith("text_")}
    declared = {field: number(config, field, default, path) for field, (default, _, _) in SIZES.items()}
    declared |= {field: number(config, field, 12, path) for field in (LAYERS, HEADS)}
    found = {LAYERS: num_layers(state, "text_model.encoder.layer.")}
    for field, (_, key, axis) in SIZES.items():
        if key in state and state[key].ndim > axis:
            found[field] = state[key].shape[axis]
    check_sizes(declared, found, str(path))
    options = config.get("text_config") or {}
    activation, norm_eps = options.get("hidden_act", "gelu"), options.get("layer_norm_eps", 1e-12)
    if not isinstance(activation, str) or activation not in ACT2FN:
        raise ValueError(f"{path}: text_config.hidden_act: expected a name such as gelu, got {activation!r}")
    if type(norm_eps) not in (int, float) or not 0 < norm_eps < 1:
        raise ValueError(f"{path}: text_config.layer_norm_eps: expected a number above 0, got {norm_eps!r}")
    if declared["text_config.hidden_size"] % declared[HEADS]:
        raise ValueError(f"{path}: {HEADS}: expected a divisor of hidden_size, got {declared[HEADS]}")
    if max(declared.values()) > MOST or declared[LAYERS] > MOST_LAYERS:
        raise ValueError(f"{path}: expected at most {MOST_LAYERS} layers and sizes of at most {MOST}, got {declared}")
    check_vocabulary(len(vocabulary), declared["text_config.vocab_size"], str(folder))
    sizes = {field.removeprefix("text_config."): size for field, size in declared.items() if field != "projection_dim"}
    text = ChineseCLIPTextConfig(**sizes, hidden_act=activation, layer_norm_eps=norm_eps)
    with init_empty_weights():
        model = ChineseCLIPTextModel(text, add_pooling_layer=False)
        projection = nn.Linear(text.hidden_size, declared["projection_dim"], bias=False)
    own = {"text_projection.": projection, "text_model.": model}
    expected = {f"{prefix}{key}": value for prefix, part in own.items() for key, value in part.state_dict().items()}
    missing = [key for key in expected if key not in state]
    if missing:
        raise ValueError(
            f"{folder}: {len(missing)} weights are missing from the checkpoint, the first is {missing[:1]}"
        )
    for key, value in expected.items():
        if value.shape != state[key].shape:
            raise ValueError(
                f"{folder}: {key}: expected shape {list(value.shape)}, as the configuration has it, got "
                f"{list(state[key].shape)}"
            )
    for prefix, part in own.items():
        part.load_state_dict({key: state[f"{prefix}{key}"] for key in part.state_dict()}, assign=True)
    options = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    kept = {key: options[key] for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars") if key in options}
    return ChineseTextTower(model, projection, BertTokenizer(vocab=vocabulary, **kept)).eval()


def _vocabulary(folder: Path) -> dict[str, int]:
    """The tokens of `vocab.txt`, one per line, else those of `tokenizer.json`; transformers has an empty vocabulary
    where there is neither."""
    path = next((folder / name for name in ("vocab.txt", "tokenizer.json") if (folder / name).is_file()), None)
    if path is None:
        raise ValueError(
            f"{folder}: expected its vocabulary, as vocab.txt or tokenizer.json; copy it from where the weights are "
            f"from"
        )
    check_text(path)
    if path.name == "vocab.txt":
        try:
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: expected UTF-8 text, one token per line ({error})") from None
        tokens: Any = {token: index for index, token in enumerate(lines)}
    else:
        model = read_json(path).get("model")
        tokens = model.get("vocab") if isinstance(model, dict) else None
    missing = [token for token in SPECIAL if not isinstance(tokens, dict) or token not in tokens]
    if missing:
        raise ValueError(f"{path}: expected the vocabulary of a BERT, but it lacks {', '.join(missing)}")
    if not all(type(index) is int and 0 <= index < MOST for index in tokens.values()):
        raise ValueError(f"{path}: expected tokens with numbers from 0 on")
    return dict(tokens)


def random_text_tower(name: str) -> ChineseTextTower:
    """`random:E`: one small layer of random weights, one token per character; for tests."""
    from transformers import BertTokenizer, ChineseCLIPTextConfig, ChineseCLIPTextModel

    width = name.removeprefix("random:")
    if not width.isdecimal() or not 1 <= int(width[:5]) <= 4096:
        raise ValueError(f"expected random: and a joint width from 1 to 4096, got {name!r}")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in (*range(0x21, 0x7F), *range(0x4E00, 0xA000))]
    vocab = {word: index for index, word in enumerate([*special, *letters, *(f"##{x}" for x in letters[:94])])}
    config = ChineseCLIPTextConfig(
        vocab_size=len(vocab), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        initializer_range=1.0,  # with the usual 0.02 all texts come out alike
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, projection = ChineseCLIPTextModel(config), nn.Linear(config.hidden_size, int(width), bias=False)
    return ChineseTextTower(model, projection, BertTokenizer(vocab=vocab)).eval()
