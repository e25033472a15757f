"""ActionWorld: a generated world of people doing things, in which motion and appearance are known exactly."""

from actionprompt.world.stills import Still, still

VERSION = "1"
"""Part of every path and seed. Any change of the pixels raises it."""

__all__ = ["VERSION", "Still", "still"]
