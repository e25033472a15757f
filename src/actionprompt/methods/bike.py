"""BIKE: the words of a class weight the frames of a video, and phrases found for the video classify it as well.

W. Wu, X. Wang, H. Luo, J. Wang, Y. Yang, W. Ouyang, "Bidirectional Cross-Modal Knowledge Exploration for Video
Recognition with Pre-trained Vision-Language Models", CVPR 2023. Equations are named by the paper's symbols; D6, D7, D15
and D18 are the numbers of the same equations in Deng et al. 2024 (`dual_semantic_tpr`). (code) marks facts read in the
authors' public code, configs and logs (whwu95/BIKE), of which nothing is copied.

- Video branch. A temporal transformer over the frame embeddings gives v_t. Video Concept Spotting: the words t_n of a
  class weight the frames, S_t = 1/N sum_n softmax_t(v_t t_n / tau) (D6). e_v = sum_t S_t v_t (D7) is the embedding of
  the video for this class, S_V its similarity to the class text e_c.
- Attributes branch. The phrases of a lexicon that are nearest to the video in the pretrained CLIP are its attributes;
  "This is a video about {attributes}" through the text tower is e_a, and S_A its similarity to e_c.
- L = L_V + L_A, each the symmetric cross-entropy over the pairs of a batch, where pairs of the same class are positives
  (D15). Prediction: S = lambda S_V + (1 - lambda) S_A (D18).
The image tower is fine-tuned, the text tower frozen (code: `fix_text`). Most published numbers are of the video branch
alone (`video`), those of few-shot recognition without the temporal transformer (`no_transformer`) (code).

As (code) has it, where the paper says less or otherwise:
- The words are all positions of the text tower: SOS, template, name, EOT and the padding up to 77, whose id is 0.
  `words="name"` takes the N words of the category, as in the paper's text.
- v_t and t_n are L2-normalised, e_v is not again. With `words="none"`, e_v is the mean of v_t and S_V a cosine.
- In S_A, the class text and the sentence each go through two linear layers with a ReLU of their own; L_A has its own
  temperature. All parameters have weight decay.

Reconstructed, or different from (code):
- Attributes are retrieved in every pass by a frozen copy of the backbone's own image tower; (code) reads them from a
  file that was made with ViT-L/14. The video embedding for it is the mean over the frames, a phrase has no template.
- Both branches are trained in one run, which is equal to two, as they share no parameter.
- The lexicon is the names of Kinetics-400; the paper also has those of ImageNet-1K, which are not shipped here.
- lambda = 0.7 is printed in the log of ViT-B/32 on Kinetics-400; the paper gives none. (code) adds softmax(S_V) and
  softmax(S_A) without temperatures, which ranks almost as S does, and averages such probabilities over the views: hence
  `pooling="logits"` in the recipes.
- Attributes that do not fit the context length are left out, the last ones first; (code) cuts the sentence.
- A text tower without causal mask reads its own padding, not the id 0; where its words attend to padding, this is part
  of every t_n. The bias of a sigmoid backbone shifts all logits alike.
- Left out: the trained text tower of Table 6.

Trained parameters at ViT-B/16; published: 106.8 M (Deng et al. 2024, Table 6):

| part | number |
| --- | ---: |
| image tower, temperature | 86,192,641 |
| temporal transformer, 6 layers, positions | 18,953,728 |
| video branch | 105,146,369 |
| attributes branch | 1,050,625 |
| all | 106,196,994 |
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
from actionprompt.layers import gather_batch, is_exporting, same_label_targets
from actionprompt.method import Method
from actionprompt.methods._lexicon import phrases
from actionprompt.methods._temporal import ReleasedTransformer, start_small
from actionprompt.methods._words import label_tokens
from actionprompt.paper import Ablation, Card, Published, Recipe

# Letters: N videos, T frames, E joint width, K classes, W words of a text, A attributes of a video, F = E or 0


@dataclass(frozen=True)
class Config:
    """Options of `bike`."""

    words: Literal["all", "name", "none"] = "all"
    """t_n of Video Concept Spotting: all positions of the text (code), the words of the class name, or none: the mean
    over the frames."""
    num_layers: int = 6
    """Layers of the temporal transformer (code); 0 for none."""
    attributes: bool = True
    """Use the attributes branch."""
    num_attributes: int = 5
    """Attributes per video (code)."""
    lexicon: str = "kinetics400"
    """The data set whose class names are the phrases."""
    fusion: float = 0.7
    """lambda, the weight of S_V in predictions (code)."""
    tau: float = 0.01
    """Temperature of S_t (code)."""
    template: str = "This is a video about {}"
    """Prompt with `{}` for the class name, or for the attributes, separated by commas (code)."""

    def __post_init__(self) -> None:
        if self.num_layers < 0 or self.num_attributes < 1:
            raise ValueError(
                f"expected num_layers of at least 0 and num_attributes of at least 1, got {self.num_layers}, "
                f"{self.num_attributes}"
            )
        if not 0 <= self.fusion <= 1 or not self.tau > 0:  # nor nan
            raise ValueError(f"expected fusion in [0, 1] and tau above 0, got {self.fusion}, {self.tau}")
        if self.template.count("{}") != 1:
            raise ValueError(f"expected a template with one {{}} for the class name, got {self.template!r}")


@dataclass(frozen=True)
class Features:
    """What `encode` gives for N videos."""

    frames: Float[Tensor, "N T E"]
    """Frame embeddings of the fine-tuned tower, not L2-normalised."""
    attributes: Float[Tensor, "N F"]
    """e_a, L2-normalised; without the attributes branch F = 0."""


class Attributes(nn.Module):
    """The attributes branch, with the frozen image tower that finds the attributes."""

    phrases: Tensor

    def __init__(self, config: Config, clip: CLIP) -> None:
        super().__init__()
        self.config, width = config, clip.embed_dim
        self.tower = copy.deepcopy(clip.image).requires_grad_(False)
        self.lexicon = phrases(config.lexicon)
        with torch.no_grad():
            embeddings = F.normalize(clip.text.sentences(self.lexicon), dim=-1)
        self.register_buffer("phrases", embeddings, persistent=False)
        self.of_class, self.of_sentence = (
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)).apply(start_small)
            for _ in range(2)
        )
        self.logit_scale = nn.Parameter(clip.logit_scale.detach().clone())

    @torch.no_grad()
    def retrieve(self, video: Float[Tensor, "N T 3 S S"]) -> Int[Tensor, "N A"]:
        """The phrases that are nearest to each video in the pretrained CLIP, the nearest first."""
        e_v = self.tower(video.flatten(0, 1)).unflatten(0, video.shape[:2]).float().mean(1)
        cosine = F.normalize(e_v, dim=-1) @ self.phrases.T
        return cosine.topk(min(self.config.num_attributes, len(self.lexicon)), dim=1).indices

    def sentence(self, row: Sequence[int], text: TextTower) -> str:
        """The sentence of the attributes, without the last ones where it would exceed the context length."""
        names = [self.lexicon[index] for index in row]
        while True:
            sentence = self.config.template.format(",".join(names))
            if len(names) == 1 or len(text.tokenizer.encode([sentence])[0]) <= text.context_length:
                return sentence
            names.pop()

    @torch.no_grad()
    def encode(self, video: Float[Tensor, "N T 3 S S"], text: TextTower) -> Float[Tensor, "N E"]:
        """e_a, L2-normalised."""
        if is_exporting():
            raise ValueError(
                "bike with its attributes writes a sentence about every video, and a graph has no tokeniser: train "
                "`--variant video`, or set --method.attributes False"
            )
        sentences = [self.sentence(row, text) for row in self.retrieve(video).tolist()]
        return F.normalize(text(sentences).sentence.float(), dim=-1)  # e_a

    def forward(self, e_a: Float[Tensor, "N E"], e_c: Float[Tensor, "K E"]) -> Float[Tensor, "N K"]:
        """S_A."""
        sentences, classes = self.of_sentence(e_a), self.of_class(e_c)
        return F.normalize(sentences.float(), dim=-1) @ F.normalize(classes.float(), dim=-1).T


def spotting(
    v: Float[Tensor, "N T E"],
    words: Float[Tensor, "K W E"],
    share: Float[Tensor, "K W"],
    e_c: Float[Tensor, "K E"],
    tau: float,
) -> Float[Tensor, "N K"]:
    """S_V by Video Concept Spotting. `v`, `words` and `e_c` are L2-normalised; `share` is 1/N at the words of a class
    and 0 at the padding."""
    alike = torch.einsum("nte,kwe->nkwt", v, words) / tau
    s_t = torch.einsum("nkwt,kw->nkt", alike.softmax(-1), share)  # S_t: softmax over t, mean over n (D6)
    return torch.einsum("nkt,nte,ke->nk", s_t, v, e_c)  # e_v = sum_t S_t v_t (D7); its product with e_c


def contrastive(similarity: Float[Tensor, "N N"], labels: Int[Tensor, " N"], scale: Float[Tensor, ""]) -> Tensor:
    """L_V or L_A: row i is video i, column j the text of video j's class; all pairs of the same class are positives."""
    logits, targets = scale.exp() * similarity, same_label_targets(labels)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2  # both directions (D15)


