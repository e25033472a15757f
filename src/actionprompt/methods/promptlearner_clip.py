"""PromptLearner-CLIP: learned class-specific prompts, and a text-guided graph over frames used in training only.

Z. Zheng, G. An, S. Cao, Z. Yang, Q. Ruan, "PromptLearner-CLIP: Contrastive Multi-Modal Action Representation Learning
with Context Optimization", ACCV 2022. Equation numbers are the paper's; (code) marks facts read in the authors' public
code, of which nothing is copied.

Every class has its own context tokens before its name (Eq. 1). The video feature v_0 is the mean of the frame
embeddings (Eq. 7-11), and the logits are its scaled cosine similarities to the class texts. In training, the text of a
clip's label, parsed over its words in several steps, guides a graph over the frames (Eq. 12-22). The fused feature J is
pulled towards the texts of its class (Eq. 24), in addition to ActionCLIP's KL loss between clips and texts (Eq. 23). J
needs the true label, so it takes no part in predictions and its module is not saved in the inference model. A training
step encodes only the prompts of the classes in its batch, so that activations do not grow with the number of classes:
at ViT-B/16, batch 8, 8 frames, 400 classes, prompts of 77 tokens and float32, all tensors peak at 11.9 GB, 4.1 GB with
gradient checkpointing (results/costs/promptlearner_memory.json); with all classes in the loss it would be 26.6 GB.

Where the paper can be read in more than one way:
- Contexts. Sec. 4.2 has M = 16 tokens drawn at random and an initial template "a video of action X"; Table 3 ticks
  "prompt initialization". Both hold if the tokens next to the class name start from the four words and the other twelve
  are drawn (`context="words"`); without the tick all are drawn (`"random"`). (code) has the four words alone, the same
  for all classes, and passes them to no optimiser (`"code"`, which therefore takes any class names). The paper calls
  0.02 the variance of the drawn values; here, as in (code) and in CoOp, it is their standard deviation. A full stop
  follows the class name, as in (code); the paper does not say.
- Coefficients. Table 1 gives three losses one each; they multiply the three terms, and the 1/2 of Eq. 23 stays
  (`loss_weights="paper"`), or the sum of the three is divided by 3, as in (code) (`"code"`).
- Eq. 23 writes KL(p, q). Since q contains zeros, only KL(q || p) is finite, and (code) computes it. The label matrix
  marks all pairs of the same class; q is this matrix with every row divided by its sum (`kl_target="rows"`), or
  softmax(10 x the 0/1 matrix), as in (code) (`kl_target="softmax"`).
- Eq. 24 has A(i) = I without i. If that excluded the clip's own text, a class that occurs once in the batch would give
  0 / 0. In Khosla et al. (2020), whose notation it is, the anchor is excluded and its other view is a positive;
  accordingly, J_i is compared with the texts of the whole batch (`contrast="texts"`). (code) applies Khosla's loss to
  two views, J and text, each both anchor and candidate (`contrast="views"`). The sum over the batch is a mean here, as
  in (code), so that the coefficients of Table 1 mean the same at every batch size.
- Hidden layers and J have 512 channels in the paper; here they have the width E of the joint space, for backbones
  where it is not 512.

Reconstructed: the layers of the fusion, after Anderson et al. (CVPR 2018): a gated layer on [frame, y] scores the
frames, and J is the product of a gated layer on the text and one on the attended frame. (code) uses the parsing, graph
and fusion of ReGAT instead: one parsing step; the product of a layer on the frame and one on the text, after dropout,
scores the frames; and the text of the fusion is the sentence feature, not y.

In other backbones, the EOT of Table 2 is the position that the text tower is read at; the bias of a sigmoid backbone
cancels in Eq. 23.

Further differences from (code): its sentence feature bypasses the final layer norm, its class names' token embeddings
are not tuned, and it predicts at a temperature of 1/100; here the temporal transformer starts as the identity, and
biases, norms and the temperature have no weight decay. (code) reports the best epoch on the test list; here it is the
last epoch. Its configurations ask for gradients clipped at 20, which its training loop does not do. Its test with ten
random groups of frames takes ten crops of each; Sec. 4.2 mentions none, and here it is the centre crop.

Trained parameters at ViT-B/16 and 400 classes: contexts 3,276,800; interaction 6,035,456 (parsing 1,837,568, graph
1,048,576, fusion 3,149,312; training only); CLIP 149,620,737; the temporal transformer, if chosen, 19,210,240.

A prediction costs as much as the bare image tower. For 8 frames at ViT-B/16 that is 134.8 G MACs (multiply-accumulate
operations) in the linear and convolution layers, 140.5 G with the matrix products of the attention. In training the
interaction module adds less than 0.1 G per clip.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from actionprompt.backbone import CLIP, TextFeatures
from actionprompt.layers import TemporalTransformer, gather_batch, same_label_targets
from actionprompt.method import Method, groups
from actionprompt.paper import Ablation, Card, Recipe

# Letters: N or B clips, T frames (the paper's K), E joint (and hidden) width, D text width, F = E + D, L tokens,
# M context tokens, C classes of a batch, K all classes

WORDS = "a video of action"
"""The initial template (Sec. 4.2)."""
TEMPERATURE = 0.07
"""tau of Eq. 24 (code)."""
CLASSES_AT_ONCE = 64
"""Class prompts that a prediction encodes at once; bounds its memory."""


@dataclass(frozen=True)
class Config:
    """Options of `promptlearner_clip`."""

    num_context: int = 16
    """M, context tokens per class (Sec. 4.2); `context="code"` has as many as `WORDS` has tokens."""
    context: Literal["words", "random", "code"] = "words"
    """`words`: the tokens next to the class name start from `WORDS`, the others at random (Table 3, with prompt
    initialisation); `random`: all start at random (without it); `code`: `WORDS` for all classes, not trained (code)."""
    context_std: float = 0.02
    """Standard deviation of randomly initialised contexts (code)."""
    temporal: Literal["mean", "transformer"] = "mean"
    """v_0: the mean of the frames (Sec. 3.2), or their mean after ActionCLIP's temporal transformer (code)."""
    num_layers: int = 6
    """Layers of the temporal transformer (code)."""
    semantics: Literal["none", "average", "eot", "parse"] = "parse"
    """Text feature that guides the graph (Table 2): the mean of the word features, the EOT feature, or the parsed words
    (Eq. 12-17); `none`: no interaction module, J is v_0 (Table 3)."""
    num_steps: int = 3
    """Number of parsing steps t (Eq. 12-17, Table 2)."""
    contrastive: float = 1.0
    """Coefficient of the supervised contrastive loss, Eq. 24 (Table 1)."""
    video_text: float = 1.0
    """Coefficient of the KL divergence of each video's softmax over the texts, Eq. 23 (Table 1)."""
    text_video: float = 1.0
    """Coefficient of the KL divergence of each text's softmax over the videos, Eq. 23 (Table 1)."""
    loss_weights: Literal["paper", "code"] = "paper"
    """The KL terms halved (Eq. 23), or all three divided by 3 (code)."""
    kl_target: Literal["rows", "softmax"] = "rows"
    """q of Eq. 23: the label matrix with every row divided by its sum, or softmax(10 x label matrix) (code)."""
    contrast: Literal["texts", "views"] = "texts"
    """Candidates of Eq. 24: the texts of the batch; or J and text of all clips, also as anchors (code)."""
    train_text: bool = True
    """Fine-tune the text tower (Table 4)."""
    train_vision: bool = True
    """Fine-tune the image tower (Table 4); if it stays frozen, frame embeddings can be cached for training."""

    def __post_init__(self) -> None:
        if min(self.num_context, self.num_steps) < 1 or self.context_std < 0:
            raise ValueError(
                f"expected num_context and num_steps of at least 1 and context_std of at least 0, got "
                f"{self.num_context}, {self.num_steps}, {self.context_std}"
            )
        weights = (self.contrastive, self.video_text, self.text_video)
        if min(weights) < 0 or max(weights[1:]) == 0:
            raise ValueError(
                f"expected coefficients of at least 0, and video_text or text_video above 0 (they train the similarity "
                f"used for predictions), got contrastive, video_text, text_video = {weights}"
            )


