"""The classes of ActionWorld: names, kinds, the motion behind each, and the place that is its home."""

from dataclasses import dataclass, replace
from typing import Literal

from actionprompt.world import cyclic_motions as cyclic
from actionprompt.world import interaction_motions as interaction
from actionprompt.world import reversible_motions as reversible
from actionprompt.world import still_motions as still
from actionprompt.world.motion import Motion
from actionprompt.world.scene import Version

Kind = Literal["reversible", "cyclic", "still", "interaction"]


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


# Version 2: each half has two interactions more, and every place is home to a pair of one half and to two classes of
# the other, so that the place alone tells as much of the base classes as of the novel ones.
_HOMES_2: dict[str, str] = {
    "sit": "living room",
    "pick_up": "office",
    "open_door": "street",
    "raise_arms": "gym",
    "walk": "park",
    "wave": "snow",
    "clap_slowly": "stage",
    "clap_quickly": "stage",
    "run": "beach",
    "push_ups": "snow",
    "read": "classroom",
    "handstand": "beach",
    "phone": "kitchen",
    "push_box": "stage",
    "throw": "beach",
    "climb": "kitchen",
    "lie_down": "classroom",
    "put_on_hat": "snow",
    "jumping_jacks": "gym",
    "march": "office",
    "punch": "gym",
    "kick": "street",
    "jump_rope": "park",
    "lie": "living room",
    "guitar": "park",
    "sit_cross_legged": "office",
}
_MOVED = tuple(replace(activity, home=_HOMES_2[activity.key]) for activity in ACTIVITIES)
_ACTIVITIES_2: tuple[Activity, ...] = (
    *_MOVED[:13],
    _one("interaction", interaction.hand_over, "classroom", "handing over an object", "递东西"),
    _one("interaction", interaction.high_five, "kitchen", "giving a high five", "击掌"),
    *_MOVED[13:],
    _one("interaction", interaction.push, "street", "pushing somebody", "推人"),
    _one("interaction", interaction.hug, "living room", "hugging", "拥抱"),
)


def activities(version: Version) -> tuple[Activity, ...]:
    """The activities of a version in the order of their classes; the first half of the classes is the base half."""
    return ACTIVITIES if version == "1" else _ACTIVITIES_2


def class_names(version: Version) -> tuple[str, ...]:
    return tuple(name for activity in activities(version) for name in activity.names)


def class_names_zh(version: Version) -> tuple[str, ...]:
    return tuple(name for activity in activities(version) for name in activity.names_zh)


def kinds(version: Version) -> dict[str, Kind]:
    """Kind of each class: `reversible` (two classes share one set of frames), `cyclic`, `still` (one frame shows it),
    and in version 2 `interaction` (of two people)."""
    return {name: activity.kind for activity in activities(version) for name in activity.names}


def pairs(version: Version) -> tuple[tuple[str, str], ...]:
    """Reversible pairs: the second class is the first one played backwards."""
    return tuple((a.names[0], a.names[1]) for a in activities(version) if len(a.names) == 2)


# Of version 1:
CLASS_NAMES: tuple[str, ...] = class_names("1")
CLASS_NAMES_ZH: tuple[str, ...] = class_names_zh("1")
KIND: dict[str, Kind] = kinds("1")
PAIRS: tuple[tuple[str, str], ...] = pairs("1")