class Model(Method):
    """CLIP with Video Concept Spotting and the attributes branch; see the file's docstring."""

    config: Config
    text: Tensor
    words: Tensor
    share: Tensor

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        super().__init__(config, clip)
        self.attributes = Attributes(config, clip) if config.attributes else None
        clip.image.requires_grad_(True)
        clip.logit_scale.requires_grad_(True)
        self.temporal: nn.Module = nn.Identity()
        if config.num_layers:
            num_heads, max_frames = max(1, clip.text.width // 64), clip.text.context_length  # (code)
            self.temporal = ReleasedTransformer(clip.embed_dim, config.num_layers, num_heads, max_frames)
        self.set_classes(class_names, class_names_zh)

    @torch.no_grad()
    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        """As in the base class; ValueError also for a name without words, if these weight the frames."""
        before = self.class_names
        super().set_classes(names, names_zh)
        if before == self.class_names:
            return  # the text tower is frozen
        text, everything = self.clip.text, self.config.words == "all"
        ids = text.tokenize([self.config.template.format(name) for name in names])
        lengths = text.lengths(ids)
        if everything:  # every position, behind the EOT too
            padding = 0 if text.is_causal else text.tokenizer.pad_token_id  # (code) pads with the id 0
            ids = F.pad(ids, (0, text.context_length - ids.shape[1]))
            ids[torch.arange(ids.shape[1], device=ids.device) >= lengths[:, None]] = padding
        features = text.encode(text.token_embeddings(ids), lengths, cut=False)
        tokens = text.project(features.words)
        rows = [slice(None)] * len(names) if everything else label_tokens(text, self.config.template, names)
        words = [F.normalize(row[at], dim=-1) for row, at in zip(tokens, rows, strict=True)]
        for name, value in {
            "text": F.normalize(features.sentence, dim=-1),  # e_c
            "words": pad_sequence(words, batch_first=True),  # t_n
            "share": pad_sequence([row.new_full((len(row),), 1 / len(row)) for row in words], batch_first=True),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """`lr` for CLIP's parameters, 10 `lr` for the new ones, all with weight decay (code)."""
        trained = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        old = [p for name, p in trained if name.startswith("clip.") or name.endswith("logit_scale")]
        known = {id(p) for p in old}
        new = [p for _, p in trained if id(p) not in known]
        return [{"params": old, "lr": lr}, {"params": new, "lr": 10 * lr}] if new else [{"params": old, "lr": lr}]

    def encode(self, video: Float[Tensor, "N T 3 S S"]) -> Features:
        frames = super().encode(video)
        if self.attributes is None:
            return Features(frames, frames.new_zeros(frames.shape[0], 0))
        return Features(frames, self.attributes.encode(video, self.clip.text))

    def s_v(self, v: Float[Tensor, "N T E"], classes: Int[Tensor, " C"] | slice) -> Float[Tensor, "N C"]:
        """S_V in float32, from frame embeddings after the temporal transformer, for some of the classes."""
        with torch.autocast(v.device.type, enabled=False):
            v, e_c = v.float(), self.text[classes]
            if self.config.words == "none":
                return F.normalize(v.mean(1), dim=-1) @ e_c.T
            return spotting(F.normalize(v, dim=-1), self.words[classes], self.share[classes], e_c, self.config.tau)

    def head(self, features: Features) -> Float[Tensor, "N K"]:
        s = self.s_v(self.temporal(features.frames), slice(None))
        if self.attributes is not None:
            s = self.config.fusion * s + (1 - self.config.fusion) * self.attributes(
                features.attributes, self.text
            )  # D18
        return self.clip.score(s)

    def loss(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """L = L_V + L_A over the clips of all processes; parts `video` and `attributes`.

        Raises:
            ValueError: soft labels, since clips are compared by class.
        """
        if labels.ndim != 1:
            raise ValueError(
                "bike compares clips of the same class: expected one class index per clip, got soft labels; train "
                "without mixup and label smoothing"
            )
        v, labels = gather_batch(self.temporal(features.frames)), gather_batch(labels)
        classes, column = labels.unique(return_inverse=True)
        parts = {"video": contrastive(self.s_v(v, classes)[:, column], labels, self.clip.logit_scale)}
        if self.attributes is not None:
            s_a = self.attributes(gather_batch(features.attributes), self.text[classes])[:, column]
            parts["attributes"] = contrastive(s_a.float(), labels, self.attributes.logit_scale)
        return {"loss": sum(parts.values(), torch.zeros((), device=v.device)), **parts}


VARIANTS = {
    "video": Config(attributes=False),  # the video branch: all published models but one (code)
    "no_transformer": Config(attributes=False, num_layers=0),  # the few-shot configs (code)
    "mean_pooling": Config(attributes=False, num_layers=0, words="none"),  # Table 6: the baseline
    "attributes_only": Config(fusion=0.0),
    "label_words": Config(words="name"),  # the paper's text
}

_TRAIN = {
    "lr": 5e-6, "weight_decay": 0.2, "betas": (0.9, 0.999), "epochs": 20, "batch_size": 256, "warmup_epochs": 5.0,
    "clip_grad_norm": None,
}  # fmt: skip
_KINETICS = {**_TRAIN, "epochs": 30}
_DATA = {"resize_side": 256, "pooling": "logits"}
RECIPES = {
    "closed-set-kinetics400": Recipe(("closed-set",), "public configs for Kinetics-400; 4 x 3 views: README", _KINETICS,
                                     {**_DATA, "num_clips": 4, "num_crops": 3}, datasets=("kinetics400",)),
    "closed-set": Recipe(("closed-set",), "public configs for HMDB-51 and UCF-101", _TRAIN,
                         {**_DATA, "num_frames": 16}),
    "zero-shot": Recipe(("zero-shot",), "public configs for Kinetics-400", _KINETICS, _DATA),
    "few-shot": Recipe(("few-shot",), "ours: the public configs with 100 epochs for any K",
                       {**_TRAIN, "epochs": 100, "warmup_epochs": 25.0}, _DATA),
    **{
        f"few-shot-{dataset}-K{k}": Recipe(
            ("few-shot",), "public configs", {**_TRAIN, "epochs": 20 * repeats, "warmup_epochs": 5.0 * repeats}, _DATA,
            datasets=(dataset,), recommended=False,
        )
        for dataset, every in (("hmdb51", (35, 17, 8, 4)), ("ucf101", (47, 23, 11, 5)))
        for k, repeats in zip((2, 4, 8, 16), every)
    },
}  # fmt: skip
"""The learning rate is that of CLIP's parameters. The configs for HMDB-51 and UCF-101 start from a Kinetics-400 model.
In few-shot training, (code) repeats the list of K clips per class as often as it fits into the list of all training
clips (3,570 of HMDB-51, 9,537 of UCF-101), so one of its 20 epochs is 4 to 47 epochs here. (code) keeps the epoch that
is best on the test list, we keep the last one."""

ABLATIONS = [
    Ablation(
        "The parts, one after the other (after Table 6)",
        ("mean_pooling", "no_transformer", "video", "attributes_only", ""),
    ),
    Ablation("Words that weight the frames", ("label_words", "")),
]

CARD = Card(
    "Wu et al., CVPR 2023",
    "frames weighted by the words of the class, attributes from a lexicon, a temporal transformer",
    "equations against plain loops; parameters counted",
)

_K400 = "kinetics400"
PUBLISHED = [
    Published(_K400, "closed-set", 81.4, "README", backbone="ViT-B/32", num_frames=8),
    Published(_K400, "closed-set", 79.54, "authors' log", top5=94.70, variant="video", backbone="ViT-B/32",
              num_frames=8),
    Published(_K400, "closed-set", 69.97, "authors' log", top5=91.03, variant="attributes_only", backbone="ViT-B/32",
              num_frames=8),
    Published(_K400, "closed-set", 84.0, "README", variant="video", num_frames=8, views="4x3"),
    Published(_K400, "closed-set", 82.88, "authors' log", top5=96.09, variant="video", num_frames=8),
    Published(_K400, "closed-set", 87.4, "README", variant="video", backbone="ViT-L/14", num_frames=8, views="4x3"),
    Published(_K400, "closed-set", 88.1, "README", variant="video", backbone="ViT-L/14", num_frames=16, views="4x3"),
    *(
        Published(dataset, "closed-set", top1, f"Deng et al. 2024, Table {table}", variant="video",
                  num_frames=num_frames)
        for table, num_frames, row in ((6, 8, (72.22, 96.15)), (6, 16, (73.31, 96.63)), (8, None, (73.3, 96.6)))
        for dataset, top1 in zip(("hmdb51", "ucf101"), row)
    ),
    *(
        Published(dataset, f"few-shot K={k}", top1, "Deng et al. 2024, Table 7", variant="no_transformer")
        for dataset, row in (("hmdb51", (64.3, 67.6, 71.3, 71.9)), ("ucf101", (88.6, 91.5, 92.8, 93.3)))
        for k, top1 in zip((2, 4, 8, 16), row)
    ),
    Published("ucf101", "zero-shot", 80.83, "README, all clips", variant="video", backbone="ViT-L/14", num_frames=8),
    Published("hmdb51", "zero-shot", 52.75, "README, all clips", variant="video", backbone="ViT-L/14", num_frames=8),
]  # fmt: skip
"""From the authors' README and logs (last epoch), and from Deng et al.; the paper's own tables are not among them."""