class Parser(nn.Module):
    """Eq. 12-17: semantic parsing. Each step t attends to the words of the sentence, given the result of step t - 1."""

    def __init__(self, embed_dim: int, text_width: int, *, num_steps: int) -> None:
        super().__init__()
        hidden = embed_dim
        self.question = nn.ModuleList(nn.Linear(embed_dim, hidden) for _ in range(num_steps))  # W^t, b^t
        self.update = nn.Linear(hidden + text_width, hidden)  # W_u, b_u
        self.state = nn.Linear(hidden, hidden, bias=False)  # W_s0
        self.word = nn.Linear(text_width, hidden, bias=False)  # W_s1
        self.score = nn.Linear(hidden, 1, bias=False)  # W_s2

    def forward(
        self, sentence: Float[Tensor, "C E"], words: Float[Tensor, "C L D"], is_word: Bool[Tensor, "C L"]
    ) -> tuple[Float[Tensor, "C D"], Float[Tensor, "C L"]]:
        """y^t of the last step and its weights r^t over the words, which are exactly 0 where `is_word` is false."""
        y, projected = words.new_zeros(words.shape[0], words.shape[2]), self.word(words)  # y^0, W_s1 s_m
        for question in self.question:  # step t
            q = question(sentence)  # Eq. 12
            u = torch.cat([q, y], dim=-1)  # Eq. 13
            s = F.relu(self.update(u))  # Eq. 14
            a = self.score(torch.tanh(self.state(s)[:, None] + projected)).squeeze(-1)  # Eq. 15
            r = a.to(words.dtype).masked_fill(~is_word, -torch.inf).softmax(-1)  # Eq. 16
            y = (r[:, :, None] * words).sum(1)  # Eq. 17
        return y, r


