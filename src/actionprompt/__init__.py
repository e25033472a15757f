"""ActionPrompt: teach CLIP-like vision-language models to recognise human actions in video.

import actionprompt

model = actionprompt.load("runs/my_model")        # or actionprompt.zero_shot(["waving", "clapping"])
result = model.predict("clip.mp4")
print(result.label, result.score)
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from actionprompt.apps.teach import teach
    from actionprompt.apps.timeline import Timeline, timeline
    from actionprompt.evaluation import evaluate
    from actionprompt.prediction import Prediction, Predictor, load, zero_shot
    from actionprompt.training import train

HOMES = {
    "Prediction": "prediction", "Predictor": "prediction", "load": "prediction", "zero_shot": "prediction",
    "train": "training", "evaluate": "evaluation", "teach": "apps.teach",
    "Timeline": "apps.timeline", "timeline": "apps.timeline",
}  # fmt: skip
"""Where the public names live."""
__all__ = ["Prediction", "Predictor", "Timeline", "evaluate", "load", "teach", "timeline", "train", "zero_shot"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: `import actionprompt` alone loads no torch."""
    if name in HOMES:
        return getattr(importlib.import_module(f"actionprompt.{HOMES[name]}"), name)
    raise AttributeError(f"module 'actionprompt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
