"""The classes of ActionWorld: names, kinds, the motion behind each, and the place that is its home."""

from dataclasses import dataclass
from typing import Literal

from actionprompt.world import cyclic_motions as cyclic
from actionprompt.world import reversible_motions as reversible
from actionprompt.world import still_motions as still
from actionprompt.world.motion import Motion

Kind = Literal["reversible", "cyclic", "still"]


@dataclass(frozen=True)
class Activity:
    """A motion and its class, or the two classes of its two directions in time."""

    key: str
    """Short name, part of file names."""
    kind: Kind
    motion: Motion
    names: tuple[str, ...]
    """English class names: forwards, and for a reversible motion backwards."""
    names_zh: tuple[str, ...]
    home: str
    """The place that correlates with this activity in `train` and `test`, a key of `backgrounds.PLACES`."""


def _pair(motion: Motion, home: str, forwards: tuple[str, str], backwards: tuple[str, str]) -> Activity:
    return Activity(
        motion.__name__, "reversible", motion, (forwards[0], backwards[0]), (forwards[1], backwards[1]), home
    )


def _one(kind: Kind, motion: Motion, home: str, name: str, name_zh: str) -> Activity:
    return Activity(motion.__name__, kind, motion, (name,), (name_zh,), home)


# The first half of the classes (base) and the second half (novel) hold five pairs, five cyclic and three still classes
# each; the two classes of a pair and the two rhythms of clapping are in the same half. Every place is home to four
# classes.
ACTIVITIES: tuple[Activity, ...] = (
    _pair(reversible.sit, "living room", ("sitting down", "坐下"), ("standing up", "站起来")),
    _pair(reversible.pick_up, "office", ("picking up an object", "捡起东西"), ("putting down an object", "放下东西")),
    _pair(reversible.open_door, "street", ("opening a door", "开门"), ("closing a door", "关门")),
    _pair(reversible.raise_arms, "gym", ("raising both arms", "举起双臂"), ("lowering both arms", "放下双臂")),
    _pair(reversible.walk, "park", ("walking forwards", "向前走"), ("walking backwards", "倒着走")),
    _one("cyclic", cyclic.wave, "street", "waving a hand", "挥手"),
    _one("cyclic", cyclic.clap_slowly, "stage", "clapping slowly", "慢慢拍手"),
    _one("cyclic", cyclic.clap_quickly, "stage", "clapping quickly", "快速拍手"),
    _one("cyclic", cyclic.run, "beach", "running", "跑步"),
    _one("cyclic", cyclic.push_ups, "kitchen", "doing push-ups", "做俯卧撑"),
    _one("still", still.read, "living room", "reading a book", "看书"),
    _one("still", still.handstand, "gym", "doing a handstand", "倒立"),
    _one("still", still.phone, "office", "talking on the phone", "打电话"),
    _pair(reversible.push_box, "snow", ("pushing a box", "推箱子"), ("pulling a box", "拉箱子")),
    _pair(reversible.throw, "beach", ("throwing a ball", "扔球"), ("catching a ball", "接球")),
    _pair(reversible.climb, "kitchen", ("climbing up a ladder", "爬上梯子"), ("climbing down a ladder", "爬下梯子")),
    _pair(reversible.lie_down, "park", ("lying down", "躺下"), ("getting up from the floor", "从地上爬起来")),
    _pair(reversible.put_on_hat, "snow", ("putting on a hat", "戴上帽子"), ("taking off a hat", "摘下帽子")),
    _one("cyclic", cyclic.jumping_jacks, "gym", "doing jumping jacks", "做开合跳"),
    _one("cyclic", cyclic.march, "street", "marching in place", "原地踏步"),
    _one("cyclic", cyclic.punch, "stage", "punching", "出拳"),
    _one("cyclic", cyclic.kick, "beach", "kicking", "踢腿"),
    _one("cyclic", cyclic.jump_rope, "living room", "jumping rope", "跳绳"),
    _one("still", still.lie, "kitchen", "lying on the floor", "躺在地上"),
    _one("still", still.guitar, "stage", "playing the guitar", "弹吉他"),
    _one("still", still.sit_cross_legged, "office", "sitting cross-legged", "盘腿坐"),
)

CLASS_NAMES: tuple[str, ...] = tuple(name for a in ACTIVITIES for name in a.names)
CLASS_NAMES_ZH: tuple[str, ...] = tuple(name for a in ACTIVITIES for name in a.names_zh)
KIND: dict[str, Kind] = {name: a.kind for a in ACTIVITIES for name in a.names}
"""Kind of each class: `reversible` (two classes share one set of frames), `cyclic`, `still` (one frame shows it)."""
PAIRS: tuple[tuple[str, str], ...] = tuple((a.names[0], a.names[1]) for a in ACTIVITIES if len(a.names) == 2)
"""Reversible pairs: the second class is the first one played backwards."""