class Graph(nn.Module):
    """Eq. 18-21: graph attention over the frames, each concatenated with y; a frame aggregates all other frames."""

    def __init__(self, embed_dim: int, text_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(embed_dim + text_width, embed_dim, bias=False)  # W_q
        self.key = nn.Linear(embed_dim + text_width, embed_dim, bias=False)  # W_k

    def forward(self, frames: Float[Tensor, "B T E"], y: Float[Tensor, "B D"]) -> Float[Tensor, "B T E+D"]:
        v = torch.cat([frames, y[:, None].expand(-1, frames.shape[1], -1)], dim=-1)  # Eq. 18
        correlation = (self.query(v) @ self.key(v).mT).to(v.dtype)  # Eq. 19
        itself = torch.eye(frames.shape[1], dtype=torch.bool, device=frames.device)
        alpha = correlation.masked_fill(itself, torch.finfo(v.dtype).min).softmax(-1)  # Eq. 20
        alpha = alpha * ~itself  # exactly 0 for j = i, also for a single frame, which has no neighbours
        return F.relu(v + alpha @ v)  # Eq. 21


class Gated(nn.Module):
    """tanh(W x + b) * sigmoid(W' x + b'), the non-linear layer of Anderson et al. (2018)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 2 * out_features)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.linear(x).chunk(2, dim=-1)
        return value.tanh() * gate.sigmoid()


class Fusion(nn.Module):
    """Eq. 22, BUTD (bottom-up and top-down attention): y weights the frames and is fused with their weighted sum."""

    def __init__(self, embed_dim: int, text_width: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(Gated(embed_dim + 2 * text_width, embed_dim), nn.Linear(embed_dim, 1, bias=False))
        self.text, self.video = Gated(text_width, embed_dim), Gated(embed_dim + text_width, embed_dim)

    def forward(self, v: Float[Tensor, "B T F"], y: Float[Tensor, "B D"]) -> Float[Tensor, "B E"]:
        together = torch.cat([v, y[:, None].expand(-1, v.shape[1], -1)], dim=-1)
        attended = (self.attend(together).softmax(1) * v).sum(1)
        return self.text(y) * self.video(attended)  # Eq. 22, J


class Interaction(nn.Module):
    """Sec. 3.3: frame embeddings and the text of the true label -> J. Used in training only."""

    def __init__(self, clip: CLIP, config: Config) -> None:
        super().__init__()
        embed_dim, text_width = clip.embed_dim, clip.text.width
        self.num_start, self.num_end = clip.tokenizer.num_start, clip.tokenizer.num_end
        self.semantics = config.semantics
        if config.semantics == "parse":
            self.parser = Parser(embed_dim, text_width, num_steps=config.num_steps)
        self.graph = Graph(embed_dim, text_width)
        self.fusion = Fusion(embed_dim, text_width)

    def forward(
        self, frames: Float[Tensor, "B T E"], text: TextFeatures, label: Int[Tensor, " B"]
    ) -> Float[Tensor, "B E"]:
        """J of Eq. 22. `label` is the row of each clip's class in `text`."""
        y = self.meaning(text)[label]
        return self.fusion(self.graph(frames, y), y)

    def meaning(self, text: TextFeatures) -> Float[Tensor, "C D"]:
        """The text feature that guides the graph (Table 2); SOS, EOT and padding do not count as words."""
        if self.semantics == "eot":
            return text.words[torch.arange(len(text.readout), device=text.readout.device), text.readout]
        position = torch.arange(text.words.shape[1], device=text.lengths.device)
        is_word = (position >= self.num_start) & (position < text.lengths[:, None] - self.num_end)
        if self.semantics == "average":
            return (text.words * is_word[:, :, None]).sum(1) / is_word.sum(1, keepdim=True)
        return self.parser(text.sentence, text.words, is_word)[0]


def kl_targets(labels: Int[Tensor, " B"], kind: Literal["rows", "softmax"]) -> Float[Tensor, "B B"]:
    """q of Eq. 23: row i is the target distribution of clip i over the texts, and of text i over the clips."""
    rows = same_label_targets(labels)
    return rows if kind == "rows" else (10.0 * (rows > 0)).softmax(1)


def contrastive_loss(
    fused: Float[Tensor, "B E"],
    sentence: Float[Tensor, "B E"],
    labels: Int[Tensor, " B"],
    contrast: Literal["texts", "views"],
) -> Float[Tensor, ""]:
    """Eq. 24, averaged over the anchors; inputs are L2-normalised. The file's docstring explains both readings."""
    if contrast == "texts":
        return F.cross_entropy(fused @ sentence.T / TEMPERATURE, same_label_targets(labels))  # Eq. 24
    views = torch.cat([fused, sentence])
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    targets = same_label_targets(labels.repeat(2)).masked_fill(itself, 0.0)
    similarity = (views @ views.T / TEMPERATURE).masked_fill(itself, torch.finfo(views.dtype).min)
    return F.cross_entropy(similarity, targets / targets.sum(1, keepdim=True))  # Eq. 24


class Model(Method):
    """CLIP with learned class prompts; see the file's docstring."""

    config: Config
    ids: Tensor

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        super().__init__(config, clip)
        clip.text.requires_grad_(config.train_text)
        clip.image.requires_grad_(config.train_vision)
        clip.logit_scale.requires_grad_(True)
        self.contexts = nn.Parameter(self._contexts(len(class_names)), requires_grad=config.context != "code")
        """[K, M, D], the V of Eq. 1; [1, M, D] where all classes share them."""
        self.temporal: TemporalTransformer | None = None
        self.interaction: Interaction | None = None
        if config.temporal == "transformer":
            self.temporal = TemporalTransformer(clip.embed_dim, num_layers=config.num_layers)
        if config.semantics != "none" and config.contrastive > 0:
            self.interaction = Interaction(clip, config)
        self.set_classes(class_names, class_names_zh)

    @property
    def frozen_features(self) -> bool:
        return not self.config.train_vision

    @property
    def open_vocabulary(self) -> bool:
        return self.config.context == "code"

    @property
    def per_class(self) -> tuple[str, ...]:
        return ("contexts",)

    def training_only(self) -> Iterable[nn.Module]:
        return [self.interaction] if self.interaction is not None else []

    @torch.no_grad()
    def _contexts(self, num_classes: int) -> Float[Tensor, "_ M D"]:
        """The contexts before training."""
        config, text = self.config, self.clip.text
        row, tokenizer = text.tokenizer.encode([WORDS])[0], text.tokenizer
        row = row[tokenizer.num_start : len(row) - tokenizer.num_end]  # without SOS and EOT
        words = text.token_embeddings(torch.tensor([row], device=text.device))
        if config.context == "code":
            return words.clone()
        contexts = config.context_std * torch.randn(num_classes, config.num_context, text.width)
        if config.context == "words":
            if words.shape[1] > config.num_context:
                raise ValueError(
                    f"expected num_context of at least {words.shape[1]}, the tokens of {WORDS!r}, got "
                    f"{config.num_context}; raise it, or choose context='random'"
                )
            contexts[:, -words.shape[1] :] = words
        return contexts

    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        """As in the base class; ValueError also for prompts that exceed the context length of the text tower."""
        super().set_classes(names, names_zh)
        ids = self.clip.text.tokenize([f"{name}." for name in names], reserve=self.contexts.shape[1])
        self.register_buffer("ids", ids, persistent=False)

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """`lr` for CLIP's parameters, 10 `lr` for the new ones (Sec. 4.2)."""
        known = {id(p) for p in self.clip.parameters()}
        trained = [p for p in self.parameters() if p.requires_grad]
        new = [p for p in trained if id(p) not in known]
        return groups((p for p in trained if id(p) in known), lr) + groups(new, 10 * lr)

    def encode_prompts(self, classes: Int[Tensor, " C"]) -> TextFeatures:
        """Word features s_m and sentence features s_0 of the prompts of the given classes (Eq. 1-6)."""
        text, ids = self.clip.text, self.ids[classes]
        contexts = self.contexts.expand(len(self.ids), -1, -1)[classes]
        tokens = text.insert(text.token_embeddings(ids), contexts)  # Eq. 1, with SOS and EOT
        return text.encode(tokens, text.lengths(ids) + self.contexts.shape[1])  # Eq. 2-6

    def video_features(self, frames: Float[Tensor, "N T E"]) -> Float[Tensor, "N E"]:
        """v_0, L2-normalised."""
        return F.normalize((frames if self.temporal is None else self.temporal(frames)).mean(1), dim=-1)

    def head(self, features: Float[Tensor, "N T E"]) -> Float[Tensor, "N K"]:
        return self.clip.logits(self.video_features(features), self.class_features())

    def encode_classes(self) -> Float[Tensor, "K E"]:
        """s_0 of all classes, L2-normalised."""
        parts = torch.arange(len(self.class_names), device=self.ids.device).split(CLASSES_AT_ONCE)
        return F.normalize(torch.cat([self.encode_prompts(part).sentence for part in parts]), dim=-1)

    def loss(self, features: Float[Tensor, "B T E"], labels: Tensor) -> dict[str, Tensor]:
        """Eq. 23-25 over the clips of all processes. The parts `video_text`, `text_video` and `contrastive` are given
        before their coefficients.

        Raises:
            ValueError: soft labels, since the losses compare clips by class.
        """
        if labels.ndim != 1:
            raise ValueError(
                "promptlearner_clip compares clips of the same class: expected one class index per clip, got soft "
                "labels; train without mixup and label smoothing"
            )
        config = self.config
        classes, label = labels.unique(return_inverse=True)
        text = self.encode_prompts(classes)
        video, sentence = self.video_features(features), F.normalize(text.sentence, dim=-1)[label]
        fused = video
        if self.interaction is not None:
            fused = F.normalize(self.interaction(features, text, label), dim=-1)
        with torch.autocast(labels.device.type, enabled=False):
            labels = gather_batch(labels)
            video, sentence, fused = (gather_batch(x.float()) for x in (video, sentence, fused))
            similarity = self.clip.logits(video, sentence)
            targets = kl_targets(labels, config.kl_target)
            parts = {
                "video_text": F.kl_div(similarity.log_softmax(1), targets, reduction="batchmean"),  # Eq. 23, v2s
                "text_video": F.kl_div(similarity.T.log_softmax(1), targets, reduction="batchmean"),  # Eq. 23, s2v
            }
            kl, sup = (1 / 2, 1) if config.loss_weights == "paper" else (1 / 3, 1 / 3)
            loss = kl * (config.video_text * parts["video_text"] + config.text_video * parts["text_video"])  # Eq. 23
            if config.contrastive > 0:
                parts["contrastive"] = contrastive_loss(fused, sentence, labels, config.contrast)  # Eq. 24
                loss = loss + sup * config.contrastive * parts["contrastive"]  # Eq. 25
        return {"loss": loss, **parts}


VARIANTS = {
    # Table 1, contrastive : video-text : text-video; 1:1:1 is the default
    "loss_1_0_1": Config(video_text=0.0),
    "loss_1_1_0": Config(text_video=0.0),
    "loss_0_1_1": Config(contrastive=0.0),  # also Table 3, without contrastive learning
    # Table 2; parsing in three steps is the default
    "average": Config(semantics="average"),
    "eot": Config(semantics="eot"),
    "one_step": Config(num_steps=1),
    "two_steps": Config(num_steps=2),
    "four_steps": Config(num_steps=4),
    # Table 3
    "without_interaction": Config(semantics="none"),
    "without_initialisation": Config(context="random"),
    # Table 4; both pathways are the default
    "frozen": Config(train_text=False, train_vision=False),
    "text_only": Config(train_vision=False),  # also Table 5, on an image tower trained on Kinetics-400 before
    "vision_only": Config(train_text=False),
    # where paper and code differ
    "transformer": Config(temporal="transformer"),
    "kl_softmax": Config(kl_target="softmax"),
    "contrast_views": Config(contrast="views"),
    "code": Config(
        context="code", temporal="transformer", num_steps=1, loss_weights="code", kl_target="softmax", contrast="views"
    ),
}

_TRAIN = {
    "lr": 5e-6, "weight_decay": 0.2, "betas": (0.9, 0.98), "epochs": 50, "batch_size": 64, "warmup_epochs": 5.0,
    "clip_grad_norm": None,
}  # fmt: skip
_CROP = {"multi_scale": (1.0, 0.875, 0.75, 0.66), "colour_jitter": 0.8, "grey": 0.2}
_RAND_AUGMENT = {"rand_augment": (2, 9), "rand_augment_kind": "ildoonet"}
_DATA = {
    "num_frames": 8, "num_clips": 10, "random_groups": True, "resize_side": 256, "augment": {**_CROP, **_RAND_AUGMENT},
}  # fmt: skip
RECIPES = {
    "closed-set": Recipe(
        ("closed-set", "few-shot"), "Sec. 4.2; betas, augmentation and resize from the public code", _TRAIN, _DATA
    ),
    "closed-set-hmdb51-ucf101": Recipe(
        ("closed-set", "few-shot"), "Sec. 4.2, Sec. 4.7; no RandAugment, as in the public configs", _TRAIN,
        {**_DATA, "augment": _CROP}, datasets=("hmdb51", "ucf101"),
    ),
    "code": Recipe(
        ("closed-set",), "public config for Mini-Kinetics-200: batch 32", {**_TRAIN, "batch_size": 32}, _DATA,
        datasets=("mini_kinetics200",), recommended=False,
    ),
}  # fmt: skip
"""Sec. 4.2 has batch 64, (code) 64 in its configs for Kinetics-400 and 32 in all others. In Sec. 4.7, training is the
same for HMDB-51 and UCF-101; in (code) it is without RandAugment. (code) averages the probabilities of the groups."""

ABLATIONS = [
    Ablation("Weights of the losses (Table 1)", ("loss_1_0_1", "loss_1_1_0", "loss_0_1_1", ""), "Table 1"),
    Ablation("What the interaction reads of the text (Table 2)",
             ("average", "eot", "one_step", "two_steps", "", "four_steps"), "Table 2"),
    Ablation("The parts (Table 3)",
             ("actionclip/unimodal", "actionclip/", "without_interaction", "without_initialisation", "loss_0_1_1", ""),
             "Table 3"),
    Ablation("Which tower is tuned (Table 4)", ("frozen", "text_only", "vision_only", ""), "Table 4"),
]  # fmt: skip

CARD = Card(
    "Zheng et al., ACCV 2022",
    "class-specific learned context, a text-guided graph over frames in training",
    "Eq. 12-24 against plain loops; predictions untouched by the training-only part",
)
