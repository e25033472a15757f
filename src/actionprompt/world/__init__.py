"""ActionWorld: a generated world of people doing things, in which motion and appearance are known exactly.

`still` draws a captioned image, `moments` several of one scene; `actionprompt.datasets.actionworld` and
`actionworld_v2` have the videos.
"""

from actionprompt.world.scene import VERSION, Version
from actionprompt.world.stills import Still, moments, still

__all__ = ["VERSION", "Still", "Version", "moments", "still"]
