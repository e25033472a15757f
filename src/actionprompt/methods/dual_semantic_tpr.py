"""Dual semantic supervision and temporal prompt reparameterisation: frozen CLIP, prompts that connect the frames.

L. Deng, J. Tan, F. Liu, "Adapting CLIP for Action Recognition via Dual Semantic Supervision and Temporal Prompt
Reparameterization", Electronics 13(16):3348, 2024. Equation, table and section numbers are the paper's.

In every layer of the frozen image tower, P = T + 1 + S prompts are appended to the tokens of each frame: its class
token after attention over the frames (Eq. 8), S global prompts, and T interchange prompts, one from every frame
(Eq. 9). A small network beta rewrites them (Eq. 12); they join the frozen attention (Eq. 13) and are then dropped. The
words of a label weight the frames (Eq. 6-7), so a video has one embedding per class it is compared with. English and
Chinese class names supervise and predict together (Eq. 15-18). The frozen text towers encode the class names once per
list of names. After that the Chinese tower is freed and the English one is kept in host memory, outside the module, so
that neither takes device memory or appears in the optimiser.

No code is public. Reconstructed, where the paper leaves it open:
- The inside of beta (the paper gives no sizes): a linear down projection, the named network, GELU, and a linear up
  projection that starts at zero, but without the residual, where all prompts would then be zero. Prompts have a single
  axis other than time, so a 2-D kernel over space becomes a kernel of 3 over the list of P prompts: R(2+1)D, C3D and
  TAda are (1x3)(3x1), 3x3 and 1x3 over time x prompts. The middle width of R(2+1)D follows
  its own rule of equal parameter counts. LSTM and transformer run over the P prompts of one frame. There is no batch
  norm, which would make a clip depend on its batch. `INNER_WIDTH` gives all six networks the size that the 54.2 M of
  Table 6 require, so that Table 3 compares kinds of networks, not sizes.
- The paper writes G as T x S x D and calls it global: here S tokens, the same in every frame. P_cls starts as the
  identity and the attention of Eq. 8 with an output of zero, so that training starts from CLIP's own class tokens,
  which the frozen layers were trained with. The temporal encoding of Eq. 1 is added where CLIP adds the spatial one,
  before its first LayerNorm; it starts at zero.
- F and w are L2-normalised in Eq. 6 (tau = 0.01 suggests cosines); F is not in Eq. 7. If the tokeniser splits a word,
  each of its tokens counts as a word. In Eq. 15, the frames of a video are weighted by the words of the text it is
  compared with, as in inference.
- With label smoothing or mixup, the targets of Eq. 15 follow the label distribution; the smoothed mass of all classes
  is shared by the candidates of the batch (`soft_targets`).
- As in all methods here, vectors (biases, norms) have no weight decay.

Without a class token, z of Eq. 8 is what the pooling of the backbone reads from the patches at the input of each layer.
The logits have the temperature tau, which is 1 / scale of the backbone unless it is given; its bias is not used.

Where the paper contradicts itself: Table 2 gives batch size 256, Sec. 4.4 and Table 6 give 32 for the numbers they
print. The baseline of Sec. 4.1.3, frozen CLIP with word-guided pooling, has nothing to train, yet its accuracy in
Table 7 grows with K. Table 5 prints a full stop after each template, Sec. 3.4 prints none after the default. Sec. 4.2.1
speaks of mean pooling, which Sec. 4.1.3 replaces: both are variants here.

What the printed learning rates can do: a step of AdamW moves a weight by about its learning rate, so the 60 steps of
few-shot with K = 2 at 4e-6, with warm-up and cosine, move none by more than 1.3e-4, and 3,360 steps on HMDB-51 at 5e-6
none by more than 0.009. The recommended few-shot recipe has the rate that the paper prints for Something-Something,
5e-4. Nobody has measured either here at full size; the printed recipe stays the recommended one for closed-set.

Trained parameters at ViT-B/16, S = 8 (published: 54.2 M at T = 8, Table 6), of 12 layers:

| part | T = 8 | T = 16 |
| --- | ---: | ---: |
| P_cls, Eq. 8 | 7,077,888 | 7,077,888 |
| attention over frames and its norm, Eq. 8 | 28,366,848 | 28,366,848 |
| global prompts | 73,728 | 73,728 |
| interchange prompts, Eq. 9 | 73,728 | 147,456 |
| beta (R(2+1)D), Eq. 12 | 18,409,248 | 18,409,248 |
| temporal encoding, Eq. 1 | 6,144 | 12,288 |
| all | 54,007,584 | 54,087,456 |

At T = 8 a prediction takes 1.05 times the MACs (multiply-accumulate operations) of the bare tower and 1.06 times
its time (results/costs/bench_b16.json); a training step takes 1.07 times as long as one through the frozen tower
(results/costs/dual_semantic_tpr_speed.json; an earlier run gave 1.14).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from actionprompt.backbone import CLIP, TextTower
from actionprompt.layers import gather_batch, same_label_targets
from actionprompt.method import Method
from actionprompt.methods._beta import Beta, Pieces, join
from actionprompt.methods._words import label_tokens
from actionprompt.paper import Ablation, Card, Recipe
from actionprompt.weights import TINY, TINY_ZH, Tokenizer, load_chinese_text

# Letters: N videos, T frames, P prompts of a frame, S global prompts, D tower width, E joint width, K classes,
# W words of the longest label, R rows of a learned table.

CHINESE_CLIP = {512: "OFA-Sys/chinese-clip-vit-base-patch16", 768: "OFA-Sys/chinese-clip-vit-large-patch14"}
"""By joint width E: the published Chinese-CLIP whose text tower is RoBERTa-wwm-base (Sec. 4.1.2)."""
PROBE = "动作"
"""A text whose embedding identifies the Chinese tower: it is saved with the model, which only names the tower. A
tokeniser that has these characters, which those of bytes or of English text do not, reads Chinese."""


@dataclass(frozen=True)
class Config:
    """Options of `dual_semantic_tpr`."""

    num_frames: int = 16
    """T, rows of the learned tables over time: 16 from Sec. 4.2.3 on; 4, 8, 16, 32 in Fig. 5b, 8 and 16 in Table 6.
    Every clip has to be sampled at as many frames."""
    num_global: int = 8
    """S, global prompts per layer; 5, 8, 10, 12 in Fig. 5c."""
    prompts: bool = True
    """Use temporal prompts; without them the tower is plain frozen CLIP and nothing is trained (Sec. 4.1.3)."""
    beta: Literal["none", "mlp", "lstm", "transformer", "tada", "c3d", "r2plus1d"] = "r2plus1d"
    """The network beta of Eq. 12 (Table 3); `none`: P_R = P (Fig. 5a)."""
    residual: bool = True
    """P_R = beta(P) + P (Eq. 12); without it P_R = beta(P) (Table 4)."""
    zero_start: bool = True
    """The output of the attention of Eq. 8 starts at zero, and with Eq. 12's residual that of beta, so that the prompts
    start as CLIP's own class tokens; False draws both at random."""
    pooling: Literal["words", "mean"] = "words"
    """Frames weighted by the words of the label (Eq. 6-7), or their mean (Eq. 4, Fig. 5a)."""
    template: str = "This is a video about {}"
    """English prompt with `{}` for the class name (Sec. 3.4, Table 5). Chinese names have no template."""
    chinese: str | None = "auto"
    """Chinese text tower: a hub name or folder; None: no Chinese branch. `auto` follows the backbone: its own, if that
    reads Chinese; `tiny_zh` for `tiny`, random weights for random ones; otherwise Chinese-CLIP of the same width."""
    fusion: float = 0.5
    """lambda of Eq. 18: weight of S_VT, the English similarity, in predictions. The paper prints no value;
    `actionprompt tune-fusion` chooses one on validation clips."""
    tau: float | None = None
    """tau, temperature of Eq. 6, 15, 16 and of the logits. None: that of the backbone, which for OpenAI's CLIP is the
    printed 0.01 (Sec. 4.1.2)."""

    def __post_init__(self) -> None:
        if min(self.num_frames, self.num_global) < 1:
            raise ValueError(
                f"expected num_frames and num_global of at least 1, got {self.num_frames} and {self.num_global}"
            )
        if self.template.count("{}") != 1:
            raise ValueError(f"expected a template with one {{}} for the class name, got {self.template!r}")
        if not 0 <= self.fusion <= 1:
            raise ValueError(f"expected fusion in [0, 1], got {self.fusion}")
        if self.tau is not None and not self.tau > 0:  # nor nan
            raise ValueError(f"expected tau above 0, got {self.tau}")


