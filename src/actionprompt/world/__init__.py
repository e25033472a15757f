"""ActionWorld: a generated world of people doing things, in which motion and appearance are known exactly.

`still` draws captioned images; `actionprompt.datasets.actionworld` has the videos.
"""

from actionprompt.world.scene import VERSION
from actionprompt.world.stills import Still, still

__all__ = ["VERSION", "Still", "still"]
