"""Recognise actions in video with a model that `actionprompt export` wrote.

import actionprompt_runtime

model = actionprompt_runtime.load("exported")
result = model.predict("clip.mp4")
print(result.label, result.score)
"""

from actionprompt_runtime.frames import VideoDecodeError
from actionprompt_runtime.model import Model, Prediction, load

__version__ = "0.1.0"
__all__ = ["Model", "Prediction", "VideoDecodeError", "load"]
