"""Seeing in Flowing: text prompts driven by the motion of the video, on a frozen CLIP.

Q. Wang, J. Du, K. Yan, S. Ding, "Seeing in Flowing: Adapting CLIP for Action Recognition with Motion Prompts Learning",
ACM MM 2023, arXiv 2308.04828. There is no public code. The abstract and published numbers fix the structure; the
equations here are a reconstruction from documented parts of other papers:

- Known: both towers are frozen; the method starts from frame embeddings; a two-stream Motion Modeling Block (MMB)
  models short- and long-term motion from differences of frame embeddings, in parallel with a spatial stream; the motion
  drives a dynamic prompts learner, which gives Motion-Aware Prompts (MAP); a Multimodal Communication Block (MCB)
  exchanges information between the modalities; matching is by cosine similarity. ViT-B/16 with 8 frames: 142 G MACs
  (multiply-accumulate operations) per view and 143.9 M parameters without the token table, about 19.6 M of them new.
- MMB, motion: reconstructed, after the strided differences in MIP-CLIP's public code. For d = 1 (short-term) and
  d = 2..min(6, T-2) (long-term), D(d, t) = f[t+d] - f[t], plus a learned embedding of t (and of d); one transformer
  block per stream; motion tokens = the tokens of both streams; m = linear(mean short, mean long).
- MMB, spatial: reconstructed, after the multi-frame integration of X-CLIP (Ni et al., ECCV 2022):
  P = F + Block(F + pos), p = mean P, v = p + m.
- MAP: reconstructed, after X-CLIP's video-specific prompts: h = CrossBlock(U, motion tokens), MAP = U + alpha h, with
  learned base prompts U and learned alpha, initially 0.1. `metanet`: U + net(m), after CoCoOp (Zhou et al., CVPR 2022).
- Text: [SOS] MAP name . [EOT]. Where MAP enters is reconstructed: `eot_cut` is plain prompt learning; `late` follows
  TC-CLIP (Kim et al., ECCV 2024), `output` X-CLIP. Which one the paper uses is unknown. Its 142 G MACs leave 1.5 G in
  addition to the image tower; ours take 2.5 G with `late`, 3.6 G with `output`, 130 G with `eot_cut` at 400 classes.
- MCB: reconstructed, as two cross-attention blocks with learned scales beta_t and beta_v, initially 0.1:
  t' = t + beta_t CrossBlock(t, P), v' = v + beta_v CrossBlock(v, {t}). There are no positions over classes.
- Known: logits = logit_scale cos(v', t'), where logit_scale is 100 in OpenAI's weights; cross-entropy, in which the
  bias of a sigmoid backbone cancels.

Training starts at mean-pooled CLIP with the base prompts, except for the scales of 0.1: the linear layer of m, `pos`
and the output projections of the spatial block start at zero. Scales have one entry per channel, like X-CLIP's alpha.

The text differs for every video and class. Its cost is reduced without changing the result: sequences are cut after the
longest EOT; under the causal mask, the tokens [SOS] MAP do not depend on the name, so they run once per video and the
names attend to their keys and values; the last layer runs at the EOT position only. Classes are processed in chunks,
which are recomputed in the backward pass if there is more than one. In a text tower without causal mask every token
depends on the name, and every pair of video and class runs as a sentence of its own: with `eot_cut` through all layers,
with `late` through the last one, where U is what the layers before have made of the base prompts in that sentence.

Trained parameters at ViT-B/16, T = 8, M = 8:

    MMB short 3,152,384 | long 3,152,384 | embeddings of t and d 6,656 | linear of m 524,800 | spatial 3,156,480
    MAP base prompts 4,096 | cross block and alpha 3,153,920 | MCB 2 x 3,153,920 | together 19,458,560

Letters: N videos, T frames, E width of the joint space, W width of the text tower, K classes, k classes of a chunk,
M prompts, P = 1 + M tokens of a prefix [SOS] MAP, L tokens of a name with its full stop and EOT, J motion tokens,
H heads of width d.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from actionprompt.backbone import CLIP, Layer
from actionprompt.layers import Block, is_exporting
from actionprompt.method import Method
from actionprompt.paper import Ablation, Card, Recipe


@dataclass(frozen=True)
class Config:
    """Options of `seeing_in_flowing`."""

    num_frames: int = 8
    """Largest number of frames per view: rows of the position tables (8 in the paper)."""
    short: bool = True
    """MMB: use differences of adjacent frames."""
    long_term: Literal["stride", "first", "mean", "none"] = "stride"
    """MMB: differences over 2 to 6 frames, to the first frame, to the mean over frames, or no long-term stream."""
    spatial: bool = True
    """MMB: use the spatial stream; without it P = F."""
    prompts: Literal["motion", "metanet", "static"] = "motion"
    """MAP from the motion tokens, base prompts shifted by a small network of m (CoCoOp), or the base prompts alone."""
    num_prompts: int = 8
    """M, base prompts."""
    text_form: Literal["auto", "eot_cut", "late", "output"] = "auto"
    """Where the motion enters the text: before the first layer, before the last layer, or after the tower. `auto` is
    replaced by one of the first two when the model is built, by the number of classes and the text tower; the
    configuration of the model, and with it the manifest, records which. Later class names do not change it."""
    late_above: int = 50
    """`auto` chooses `late` for more classes than this: 51 full sentences per video take 11.5 G MACs, compared with
    140.5 G of ViT-B/16 on 8 frames (results/costs/seeing_in_flowing_text.json). Without a causal mask nothing of a
    sentence is shared, and with SigLIP's 64 tokens they take more than the frames: there it is always `late`."""
    communicate_text: bool = True
    """MCB: t' attends to the frames."""
    communicate_video: bool = True
    """MCB: v' attends to the class texts."""
    pairs_per_chunk: int = 512
    """Sentences (videos x classes) that run through the text tower at once; bounds memory (our choice). Of 64 tokens
    instead of a name's few, each takes several times the memory."""

    def __post_init__(self) -> None:
        for name, least in (("num_prompts", 1), ("pairs_per_chunk", 1), ("num_frames", self.least_frames)):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} of at least {least}, got {getattr(self, name)}")
        if self.prompts != "static" and not self.short and self.long_term == "none":
            raise ValueError(f"prompts={self.prompts!r} needs a motion stream: keep one, or set prompts='static'")

    @property
    def least_frames(self) -> int:
        """Smallest number of frames that gives every motion stream at least one difference."""
        return 4 if self.long_term == "stride" else 2