class Prompts(nn.Module):
    """The temporal prompts of one layer (Eq. 8-12)."""

    def __init__(self, width: int, num_heads: int, config: Config) -> None:
        super().__init__()
        self.project = nn.Linear(width, width, bias=False)  # P_cls
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.shared = nn.Parameter(torch.randn(config.num_global, width) * 0.02)  # G
        self.interchange = nn.Parameter(torch.randn(config.num_frames, width) * 0.02)  # I
        self.beta = None if config.beta == "none" else Beta(width, config.beta)
        self.residual = config.residual
        nn.init.eye_(self.project.weight)
        if config.zero_start:
            nn.init.zeros_(self.attention.out_proj.weight)
            if self.beta is not None and config.residual:  # without the residual all prompts would be zero
                self.beta.zero_output()

    def plain(self, z: Float[Tensor, "N T D"]) -> Pieces:
        """Class tokens of a layer's input -> P, in pieces (Eq. 8-10)."""
        x = self.project(z)  # Eq. 8: X_cls
        y = self.norm(x)
        c = self.attention(y, y, y, need_weights=False)[0] + x  # Eq. 8: C
        i = self.interchange + x  # Eq. 9: I_hat, the same T prompts for every frame
        return [c[:, :, None], self.shared[None, None], i[:, None]]  # Eq. 10, 11: {C, G, I_hat}

    def forward(self, z: Float[Tensor, "N T D"]) -> Pieces:
        """Class tokens of a layer's input -> P_R, in pieces (Eq. 12)."""
        plain = self.plain(z)
        if self.beta is None:
            return plain
        rewritten = self.beta(plain)
        return [b + p for b, p in zip(rewritten, plain)] if self.residual else rewritten  # Eq. 12


