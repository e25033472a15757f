"""ActionPrompt: teach CLIP-like vision-language models to recognise human actions in video.

import actionprompt

model = actionprompt.load("runs/my_model")        # or actionprompt.zero_shot(["waving", "clapping"])
result = model.predict("clip.mp4")
print(result.label, result.score)
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from actionprompt.predict import Prediction, Predictor, load, zero_shot

__all__ = ["Prediction", "Predictor", "load", "zero_shot"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: `import actionprompt` alone loads no torch."""
    if name in __all__:
        from actionprompt import predict

        return getattr(predict, name)
    raise AttributeError(f"module 'actionprompt' has no attribute {name!r}")
