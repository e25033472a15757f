"""MIP-CLIP: motion prompts in every layer, text prompts without class names, a visual branch that guides matching.

X. Gao, Z. Chang, D. Kong, H. Zhou, Y. Lu, "MIP-CLIP: Multimodal Independent Prompt CLIP for Action Recognition", IEEE
Transactions on Multimedia, 2025. Only its abstract and the authors' network definition (gaox-lzu/MIP-CLIP, no licence)
are public; (code) marks facts read there, and nothing of it is copied. The abstract names HMDB-51, UCF-101, Jester and
Kinetics-400 but prints no numbers, and the paper's tables are not public: there is no `PUBLISHED`.

- VMP, Video Motion Prompt: in every layer of the frozen image tower, with its own weights, one token per frame computed
  from the differences of class tokens over short and long distances in time. It takes part in the attention and is
  dropped before the MLP (code). At the input of the first layer, the class tokens have not attended to any patch, so
  their differences are those of the time embedding.
- Visual classification branch: s = W_h LN(v) + b over the training classes, with its own cross-entropy; v is the mean
  of the frames' projected class tokens. The matching uses s detached (code).
- CAT, class-agnostic template: [SOS] X_1 .. X_n . [EOT] with a class-specific context X and no class name, through the
  frozen text tower: t_k. SA, semantic alignment, shifts the context depending on the frozen text embedding g_k of
  "{class}." (code).
- DFR, dual-branch feature reconstruction: t~_bk = MLP1(t_k + s_bk v_b), v~_b = MLP2(v_b + sum_k s_bk t_k), logits
  exp(l) cos(v~_b, t~_bk), where l is learned and starts at log(1 / 0.07) (code).
- Loss: cross-entropy of the logits + lambda x cross-entropy of s.

Other class names: s belongs to the training classes, so the vocabulary is closed with `confidence="head"`. For
zero-shot transfer (the variants `zero_shot...`), s = exp(l) cos(v, t_k), detached in DFR, in training and testing; the
loss of the branch is then the cross-entropy of the same s, not detached. A class without learned context has t_k = g_k;
with `shared_context`, all classes go through CAT and SA. In a list that mixes training classes with others, the two
kinds of t_k compete, so base and novel classes are best evaluated separately, as the protocol does.

Equal to the public code in its result, but smaller or cheaper:
- In (code), SA is X-CLIP's prompt layer. Its attention has a single key, g_k, so its softmax is 1: queries, keys and
  the LayerNorm of the queries get no gradient and have no effect; value and output projection form one linear map.
  This takes 2,364,928 parameters at E = 512 instead of 3,152,384.
- A CAT prompt is 11 tokens long, not 77 (nothing after the EOT reaches it); g_k is computed once per class list.
- The first layer of MLP1 is linear: W (t_k + s v) = W t_k + s W v, so only its second layer runs on all pairs of video
  and class. Pairs are processed `PAIRS_AT_ONCE` at a time and recomputed in the backward pass: [N, K, 4E] is never
  built.
At batch 256 and 400 classes, the tensors of DFR peak at 204 MB over forward and backward pass (4,436 MB with the
formula as written), with half the MACs (multiply-accumulate operations); the text keeps 1.6 GB for the backward pass
(11.1 GB with 77 tokens), less with gradient checkpointing. VMP adds 0.7 % to the MACs of the tower
(results/costs/mip_clip_cost.json).

Without a class token, the differences are those of what the pooling of the backbone reads from the patches at the input
of each layer, which differ between frames from the first layer on. The scale and bias of a sigmoid backbone are not
used, since l is learned.

Reconstructed or chosen by us: lambda = 1; the recipes; the zero-shot form described above; the time embedding stays
without VMP. MLP1 and MLP2 have PyTorch's default initialisation: (code) intends N(0, 0.02), in a loop without effect.

Trained parameters at ViT-B/16, T = 8, n = 8 (in brackets with X-CLIP's full layer for SA):

| part | number |
| --- | ---: |
| VMP, 3,546,624 in each of 12 layers | 42,559,488 |
| time embedding, temperature | 6,145 |
| norm of the visual branch | 1,024 |
| SA | 2,364,928 (3,152,384) |
| DFR | 4,199,424 |
| per class: context 4,096, visual branch 513 | 4,609 |
| Jester, 27 classes | 49,255,452 (50,042,908) |
| HMDB-51, 51 classes | 49,366,068 (50,153,524) |
| UCF-101, 101 classes | 49,596,518 (50,383,974) |
| Kinetics-400, 400 classes | 50,974,609 (51,762,065) |
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from actionprompt.backbone import CLIP, quick_gelu
from actionprompt.layers import FrameAttention, encode_prompts, is_exporting, prompted_frames
from actionprompt.method import Method, check_video
from actionprompt.paper import Ablation, Card, Recipe

# Letters: N videos (B in the paper's symbols), T frames, D tower width, M motion tokens, E joint width, W text width,
# H = 4E, K classes (C: those s is over), R videos of a chunk, n context tokens

PAIRS_AT_ONCE = 4096
"""Pairs of video and class whose hidden activations of MLP1 exist at once; bounds memory."""


@dataclass(frozen=True)
class Config:
    """Options of `mip_clip`."""

    num_frames: int = 8
    """T, the rows of the time embedding; clips of another length use the nearest rows (code)."""
    motion_prompt: bool = True
    """Use VMP."""
    max_distance: int = 6
    """Largest temporal distance of the differences, in frames (code)."""
    num_context: int = 8
    """n, learned context tokens of a prompt (code)."""
    shared_context: bool = False
    """One context for all classes, which new class names can use as well; otherwise every class has its own (code)."""
    class_agnostic: bool = True
    """Use CAT; otherwise the class name follows the context."""
    alignment: bool = True
    """Use SA."""
    reconstruction: bool = True
    """Use DFR; otherwise the logits are exp(l) cos(v, t)."""
    confidence: Literal["head", "cosine"] = "head"
    """s: the visual branch over the training classes, or exp(l) cos(v, t) over the current classes."""
    branch_weight: float = 1.0
    """lambda, the weight of the cross-entropy of s (our choice)."""
    add_confidence: bool = False
    """Predict with the mean of softmax(logits) and softmax(s)."""

    def __post_init__(self) -> None:
        if min(self.num_frames, self.max_distance, self.num_context) < 1:
            raise ValueError(
                f"expected num_frames, max_distance and num_context of at least 1, got {self.num_frames}, "
                f"{self.max_distance}, {self.num_context}"
            )
        if self.branch_weight < 0 or (self.branch_weight == 0 and self.confidence == "head"):
            raise ValueError(
                f"expected branch_weight above 0 with confidence='head' (nothing else trains the head), and at least 0 "
                f"with 'cosine', got {self.branch_weight}"
            )
        if self.shared_context and self.class_agnostic and not self.alignment:
            raise ValueError(
                "a shared context without class names and without alignment is one prompt for all classes: set "
                "alignment=True, class_agnostic=False or shared_context=False"
            )


def differences(c: Float[Tensor, "N T D"], max_distance: int) -> Float[Tensor, "N M D"]:
    """Z: c_{t+d} - c_t for d = 1 .. max_distance, short distances first; M = 27 for T = 8 and max_distance = 6.

    Raises:
        ValueError: fewer than 2 frames.
    """
    num_frames = c.shape[1]
    if num_frames < 2:
        raise ValueError(f"motion prompts compare frames: expected at least 2 frames, got {num_frames}")
    return torch.cat([c[:, d:] - c[:, :-d] for d in range(1, min(max_distance, num_frames - 1) + 1)], 1)


class MotionPrompt(nn.Module):
    """VMP of one layer: one token per frame, by cross-attention from the frame to all differences of the clip."""

    def __init__(self, width: int, num_heads: int, *, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.frame, self.motion = nn.Linear(width, width), nn.Linear(width, width)  # W_c, W_m
        self.norm = nn.LayerNorm(width)  # LN_m
        self.attention = FrameAttention(width, num_heads)  # LN_c, MHA

    def forward(self, c: Float[Tensor, "N T D"]) -> Float[Tensor, "N T 1 D"]:
        z = self.norm(self.motion(differences(c, self.max_distance)))
        return self.attention(self.frame(c), z)[:, :, None]


def no_prompt(c: Float[Tensor, "N T D"]) -> Float[Tensor, "N T 0 D"]:
    """No prompts: a layer without VMP."""
    return c[:, :, None][:, :, :0]


class Alignment(nn.Module):
    """SA: ctx + alpha h, where h is ctx after cross-attention to the single key g and an MLP, in its smaller form."""

    def __init__(self, embed_dim: int, width: int) -> None:
        super().__init__()
        self.norm_name, self.value = nn.LayerNorm(embed_dim), nn.Linear(embed_dim, width)
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.alpha = nn.Parameter(torch.full((width,), 0.1))
        # X-CLIP draws every matrix from N(0, 0.02); `value` replaces the product of two
        for linear, std in ((self.value, 0.02**2 * math.sqrt(embed_dim)), (self.fc1, 0.02), (self.fc2, 0.02)):
            nn.init.normal_(linear.weight, std=std)
            nn.init.zeros_(linear.bias)

    def forward(self, context: Float[Tensor, "K n W"], g: Float[Tensor, "K E"]) -> Float[Tensor, "K n W"]:
        h = context + self.value(self.norm_name(g))[:, None]
        h = h + self.fc2(quick_gelu(self.fc1(self.norm(h))))
        return context + self.alpha * h


class Reconstruction(nn.Module):
    """DFR: cosine similarity of every video and class after each is reconstructed with the help of the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.text_in, self.text_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)  # MLP1
        self.video_in, self.video_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)  # MLP2

    def forward(
        self, v: Float[Tensor, "N E"], t: Float[Tensor, "K E"], s: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N K"]:
        """cos(v~_b, t~_bk) in float32; `v` and `t` are not L2-normalised."""
        video = self.video_out(quick_gelu(self.video_in(v + s @ t)))
        text_hidden, video_hidden = self.text_in(t), F.linear(v, self.text_in.weight)
        if is_exporting():  # a graph has no loop over an unknown number of videos
            return self._cosine(text_hidden, video, video_hidden, s)
        rows = max(1, PAIRS_AT_ONCE // len(t))
        cosines = []
        for part in zip(video.split(rows), video_hidden.split(rows), s.split(rows), strict=True):
            if torch.is_grad_enabled():
                cosines.append(checkpoint(self._cosine, text_hidden, *part, use_reentrant=False))
            else:
                cosines.append(self._cosine(text_hidden, *part))
        return torch.cat(cosines)

    def _cosine(
        self,
        text_hidden: Float[Tensor, "K H"],
        video: Float[Tensor, "R E"],
        video_hidden: Float[Tensor, "R H"],
        s: Float[Tensor, "R K"],
    ) -> Float[Tensor, "R K"]:
        hidden = text_hidden + s[:, :, None] * video_hidden[:, None]
        text = F.normalize(self.text_out(quick_gelu(hidden)).float(), dim=-1)
        return (text * F.normalize(video.float(), dim=-1)[:, None]).sum(-1)


class Model(Method):
    """Frozen CLIP with motion prompts and class-agnostic prompts; see the file's docstring."""

    config: Config
    ids: Tensor
    name_features: Tensor
    own: Tensor
    row: Tensor

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        super().__init__(config, clip)
        image, embed_dim, num_classes = clip.image, clip.embed_dim, len(class_names)
        self.time = nn.Parameter(0.02 * torch.randn(config.num_frames, image.width))
        self.motion: nn.ModuleList | None = None
        if config.motion_prompt:
            prompt = lambda: MotionPrompt(image.width, image.num_heads, max_distance=config.max_distance)  # noqa: E731
            self.motion = nn.ModuleList(prompt() for _ in image.layers)
        self.branch: nn.Sequential | None = None
        if config.confidence == "head":
            self.branch = nn.Sequential(nn.LayerNorm(embed_dim), nn.Linear(embed_dim, num_classes))
        num_rows = 1 if config.shared_context else num_classes
        self.context = nn.Parameter(0.02 * torch.randn(num_rows, config.num_context, clip.text.width))
        self.alignment = Alignment(embed_dim, clip.text.width) if config.alignment else None
        self.reconstruction = Reconstruction(embed_dim) if config.reconstruction else None
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.own_names = tuple(class_names)
        """The training classes: rows of the context and of the visual branch."""
        self.set_classes(class_names, class_names_zh)

    @property
    def open_vocabulary(self) -> bool:
        config = self.config
        return config.confidence == "cosine" or not (config.reconstruction or config.add_confidence)

    def training_only(self) -> Iterable[nn.Module]:
        return [self.branch] if self.branch is not None and self.open_vocabulary else []

    @property
    def per_class(self) -> tuple[str, ...]:
        return ("branch.1",) if self.config.shared_context else ("branch.1", "context")

    def _reorder(self, order: list[int]) -> None:
        super()._reorder(order)
        self.own_names = tuple(self.own_names[index] for index in order)

    @torch.no_grad()
    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        super().set_classes(names, names_zh)
        text, config = self.clip.text, self.config
        row = [self.own_names.index(name) if name in self.own_names else -1 for name in names]
        if config.shared_context:
            row = [0] * len(names)
        sentences = [f"{name}." for name in names]
        own = [index for index, at in enumerate(row) if at >= 0]
        endings = ["." if config.class_agnostic else sentences[index] for index in own]
        ids = text.tokenize(endings or ["."], reserve=config.num_context)
        # of the classes with a learned context alone: their places, rows of the context, and texts
        self.register_buffer("own", torch.tensor(own, dtype=torch.long, device=ids.device), persistent=False)
        rows = torch.tensor([row[index] for index in own], dtype=torch.long, device=ids.device)
        self.register_buffer("row", rows, persistent=False)
        self.register_buffer("name_features", text(sentences).sentence, persistent=False)  # g
        self.register_buffer("ids", ids, persistent=False)

    def trained_state(self, *, inference: bool = False) -> dict[str, Tensor]:
        """As in the base class; ValueError while other classes than those of training are set."""
        if self.class_names != self.own_names:
            raise ValueError(
                "the learned contexts belong to the training classes; call set_classes with those before saving"
            )
        return super().trained_state(inference=inference)

    def encode(self, video: Float[Tensor, "N T 3 S S"]) -> Float[Tensor, "N E"]:
        """v: the mean of the frames' projected class tokens, not L2-normalised."""
        check_video(video)
        num_frames = video.shape[1]
        time = self.time[torch.arange(num_frames, device=video.device) * len(self.time) // num_frames]
        prompts = self.motion or [no_prompt] * len(self.clip.image.layers)
        return prompted_frames(self.clip.image, video, time, prompts).mean(1)

    def encode_classes(self) -> Float[Tensor, "K E"]:
        """t, not L2-normalised."""
        features = self.name_features
        if len(self.own):
            context = self.context[self.row]
            if self.alignment is not None:
                context = self.alignment(context, features[self.own])
            learned = encode_prompts(self.clip.text, self.ids, context)
            features = features.index_put((self.own,), learned.to(features.dtype))
        return features

    def scores(self, v: Float[Tensor, "N E"]) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N C"]]:
        """The logits of the matching, and s, not detached; with `confidence="head"`, s is over the training classes."""
        t, scale = self.class_features(), self.logit_scale.exp()
        cosine = scale * F.normalize(v.float(), dim=-1) @ F.normalize(t.float(), dim=-1).T
        s = cosine if self.branch is None else self.branch(v)
        if self.reconstruction is None:
            return cosine, s
        return scale * self.reconstruction(v, t, s.detach()), s

    def head(self, features: Float[Tensor, "N E"]) -> Float[Tensor, "N K"]:
        """Logits; with `add_confidence`, the log of the mean of softmax(logits) and softmax(s)."""
        logits, s = self.scores(features)
        if not self.config.add_confidence:
            return logits
        return torch.logaddexp(logits.float().log_softmax(-1), s.float().log_softmax(-1)) - math.log(2)

    def loss(self, features: Float[Tensor, "N E"], labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the logits (`matching`) + lambda x cross-entropy of s (`branch`, given before lambda).

        Raises:
            ValueError: with the visual branch, while other classes than those of training are set.
        """
        if self.branch is not None and self.class_names != self.own_names:
            raise ValueError(
                "the visual branch only knows the training classes; call set_classes with those before training"
            )
        logits, s = self.scores(features)
        matching, branch = F.cross_entropy(logits.float(), labels), F.cross_entropy(s.float(), labels)
        return {"loss": matching + self.config.branch_weight * branch, "matching": matching, "branch": branch}


VARIANTS = {
    "no_vmp": Config(motion_prompt=False),
    "no_branch": Config(confidence="cosine", branch_weight=0.0),
    "no_cat": Config(class_agnostic=False),
    "no_sa": Config(alignment=False),
    "no_dfr": Config(reconstruction=False),
    "add_confidence": Config(add_confidence=True),
    # for classes not seen in training; `no_branch` and `no_dfr` have an open vocabulary, too
    "zero_shot": Config(confidence="cosine"),
    "zero_shot_no_vmp": Config(confidence="cosine", motion_prompt=False),
    "zero_shot_no_cat": Config(confidence="cosine", class_agnostic=False),
    "zero_shot_no_sa": Config(confidence="cosine", alignment=False),
    "zero_shot_no_dfr": Config(confidence="cosine", reconstruction=False, branch_weight=0.0),
    "zero_shot_shared": Config(confidence="cosine", shared_context=True),
}

_AUGMENT = {"grey": 0.0, "rand_augment": (4, 7)}
_TRAIN = {
    "lr": 1e-4, "weight_decay": 0.05, "betas": (0.9, 0.999), "epochs": 30, "batch_size": 64, "clip_grad_norm": None,
}  # fmt: skip
_KINETICS = {**_TRAIN, "lr": 4e-4, "epochs": 32, "batch_size": 256}
_OURS = "ours, after Vita-CLIP's public script"
_ALL = ("closed-set", "few-shot", "base-to-novel")
RECIPES = {
    "closed-set-kinetics400": Recipe(
        ("closed-set",), _OURS, _KINETICS, {"augment": _AUGMENT}, datasets=("kinetics400",)
    ),
    "jester": Recipe(_ALL, _OURS, _TRAIN, {"augment": {**_AUGMENT, "flip": 0.0}}, datasets=("jester",)),
    "small": Recipe(_ALL, _OURS, _TRAIN, {"augment": _AUGMENT}),
    "zero-shot": Recipe(("zero-shot",), _OURS, _KINETICS, {"augment": _AUGMENT}),
}
"""Ours, after Vita-CLIP's script, which the authors point to (30,000 steps on Kinetics-400 are 32 epochs). For unseen
classes use a variant with an open vocabulary, such as `zero_shot`. Jester: no flip, which would change the class."""

ABLATIONS = [
    Ablation(
        "Each part removed, supervised form",
        ("vita_clip/", "no_vmp", "no_branch", "no_cat", "no_sa", "no_dfr", "zero_shot", ""),
    ),
    Ablation(
        "Each part removed, zero-shot form",
        ("vita_clip/", "zero_shot_no_vmp", "zero_shot_no_cat", "zero_shot_no_sa", "zero_shot_no_dfr", "zero_shot"),
    ),
]

CARD = Card(
    "Gao et al., TMM 2025",
    "motion prompts in every layer, templates without class names, a visual branch",
    "equations against plain loops; token and parameter counts; gradients that must be zero; no public tables",
)
