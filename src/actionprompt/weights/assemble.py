"""A CLIP from its sizes, its weights and its tokeniser; every weight is accounted for."""

from collections.abc import Sequence

from torch import Tensor

from actionprompt.backbone import CLIP, CLIPShape
from actionprompt.weights.tokenizer import Tokenizer

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def assemble(
    shape: CLIPShape, state: dict[str, Tensor], tokenizer: Tokenizer, *, name: str, mean: Sequence[float],
    std: Sequence[float], where: str,
) -> CLIP:  # fmt: skip
    """A CLIP whose every weight comes from `state`, in float32.

    Raises:
        ValueError: weights that are missing, unknown or of another shape.
    """
    clip = CLIP(shape, tokenizer, name=name, mean=mean, std=std)
    own = clip.state_dict()
    missing, unknown = [key for key in own if key not in state], [key for key in state if key not in own]
    if missing or unknown:
        raise ValueError(
            f"{where}: {len(missing)} weights are missing from the checkpoint, the first is {missing[:1]}, and "
            f"{len(unknown)} are unknown, the first is {unknown[:1]}"
        )
    for key, value in own.items():
        if value.shape != state[key].shape:
            raise ValueError(
                f"{where}: {key}: expected shape {list(value.shape)}, as the configuration has it, got "
                f"{list(state[key].shape)}"
            )
    clip.load_state_dict(state)
    return clip.eval()