def frame_weights(
    frames: Float[Tensor, "N T E"], words: Float[Tensor, "K W E"], share: Float[Tensor, "K W"], tau: float
) -> Float[Tensor, "N K T"]:
    """W_t of Eq. 6: the weight of each frame for each class; sums to 1 over the frames. `words` are L2-normalised;
    `share` is 1 / (number of words) at the words of a label and 0 at the padding."""
    alike = torch.einsum("nte,kwe->nkwt", F.normalize(frames, dim=-1), words) / tau  # Eq. 6: F_t^T w_n / tau
    return torch.einsum("nkwt,kw->nkt", alike.softmax(-1), share)  # Eq. 6: softmax over t, mean over n


def contrastive(similarity: Float[Tensor, "N N"], labels: Tensor, own: Int[Tensor, " N"], tau: float) -> Tensor:
    """Eq. 15 and 16. Row i is video i, column j the text of clip j's class; all pairs of the same class are positives.
    `labels` are class indices [N] or soft labels [N, K]; `own` is the class index of every clip.

    Since the texts of a class are equal, its value equals that of CLIP's own loss, with the diagonal as the target."""
    same = same_label_targets(own)
    of_video, of_text = (same, same) if labels.ndim == 1 else soft_targets(labels, own)
    logits = similarity / tau
    loss_tv = F.cross_entropy(logits, of_video)  # Eq. 15: L_TV, Eq. 16: L_CV; the anchors are videos
    loss_vt = F.cross_entropy(logits.T, of_text)  # Eq. 15: L_VT, Eq. 16: L_VC; the anchors are texts
    return (loss_tv + loss_vt) / 2  # Eq. 15, 16


