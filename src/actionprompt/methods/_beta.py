"""The networks beta of `dual_semantic_tpr`, which rewrite a layer's prompts (Deng et al., 2024, Eq. 12, Table 3).

The paper names the networks and prints a single parameter count, for one of them. Their widths and inner structure are
reconstructed, as described in `dual_semantic_tpr`.

Letters: N videos, T frames, P prompts of a frame, S global prompts, D tower width, H width inside beta.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from actionprompt.layers import Block

INNER_WIDTH = {"mlp": 1000, "lstm": 352, "transformer": 224, "tada": 408, "c3d": 336, "r2plus1d": 336}
"""H for D = 768, chosen so that the trained parameters are 54.2 M within 1 % (Table 6); otherwise proportional to D."""


class FrameSequence(nn.Module):
    """An LSTM layer or two transformer layers over the P prompts of each frame."""

    def __init__(self, width: int, *, lstm: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True) if lstm else None
        self.blocks = nn.ModuleList([] if lstm else [Block(width, 4), Block(width, 4)])

    def forward(self, x: Float[Tensor, "N T P H"]) -> Float[Tensor, "N T P H"]:
        y = x.flatten(0, 1)
        if self.lstm is not None:
            y = self.lstm(y)[0]
        for block in self.blocks:
            y = block(y)
        return y.unflatten(0, x.shape[:2])


class Conv(nn.Conv2d):
    """Convolution over time x prompts, zero-padded to keep the size, channels last."""

    def __init__(self, width_in: int, width_out: int, over_time: int, over_prompts: int) -> None:
        super().__init__(width_in, width_out, (over_time, over_prompts), padding=(over_time // 2, over_prompts // 2))

    def forward(self, x: Float[Tensor, "N T P H"]) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class TAda(nn.Module):
    """Temporally adaptive convolution (Huang et al., ICLR 2022): the kernel over the prompts is scaled per frame and
    input channel by factors computed from the frame's temporal context, which equals scaling its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv(width, width, 1, 3)
        self.whole = nn.Linear(width, width)
        self.reduce = nn.Conv1d(width, width // 4, 3, padding=1)
        self.expand = nn.Conv1d(width // 4, width, 3, padding=1)
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "N T P H"]) -> Float[Tensor, "N T P H"]:
        frame = x.mean(2)
        context = frame + self.whole(frame.mean(1, keepdim=True))
        alpha = 1 + self.expand(F.relu(self.reduce(context.mT))).mT
        return self.conv(x * alpha[:, :, None])


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "mlp": lambda width: nn.Identity(),
    "lstm": lambda width: FrameSequence(width, lstm=True),
    "transformer": lambda width: FrameSequence(width, lstm=False),
    "tada": TAda,
    "c3d": lambda width: Conv(width, width, 3, 3),
    # middle width after Tran et al. (CVPR 2018, Sec. 3.5), for as many parameters as c3d: 9 H^2 / (3 H + 3 H)
    "r2plus1d": lambda w: nn.Sequential(Conv(w, w * 3 // 2, 1, 3), nn.ReLU(), Conv(w * 3 // 2, w, 3, 1)),
}

Pieces = list[Float[Tensor, "#N #T _ D"]]
"""The prompts of a layer, in pieces along their axis P: summary [N, T, 1, D], global [1, 1, S, D], interchange
[N, 1, T, D]. Along an axis N or T of length 1 a piece is the same for every video or frame; it is expanded only where
the values differ."""


def join(pieces: Pieces, size: Sequence[int]) -> Float[Tensor, "N T P D"]:
    """The pieces, expanded to `size` = (N, T) and concatenated along P."""
    return torch.cat([piece.expand(*size, -1, -1) for piece in pieces], 2)


class Beta(nn.Module):
    """The reparameterisation network beta of Eq. 12, without the residual."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        inner = max(8, round(INNER_WIDTH[kind] * width / 768 / 8) * 8)
        self.down, self.network, self.up = nn.Linear(width, inner), NETWORKS[kind](inner), nn.Linear(inner, width)

    def zero_output(self) -> None:
        """Set the up projection to zero, so that beta(P) = 0."""
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, pieces: Pieces) -> Pieces:
        """P -> beta(P). Prompts that frames share are projected down once; only `mlp` keeps them shared after that."""
        hidden = [self.down(piece) for piece in pieces]
        if isinstance(self.network, nn.Identity):
            return [self.up(F.gelu(piece)) for piece in hidden]
        joined = self.network(join(hidden, pieces[0].shape[:2]))
        return list(self.up(F.gelu(joined)).split([piece.shape[2] for piece in pieces], 2))