@dataclass(frozen=True)
class Motion:
    """Output of the motion streams; without any stream, no tokens and a zero vector."""

    tokens: Float[Tensor, "N J E"]
    """The tokens of both streams."""
    vector: Float[Tensor, "N E"]
    """m."""


def differences(frames: Float[Tensor, "N T E"], kind: str) -> list[Float[Tensor, "N _ E"]]:
    """Differences of frame embeddings in time order, one tensor per distance; `kind`: `short` or `Config.long_term`."""
    num_frames = frames.shape[1]
    if kind == "first":
        return [frames[:, 1:] - frames[:, :1]]
    if kind == "mean":
        return [frames - frames.mean(1, keepdim=True)]
    distances = range(1, 2) if kind == "short" else range(2, min(6, num_frames - 2) + 1)
    return [frames[:, d:] - frames[:, :-d] for d in distances]


class MotionStreams(nn.Module):
    """MMB, short- and long-term streams: frame embeddings -> motion tokens and motion vector m."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        self.kinds = (["short"] if config.short else []) + ([config.long_term] if config.long_term != "none" else [])
        self.blocks = nn.ModuleList(Block(width, num_heads(width)) for _ in self.kinds)
        if self.kinds:
            self.time = nn.Parameter(torch.randn(config.num_frames, width) * 0.02)
            self.to_vector = nn.Linear(len(self.kinds) * width, width)
            nn.init.zeros_(self.to_vector.weight)
            nn.init.zeros_(self.to_vector.bias)
        if config.long_term == "stride":
            self.distance = nn.Parameter(torch.randn(max(0, min(6, config.num_frames - 2) - 1), width) * 0.02)

    def forward(self, frames: Float[Tensor, "N T E"]) -> Motion:
        if not self.kinds:
            return Motion(frames[:, :0], torch.zeros_like(frames[:, 0]))
        streams = []
        for kind, block in zip(self.kinds, self.blocks, strict=True):
            parts = [part + self.time[: part.shape[1]] for part in differences(frames, kind)]
            if kind == "stride":
                parts = [part + distance for part, distance in zip(parts, self.distance)]
            streams.append(block(torch.cat(parts, 1)))
        means = torch.cat([stream.mean(1) for stream in streams], -1)
        return Motion(torch.cat(streams, 1), self.to_vector(means))


class Update(nn.Module):
    """MAP: updates text tokens (prompts or, with `output`, class features) from the motion of the video."""

    def __init__(self, kind: Literal["motion", "metanet"], width: int, motion_width: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "metanet":
            hidden = max(16, motion_width // 16)  # reduction factor of CoCoOp
            self.net = nn.Sequential(nn.Linear(motion_width, hidden), nn.ReLU(), nn.Linear(hidden, width))
            return
        same = width == motion_width  # as in all of OpenAI's ViT models
        self.bring = nn.Identity() if same else nn.Linear(motion_width, width)
        self.block = Block(width, num_heads(width), cross=True)
        self.alpha = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Float[Tensor, "#N X W"], motion: Motion) -> Float[Tensor, "N X W"]:
        if self.kind == "metanet":
            return x + self.net(motion.vector)[:, None]
        x = x.expand(motion.tokens.shape[0], -1, -1)
        return x + self.alpha * self.block(x, self.bring(motion.tokens))


def num_heads(width: int) -> int:
    """Heads of 64 channels, as in CLIP: 8 at E = 512."""
    return max(1, width // 64)


class Model(Method):
    """Frozen CLIP with motion-aware prompts; see the file's docstring."""

    config: Config
    tokens: Tensor  # [K, l, W]: the sentences without prompts and positions
    names: Tensor  # [K, L, W]: what is behind the prompts, with positions
    lengths: Tensor  # [K]: number of tokens with prompts that are attended to
    read: Tensor  # [K]: the position that a sentence is read at
    reach: Tensor  # [K]: number of tokens that are attended to from there

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        if config.text_form == "auto":
            is_dear = len(class_names) > config.late_above or not clip.text.is_causal
            config = replace(config, text_form="late" if is_dear else "eot_cut")
        super().__init__(config, clip)
        width, text_width = clip.embed_dim, clip.text.width
        self.shares_prefix = clip.text.is_causal
        """Whether [SOS] MAP run once for all names; without it, whole sentences give the same, in any tower."""
        self.motion = MotionStreams(config, width)
        if config.spatial:
            self.spatial = Block(width, num_heads(width)).zero_output()
            self.position = nn.Parameter(torch.zeros(config.num_frames, width))
        self.base_prompts = nn.Parameter(torch.randn(config.num_prompts, text_width) * 0.02)
        if config.prompts != "static":
            self.update = Update(config.prompts, width if config.text_form == "output" else text_width, width)
        if config.communicate_text:
            self.text_from_video = Block(width, num_heads(width), cross=True)
            self.beta_text = nn.Parameter(torch.full((width,), 0.1))
        if config.communicate_video:
            self.video_from_text = Block(width, num_heads(width), cross=True)
            self.beta_video = nn.Parameter(torch.full((width,), 0.1))
        self.set_classes(class_names, class_names_zh)

    @property
    def frozen_features(self) -> bool:
        return True

    @torch.no_grad()
    def set_classes(self, names: Sequence[str], names_zh: Sequence[str] | None = None) -> None:
        """As in the base class; ValueError also for prompts and names that exceed the context length of the tower."""
        super().set_classes(names, names_zh)
        tower, num_prompts = self.clip.text, self.config.num_prompts
        ids = tower.tokenize([f"{name}." for name in names], reserve=num_prompts)
        tokens, lengths, length = tower.token_embeddings(ids), tower.lengths(ids), ids.shape[1] + num_prompts
        lengths = lengths + num_prompts
        read = tower.positions_read(lengths, length)
        if tower.pieces.fixed_length:  # padding counts like words
            lengths = torch.full_like(lengths, length)
        x = tower.add_positions(tower.insert(tokens, tokens.new_zeros(len(tokens), num_prompts, tower.width)))
        for name, value in {
            "tokens": tokens,
            "names": x[:, tower.tokenizer.num_start + num_prompts :],
            "lengths": lengths,
            "read": read,
            "reach": read + 1 if tower.is_causal else lengths,
        }.items():
            self.register_buffer(name, value, persistent=False)
        self._kept: tuple[tuple, tuple[Tensor | None, Any]] | None = None

    def head(self, features: Float[Tensor, "N T E"]) -> Float[Tensor, "N K"]:
        """Frame embeddings -> logits; ValueError for fewer than `least_frames` or more than `num_frames` frames."""
        least, most = self.config.least_frames, self.config.num_frames
        if not least <= features.shape[1] <= most:
            raise ValueError(
                f"expected {least} to {most} frames per view for this configuration (its num_frames is {most}), got "
                f"{features.shape[1]}; sample as many, or train a model with another num_frames"
            )
        group = max(1, 64 * self.config.pairs_per_chunk // len(self.class_names))
        in_parts = not (torch.is_grad_enabled() or is_exporting())
        if in_parts and len(features) > group:  # many views: t alone would fill the memory
            return torch.cat([self.head(part) for part in features.split(group)])
        motion = self.motion(features)
        frames = features  # P
        if self.config.spatial:
            frames = features + self.spatial(features + self.position[: features.shape[1]])
        video = frames.mean(1) + motion.vector
        text = self.text(motion).expand(features.shape[0], -1, -1)
        video2, text2 = video, text  # v' and t'
        if self.config.communicate_video:
            video2 = video + self.beta_video * self.video_from_text(video[:, None], text)[:, 0]
        if self.config.communicate_text:

            def seen(classes: slice) -> Tensor:
                part = text[:, classes]
                return part + self.beta_text * self.text_from_video(part, frames)

            text2 = self._in_chunks(seen, features.shape[0])
        cosine = (F.normalize(video2.float(), dim=-1)[:, None] * F.normalize(text2.float(), dim=-1)).sum(-1)
        return self.clip.score(cosine)

    def text(self, motion: Motion) -> Float[Tensor, "#N K E"]:
        """t: embeddings of all class sentences, not L2-normalised; one row if they are the same for every video."""
        form = "static" if self.config.prompts == "static" else self.config.text_form
        num_videos, num_start = motion.tokens.shape[0], self.clip.tokenizer.num_start
        if form == "eot_cut":
            start, names = self._before_last(self.update(self.base_prompts[None], motion))
            return self._in_chunks(lambda c: self._sentences(start, self._ends(names(c), c), c), num_videos)
        prefix, early = self._early()
        ends: Callable[[slice], list[Tensor]]
        if prefix is not None:
            ends = lambda c: [x[:, c] for x in early]  # noqa: E731
            if form == "late":
                prompts = self.update(prefix[:, num_start:], motion)
                prefix = torch.cat([prefix[:, :num_start].expand(num_videos, -1, -1), prompts], 1)
        elif form == "late":
            ends = lambda c: self._ends(self._updated(early[:, c], motion), c)  # noqa: E731
        else:
            ends = lambda c: self._ends(early[:, c], c)  # noqa: E731
        text = self._in_chunks(lambda c: self._sentences(prefix, ends(c), c), num_videos if form == "late" else 1)
        if form == "output":
            return self._in_chunks(lambda c: self.update(text[:, c], motion), num_videos)
        return text

    def _early(self) -> tuple[Float[Tensor, "1 P W"] | None, Any]:
        """`_before_last` for the base prompts and all names; with a prefix, the `_ends` of the names. They are the same
        for all videos, so without gradients they are computed once per class list."""
        if is_exporting() and self._kept is not None:  # of the call before: constants of the graph
            return self._kept[1]
        device = self.base_prompts.device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        key = (self.base_prompts.data_ptr(), self.base_prompts._version, autocast)
        if not torch.is_grad_enabled() and self._kept is not None and self._kept[0] == key:
            return self._kept[1]
        prefix, names = self._before_last(self.base_prompts[None])
        x = self._in_chunks(names, 1)
        early = prefix, (x if prefix is None else self._ends(x, slice(None)))
        self._kept = None if torch.is_grad_enabled() else (key, early)
        return early

    def _before_last(
        self, prompts: Float[Tensor, "N M W"]
    ) -> tuple[Float[Tensor, "N P W"] | None, Callable[[slice], Tensor]]:
        """Through all layers but the last: the prefix, if it does not depend on the names, and the tokens behind it of
        the given classes [N, k, L, W]; without a prefix, whole sentences."""
        if not self.shares_prefix:
            return None, lambda classes: self._whole(classes, prompts)
        memory, prefix = self._prefix(prompts)
        return prefix, lambda classes: self._names(classes, memory)

    def _whole(self, classes: slice, prompts: Float[Tensor, "N M W"]) -> Float[Tensor, "N k L W"]:
        """The sentences of the given classes with the prompts of every video, through all layers but the last."""
        tower, tokens, num_videos = self.clip.text, self.tokens[classes], prompts.shape[0]
        prompts = prompts[:, None].expand(-1, len(tokens), -1, -1)
        x = tower.add_positions(tower.insert(tokens.expand(num_videos, -1, -1, -1), prompts)).flatten(0, 1)
        bias = tower.key_bias(self.lengths[classes].repeat(num_videos), x.shape[1])
        for layer in self._layers()[:-1]:
            x = layer(x, bias)
        return x.unflatten(0, (num_videos, len(tokens)))

    def _updated(self, x: Float[Tensor, "1 k L W"], motion: Motion) -> Float[Tensor, "N k L W"]:
        """Whole sentences with their prompts updated from the motion of every video."""
        sizes = [self.clip.tokenizer.num_start, self.config.num_prompts]
        before, prompts, behind = x.split([*sizes, x.shape[2] - sum(sizes)], 2)
        prompts = self.update(prompts.flatten(1, 2), motion).unflatten(1, prompts.shape[1:3])
        return torch.cat([y.expand(prompts.shape[0], -1, -1, -1) for y in (before, prompts, behind)], 2)

    def _prefix(self, prompts: Float[Tensor, "N M W"]) -> tuple[list[tuple[Tensor, Tensor]], Float[Tensor, "N P W"]]:
        """[SOS] and prompts through all layers but the last: keys and values in each of these, and the output."""
        tower = self.clip.text
        sos = self.tokens[:1, : tower.tokenizer.num_start].expand(prompts.shape[0], -1, -1)
        x = tower.add_positions(tower.insert(sos, prompts))
        causal = x.new_ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        memory = []
        for layer in self._layers()[:-1]:
            keys, values = layer.keys_values(x)
            memory.append((keys, values))
            x = layer.feed_forward(layer.attend_to(x, keys, values, causal))
        return memory, x

    def _names(self, classes: slice, memory: list[tuple[Tensor, Tensor]]) -> Float[Tensor, "N k L W"]:
        """Tokens of the given class names after each prefix, through all layers but the last."""
        names = self.names[classes]
        num_videos, (num_names, length) = memory[0][0].shape[0] if memory else 1, names.shape[:2]
        x = names.expand(num_videos, -1, -1, -1).flatten(0, 1)
        for layer, (prefix_keys, prefix_values) in zip(self._layers(), memory):
            keys, values = layer.keys_values(x)
            keys = torch.cat([_repeat(prefix_keys, num_names), keys], 2)
            values = torch.cat([_repeat(prefix_values, num_names), values], 2)
            causal = x.new_ones(length, keys.shape[2], dtype=torch.bool).tril(keys.shape[2] - length)
            x = layer.feed_forward(layer.attend_to(x, keys, values, causal))
        return x.unflatten(0, (num_videos, num_names))

    def _ends(self, x: Float[Tensor, "N k L W"], classes: slice) -> list[Tensor]:
        """What the last layer needs from the last L tokens of sentences: the token that is read [N, k, W], and the keys
        and values of all [N, k, H, L, d]."""
        before = self.tokens.shape[1] + self.config.num_prompts - x.shape[2]
        at_read = x[:, torch.arange(x.shape[1], device=x.device), self.read[classes] - before]
        keys_values = self._layers()[-1].keys_values(x.flatten(0, 1))
        return [at_read, *(y.unflatten(0, x.shape[:2]) for y in keys_values)]

    def _sentences(
        self, prefix: Float[Tensor, "_ P W"] | None, ends: list[Tensor], classes: slice
    ) -> Float[Tensor, "N k E"]:
        """The last layer, at the position that is read only, and the projection."""
        tower, layer, reach = self.clip.text, self._layers()[-1], self.reach[classes]
        num_videos, num_names = max(ends[0].shape[0], 0 if prefix is None else prefix.shape[0]), len(reach)
        at_read, keys, values = (x.expand(num_videos, *x.shape[1:]).flatten(0, 1) for x in ends)
        if prefix is not None:
            before = [_repeat(x, num_names) for x in layer.keys_values(prefix)]
            keys, values = torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)
        seen = torch.arange(keys.shape[2], device=reach.device) < reach[:, None]
        seen = seen.repeat(num_videos, 1)[:, None, None]
        x = layer.feed_forward(layer.attend_to(at_read[:, None], keys, values, seen))
        return tower.project(tower.final_norm(x[:, 0])).unflatten(0, (num_videos, num_names))

    def _layers(self) -> list[Layer]:
        return list(self.clip.text.layers)  # type: ignore[arg-type]

    def _in_chunks(self, part: Callable[[slice], Tensor], num_videos: int) -> Tensor:
        """`part` of all classes, [N, K, ...], in chunks that bound memory. With more than one chunk, `part` runs again
        in the backward pass, so variables that it closes over must not be reassigned after this call."""
        num_videos = 1 if is_exporting() else num_videos  # a graph has no chunks of unknown size
        size = max(1, self.config.pairs_per_chunk // num_videos)
        pieces = [slice(start, start + size) for start in range(0, len(self.class_names), size)]
        if len(pieces) == 1 or not torch.is_grad_enabled():
            return torch.cat([part(piece) for piece in pieces], 1)
        return torch.cat([checkpoint(part, p, use_reentrant=False, preserve_rng_state=False) for p in pieces], 1)


def _repeat(x: Float[Tensor, "N H P d"], num_names: int) -> Float[Tensor, "Nk H P d"]:
    """Keys or values of every prefix, once for each name."""
    return x[:, None].expand(-1, num_names, -1, -1, -1).flatten(0, 1)


VARIANTS = {
    "no_short": Config(short=False),
    "no_long": Config(long_term="none"),
    "no_spatial": Config(spatial=False),
    "no_motion": Config(short=False, long_term="none", prompts="static"),
    "no_map": Config(prompts="static"),
    "no_mcb": Config(communicate_text=False, communicate_video=False),
    "no_mcb_text": Config(communicate_text=False),
    "no_mcb_video": Config(communicate_video=False),
    "long_first": Config(long_term="first"),
    "long_mean": Config(long_term="mean"),
    "late": Config(text_form="late"),
    "output": Config(text_form="output"),
    "metanet": Config(prompts="metanet"),
    "metanet_late": Config(prompts="metanet", text_form="late"),
}

_OURS = "ours, after X-CLIP, Efficient-Prompt and ViFi-CLIP"
_SMALL = {"lr": 1e-4, "weight_decay": 0.01, "batch_size": 64, "warmup_epochs": 5.0}
_KINETICS = {"lr": 8e-5, "weight_decay": 0.001, "batch_size": 256, "warmup_epochs": 5.0, "betas": (0.9, 0.98)}
RECIPES = {
    "closed-set-kinetics400": Recipe(("closed-set",), _OURS, {**_KINETICS, "epochs": 30}, datasets=("kinetics400",)),
    "closed-set": Recipe(("closed-set",), _OURS, {**_SMALL, "epochs": 30}),
    "few-shot": Recipe(("few-shot", "base-to-novel"), _OURS, {**_SMALL, "epochs": 50}),
    "zero-shot": Recipe(("zero-shot",), _OURS, {**_KINETICS, "epochs": 10}),
}
"""Ours, after X-CLIP, Efficient-Prompt and ViFi-CLIP; the paper's settings are unknown."""

ABLATIONS = [
    Ablation(
        "Each block removed",
        ("zeroshot/linear", "no_motion", "no_short", "no_long", "no_spatial", "no_map", "no_mcb", ""),
    ),
    Ablation("How the prompts reach the text", ("no_map", "late", "")),
]

CARD = Card(
    "Wang et al., ACM MM 2023",
    "prompts from motion, the two modalities exchange before the match; CLIP stays frozen",
    "reconstruction: blocks against plain loops, zero at the start, 19.5 M parameters within 1 %",
)