def soft_targets(
    labels: Float[Tensor, "N K"], own: Int[Tensor, " N"]
) -> tuple[Float[Tensor, "N N"], Float[Tensor, "N N"]]:
    """Eq. 15 for labels (1 - s) m + s / K, with mixup's weights m and label smoothing s: the targets of the videos over
    the texts, and of the texts over the videos, in rows that sum to 1.

    Eq. 15's 1 / |K(i)| on each positive becomes (1 - s) q + s / N. q divides an anchor's weight by m: a video's over
    its classes, within a class evenly over its texts; a text's over the videos, by the part that each has in its class.
    The N candidates share s evenly, instead of the K classes, of which most are not in the batch. So a positive class
    with n clips has 1 - s + s n / N. s / K is the smallest entry of a row: mixup leaves some class without weight."""
    smallest = labels.amin(1, keepdim=True)
    s = smallest * labels.shape[1]
    share = (labels - smallest)[:, own]  # row i, column j: (1 - s) times the part that clip i has in the class of j
    clips_of_class = (own[:, None] == own).sum(0)
    of_video = F.normalize(share / clips_of_class, p=1, dim=1)
    of_text = F.normalize(share, p=1, dim=0).T
    return (1 - s) * of_video + s / len(own), (1 - s.mean()) * of_text + s.mean() / len(own)


class Model(Method):
    """Frozen CLIP with temporal prompts and two languages; see the file's docstring."""

    config: Config
    text: Tensor
    words: Tensor
    word_share: Tensor
    text_zh: Tensor | None
    chinese_probe: Tensor

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        super().__init__(config, clip)
        self.tau = config.tau or 1 / float(clip.logit_scale.exp())
        self.clip_sha256 = clip.fingerprint()  # of both towers, before one of them is taken out
        self._text_tower = (clip.text.cpu(),)  # in a tuple, it is no submodule: not moved, not saved
        self.clip = copy.copy(clip)
        self.clip._modules = {name: module for name, module in clip._modules.items() if name != "text"}
        tower = clip.image
        if config.prompts:
            self.temporal = nn.Parameter(torch.randn(config.num_frames, tower.width) * 0.02)
            if config.zero_start:
                nn.init.zeros_(self.temporal)
            self.prompts = nn.ModuleList(Prompts(tower.width, tower.num_heads, config) for _ in tower.layers)
        self.set_classes(class_names, class_names_zh)

    @property
    def text_tower(self) -> TextTower:
        return self._text_tower[0]

    @property
    def frozen_features(self) -> bool:
        return not self.config.prompts

    @torch.no_grad()
    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        """As in the base class; encodes the names in both languages unless they are unchanged.

        Raises:
            ValueError: also a missing Chinese name with a Chinese branch, a name without words, or a Chinese tower that
                does not fit the backbone.
        """
        config, device = self.config, self.clip.logit_scale.device
        if config.chinese is not None and names_zh is None:
            raise ValueError(
                "expected a Chinese name for every class, since this model compares videos with both languages; give "
                "names_zh, or train with chinese=None"
            )
        before = self.class_names, self.class_names_zh
        super().set_classes(names, names_zh)
        if before == (self.class_names, self.class_names_zh):
            return
        (tower,) = self._text_tower
        features = tower([config.template.format(name) for name in names])
        words = F.normalize(tower.project(features.words), dim=-1)
        label_words = [row[at] for row, at in zip(words, label_tokens(tower, config.template, names))]
        shares = [torch.full((len(row),), 1 / len(row)) for row in label_words]
        text_zh = None
        if config.chinese is not None and names_zh is not None:
            text_zh, probe = self._chinese([*names_zh, PROBE]).split([len(names), 1])
            self.register_buffer("chinese_probe", probe[0].to(device))
        for name, value in {
            "text": F.normalize(features.sentence, dim=-1),
            "words": pad_sequence(label_words, batch_first=True),
            "word_share": pad_sequence(shares, batch_first=True),
            "text_zh": text_zh,
        }.items():
            self.register_buffer(name, None if value is None else value.to(device), persistent=False)

    def load_trained_state(self, state: dict[str, Tensor], *, inference: bool = False) -> None:
        """As in the base class; ValueError also if the Chinese tower is not the one the model was trained with."""
        if self.text_zh is not None and "chinese_probe" in state:
            likeness = float(
                F.cosine_similarity(state["chinese_probe"].float().cpu(), self.chinese_probe.float().cpu(), dim=0)
            )
            if likeness < 0.999:
                raise ValueError(
                    f"this model was trained with another Chinese text tower than the one that {self.config.chinese!r} "
                    f"gives here (cosine {likeness:.3f}); load the same checkpoint"
                )
        super().load_trained_state(state, inference=inference)

    def _chinese(self, names_zh: Sequence[str]) -> Float[Tensor, "K E"]:
        """L2-normalised Chinese text embeddings; a tower that is loaded for them is freed on return."""
        name, width, own = self.config.chinese, self.clip.embed_dim, self.text_tower
        if name == "auto" and isinstance(own.tokenizer, Tokenizer) and set(PROBE) <= own.tokenizer.vocab.keys():
            return F.normalize(own.sentences(names_zh), dim=-1)
        if name == "auto":
            random, tiny = self.clip.name.startswith("random:"), self.clip.name == TINY
            name = f"random:{width}" if random else TINY_ZH if tiny else CHINESE_CLIP.get(width)
        if name is None:
            raise ValueError(
                f"no published Chinese-CLIP has the joint width {width} of {self.clip.name!r}; set chinese to a tower "
                f"that has it, or to None"
            )
        tower = load_chinese_text(name)
        if tower.embed_dim != width:
            raise ValueError(
                f"expected a Chinese text tower of joint width {width}, as {self.clip.name!r}, got {tower.embed_dim} "
                f"from {name!r}; choose another, or set chinese=None"
            )
        return F.normalize(tower.sentences(names_zh), dim=-1)

    def encode(self, video: Float[Tensor, "N T 3 S S"]) -> Float[Tensor, "N T E"]:
        """As in the base class; with prompts ValueError also for another number of frames than `num_frames`."""
        if not self.config.prompts or video.ndim != 5 or video.shape[2] != 3:
            return super().encode(video)  # plain CLIP, or the error that describes the shape
        tower, size, num_frames = self.clip.image, video.shape[:2], self.config.num_frames
        if size[1] != num_frames:
            raise ValueError(
                f"expected {num_frames} frames per clip, as many as this model has learned prompts for, got {size[1]}; "
                f"set num_frames of the data to {num_frames}"
            )
        x = tower.embed(video.flatten(0, 1)).unflatten(0, size) + self.temporal[:, None]  # Eq. 1
        x = tower.pre_norm(x)
        layers: list[Any] = list(tower.layers)
        for layer, prompts in zip(layers, self.prompts):
            tokens = join([x, *prompts(tower.frame_token(x))], size).flatten(0, 1)  # [Z, P_R] of Eq. 13
            x = layer(tokens, keep=x.shape[2]).unflatten(0, size)  # Eq. 13; drop P_R; Eq. 14
        return tower.project(tower.frame_token(x))  # Eq. 3

    def similarities(
        self, features: Float[Tensor, "N T E"], classes: Int[Tensor, " C"] | None = None
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N K"] | None]:
        """S_VT and S_VC, cosine similarities in float32; `classes` selects some of the K classes."""
        pick = slice(None) if classes is None else classes
        with torch.autocast(features.device.type, enabled=False):
            frames = features.float()
            if self.config.pooling == "mean":
                weights = frames.new_full((frames.shape[0], 1, frames.shape[1]), 1 / frames.shape[1])  # Eq. 4
            else:
                weights = frame_weights(frames, self.words[pick], self.word_share[pick], self.tau)  # Eq. 6
            video = F.normalize(weights @ frames, dim=-1)  # Eq. 7
            s_vt = torch.einsum("nke,ke->nk", video, self.text[pick])  # Eq. 5
            s_vc = None if self.text_zh is None else torch.einsum("nke,ke->nk", video, self.text_zh[pick])  # Eq. 5
        return s_vt, s_vc

    def head(self, features: Float[Tensor, "N T E"]) -> Float[Tensor, "N K"]:
        s_vt, s_vc = self.similarities(features)
        fused = s_vt if s_vc is None else self.config.fusion * s_vt + (1 - self.config.fusion) * s_vc  # Eq. 18
        return fused / self.tau

    def loss(self, features: Float[Tensor, "N T E"], labels: Tensor) -> dict[str, Tensor]:
        """Eq. 15-17 over the clips of all processes; parts `video_text` and `video_chinese`."""
        frames, labels = gather_batch(features.float()), gather_batch(labels)
        own = labels if labels.ndim == 1 else labels.argmax(1)
        classes, column = own.unique(return_inverse=True)
        s_vt, s_vc = self.similarities(frames, classes)
        parts = {"video_text": contrastive(s_vt[:, column], labels, own, self.tau)}  # Eq. 15
        if s_vc is not None:
            parts["video_chinese"] = contrastive(s_vc[:, column], labels, own, self.tau)  # Eq. 16
        return {"loss": sum(parts.values(), torch.zeros((), device=frames.device)), **parts}  # Eq. 17


VARIANTS = {
    # Fig. 5a and Table 7, adding one part at a time; the full method is the default
    "mean_pooling": Config(prompts=False, pooling="mean", chinese=None),
    "baseline": Config(prompts=False, chinese=None),
    "prompts": Config(beta="none", chinese=None),
    "prompts_beta": Config(chinese=None),
    **{f"frames_{num}": Config(num_frames=num) for num in (4, 8, 16, 32)},  # Fig. 5b, Table 6
    **{f"global_{num}": Config(num_global=num) for num in (5, 10, 12)},  # Fig. 5c
    "beta_mlp": Config(beta="mlp"),  # Table 3
    "beta_lstm": Config(beta="lstm"),
    "beta_transformer": Config(beta="transformer"),
    "beta_tada": Config(beta="tada"),
    "beta_c3d": Config(beta="c3d"),
    "tada_no_residual": Config(beta="tada", residual=False),  # Table 4
    "c3d_no_residual": Config(beta="c3d", residual=False),
    "r2plus1d_no_residual": Config(residual=False),
    "template_a_video": Config(template="a video about {}."),  # Table 5
    "template_the_video": Config(template="the video is about {}."),
}

_COMMON = {"betas": (0.9, 0.999), "weight_decay": 0.01, "warmup_epochs": 5.0, "clip_grad_norm": None}
_RESIZE = {"resize_side": 256}
_OURS = "ours: the learning rate that the paper prints for Something-Something V1"
RECIPES = {
    "closed-set": Recipe(
        ("closed-set",), "Table 2, Sec. 4.4, Table 6", {**_COMMON, "lr": 5e-6, "epochs": 30, "batch_size": 32}, _RESIZE
    ),
    "few-shot": Recipe(
        ("few-shot",), "Table 2, Sec. 4.3", {**_COMMON, "lr": 4e-6, "epochs": 30, "batch_size": 64}, _RESIZE,
        recommended=False,
    ),
    "few-shot-ours": Recipe(
        ("few-shot", "base-to-novel"), _OURS, {**_COMMON, "lr": 5e-4, "epochs": 30, "batch_size": 64}, _RESIZE
    ),
    "something_v1": Recipe(
        ("closed-set",), "Sec. 4.4; strengths of the augmentation are ours",
        {**_COMMON, "lr": 5e-4, "epochs": 40, "batch_size": 16, "label_smoothing": 0.1},
        {**_RESIZE, "augment": {"flip": 0.0, "rand_augment": (4, 7), "random_erasing": 0.25}},
        datasets=("something_v1",),
    ),
    "closed-set-vit-l": Recipe(
        ("closed-set",), "Table 2", {**_COMMON, "lr": 5e-6, "epochs": 20, "batch_size": 256}, _RESIZE,
        recommended=False,
    ),
    "closed-set-ours": Recipe(
        ("closed-set",), _OURS, {**_COMMON, "lr": 5e-4, "epochs": 30, "batch_size": 32}, _RESIZE, recommended=False
    ),
}  # fmt: skip
"""For SSv1 the paper names RandAugment, random erasing and label smoothing without values (these are ours). It does not
mention the horizontal flip, which is off here, since left and right distinguish classes of SSv1."""

ABLATIONS = [
    Ablation(
        "The parts, one after the other (Figure 5a, Table 7)", ("baseline", "prompts", "prompts_beta", ""), "Table 7"
    ),
    Ablation(
        "The network beta (Table 3)",
        ("beta_mlp", "beta_lstm", "beta_transformer", "beta_tada", "beta_c3d", ""),
        "Table 3",
    ),
    Ablation(
        "Beta without its residual (Table 4)",
        ("tada_no_residual", "c3d_no_residual", "r2plus1d_no_residual", ""),
        "Table 4",
    ),
]

CARD = Card(
    "Deng et al., Electronics 2024",
    "prompts between frames in every layer, rewritten by a small network; English and Chinese names",
    "Eq. 6-16 against plain loops; loss over two processes; 54.2 M parameters within 1 %",
)
