"""Captions of single frames, in English and Chinese, that state only what one frame shows.

A caption mentions the person, the pose, the object and the place, but never the direction of time: a frame of a
reversible activity is described by its pose, or by both of its class names at once, in random order.
"""

import numpy as np

from actionprompt.world.figure import Actor
from actionprompt.world.scene import BOTTOMS, HAIRS, SHIRTS, Version

# Name of the pose: English phrases and Chinese phrases. `A | B` stands for both class names, in random order.
STATES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "standing": (("standing", "standing still", "standing with the arms down"), ("站着", "静静地站着", "垂着双臂站着")),
    "standing by chair": (
        ("standing next to a chair", "standing in front of a chair", "standing by a chair"),
        ("站在椅子旁", "站在椅子前"),
    ),
    "half crouched": (
        ("half crouched at a chair", "between sitting and standing", "sitting down | standing up"),
        ("半蹲在椅子前", "介于坐和站之间", "坐下 | 站起来"),
    ),
    "sitting": (("sitting on a chair", "sitting", "seated on a chair"), ("坐在椅子上", "坐着")),
    **{
        f"standing by {en}": (
            (f"standing next to a {en} on the floor", f"standing with a {en} at the feet"),
            (f"站着，脚边有{zh}", f"站在{zh}旁边"),
        )
        for en, zh in (("box", "一个箱子"), ("ball", "一个球"), ("bag", "一个包"))
    },
    **{
        f"bending to {en}": (
            (
                f"bending over a {en}",
                f"bending down with the hands at a {en}",
                "picking up an object | putting down an object",
            ),
            (f"弯着腰，双手碰着{zh}", f"弯腰对着{zh}", "捡起东西 | 放下东西"),
        )
        for en, zh in (("box", "一个箱子"), ("ball", "一个球"), ("bag", "一个包"))
    },
    **{
        f"holding {en}": (
            (f"holding a {en} in both hands", f"standing with a {en} in the hands"),
            (f"双手抱着{zh}", f"手里拿着{zh}站着"),
        )
        for en, zh in (("box", "一个箱子"), ("ball", "一个球"), ("bag", "一个包"))
    },
    "at closed door": (
        ("standing at a closed door", "in front of a closed door"),
        ("站在关着的门前", "在一扇关着的门前"),
    ),
    "at half-open door": (
        ("with a hand on a half-open door", "at a half-open door", "opening a door | closing a door"),
        ("手扶着半开的门", "站在半开的门前", "开门 | 关门"),
    ),
    "at open door": (("standing at an open door", "next to an open door"), ("站在开着的门前", "在一扇开着的门旁")),
    "leaning on box": (
        ("leaning against a large box", "with both hands on a large box", "pushing a box | pulling a box"),
        ("双手扶着一个大箱子", "倾身靠着大箱子", "推箱子 | 拉箱子"),
    ),
    "ball in the air": (
        ("with a ball in the air", "with the arms out and a ball in the air", "throwing a ball | catching a ball"),
        ("面前的球在空中", "伸着手，球在空中", "扔球 | 接球"),
    ),
    "hands ahead": (("standing with the hands held out", "with both hands in front"), ("伸着双手站着", "双手放在身前")),
    "on ladder": (
        ("on a ladder", "holding on to a ladder", "climbing up a ladder | climbing down a ladder"),
        ("在梯子上", "抓着梯子", "爬上梯子 | 爬下梯子"),
    ),
    "arms out": (
        ("with the arms stretched out to the sides", "with both arms out", "raising both arms | lowering both arms"),
        ("双臂向两侧伸开", "张开双臂", "举起双臂 | 放下双臂"),
    ),
    "arms ahead": (
        ("with the arms stretched out in front", "raising both arms | lowering both arms"),
        ("双臂向前伸直", "举起双臂 | 放下双臂"),
    ),
    "arms up": (("with both arms up", "with the arms above the head"), ("双臂高举", "双臂举过头顶")),
    "walking": (
        ("walking", "taking a step", "walking forwards | walking backwards"),
        ("走路", "迈着步子", "向前走 | 倒着走"),
    ),
    "crouching": (
        ("crouching low", "squatting", "between standing and lying", "lying down | getting up from the floor"),
        ("蹲着", "低低地蹲着", "介于站和躺之间", "躺下 | 从地上爬起来"),
    ),
    "sitting on floor": (
        ("sitting on the floor", "sitting on the floor with the legs out", "lying down | getting up from the floor"),
        ("坐在地上", "伸着腿坐在地上", "躺下 | 从地上爬起来"),
    ),
    "lying": (
        ("lying on the floor", "lying on the back", "lying on the floor, face up"),
        ("躺在地上", "仰面躺着", "平躺在地上"),
    ),
    "holding hat": (("holding a hat in one hand", "with a hat in the hand"), ("手里拿着帽子", "一只手拿着帽子")),
    "hat near head": (
        ("holding a hat near the head", "with a hat at the head", "putting on a hat | taking off a hat"),
        ("把帽子举在头边", "帽子举在头旁", "戴上帽子 | 摘下帽子"),
    ),
    "wearing hat": (("wearing a hat", "with a hat on the head"), ("戴着帽子", "头上戴着帽子")),
    "waving": (("waving a hand", "waving", "with one hand raised"), ("挥手", "举着一只手")),
    "clapping": (
        ("clapping", "clapping the hands", "clapping slowly | clapping quickly"),
        ("拍手", "鼓掌", "慢慢拍手 | 快速拍手"),
    ),
    "doing jumping jacks": (("doing jumping jacks", "jumping with arms and legs apart or together"), ("做开合跳",)),
    "running": (("running", "running fast"), ("跑步", "奔跑")),
    "marching": (("marching in place", "marching"), ("原地踏步", "踏步")),
    "punching": (("punching", "boxing with raised fists"), ("出拳", "举着拳头打拳")),
    "kicking": (("kicking", "kicking with one leg"), ("踢腿", "抬腿踢")),
    "doing push-ups": (("doing push-ups", "doing a push-up on the floor"), ("做俯卧撑", "在地上做俯卧撑")),
    "jumping rope": (("jumping rope", "skipping with a rope"), ("跳绳", "拿着绳子跳")),
    "doing a handstand": (("doing a handstand", "upside down on the hands"), ("倒立", "双手撑地倒立")),
    "reading a book": (
        ("reading a book", "sitting on a chair with a book", "sitting and reading a book"),
        ("看书", "坐在椅子上看书", "坐着看书"),
    ),
    "talking on the phone": (("talking on the phone", "with a phone at the ear"), ("打电话", "把手机放在耳边")),
    "playing the guitar": (("playing the guitar", "with a guitar in the hands"), ("弹吉他", "手里抱着吉他")),
    "sitting cross-legged": (
        ("sitting cross-legged", "sitting on the floor with crossed legs"),
        ("盘腿坐", "盘着腿坐在地上"),
    ),
}

OBJECTS: dict[str, str] = {
    "box": "箱子", "ball": "球", "bag": "包", "chair": "椅子", "door": "门", "ladder": "梯子", "hat": "帽子",
    "book": "书", "phone": "手机", "guitar": "吉他", "rope": "绳子",
    "bottle": "瓶子", "bucket": "水桶", "stool": "凳子",
}  # fmt: skip
"""English and Chinese names of everything that people use; the English ones are names of props."""
_MORE_THINGS = (("bucket", "一个水桶"), ("bottle", "一个瓶子"), ("book", "一本书"))
_THINGS = (("box", "一个箱子"), ("ball", "一个球"), ("bag", "一个包"), *_MORE_THINGS)

_SEATS = (("stool", "a stool", "凳子"), ("armchair", "an armchair", "扶手椅"))

# The poses that occur in version 2 only.
STATES_2: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{
        f"standing by {en}": (
            (f"standing next to a {en} on the floor", f"standing with a {en} at the feet"),
            (f"站着，脚边有{zh}", f"站在{zh}旁边"),
        )
        for en, zh in _MORE_THINGS
    },
    **{
        f"bending to {en}": (
            (
                f"bending over a {en}",
                f"bending down with a hand at a {en}",
                "picking up an object | putting down an object",
            ),
            (f"弯着腰，手碰着{zh}", f"弯腰对着{zh}", "捡起东西 | 放下东西"),
        )
        for en, zh in _MORE_THINGS
    },
    **{
        f"holding {en}": (
            (f"holding a {en}", f"standing with a {en} in the hand"),
            (f"拿着{zh}", f"手里拿着{zh}站着"),
        )
        for en, zh in _MORE_THINGS
    },
    **{
        f"standing by {en}": (
            (f"standing next to {one}", f"standing in front of {one}", f"standing by {one}"),
            (f"站在{zh}旁", f"站在{zh}前"),
        )
        for en, one, zh in _SEATS
    },
    **{
        f"half crouched at {en}": (
            (f"half crouched at {one}", "between sitting and standing", "sitting down | standing up"),
            (f"半蹲在{zh}前", "介于坐和站之间", "坐下 | 站起来"),
        )
        for en, one, zh in _SEATS
    },
    **{
        f"sitting on {en}": ((f"sitting on {one}", "sitting", f"seated on {one}"), (f"坐在{zh}上", "坐着"))
        for en, one, zh in _SEATS
    },
    "reading a book standing": (
        ("reading a book", "standing with a book", "standing and reading a book"),
        ("看书", "拿着书站着", "站着看书"),
    ),
    "reading a book seated": (
        ("reading a book", "sitting with a book", "sitting and reading a book"),
        ("看书", "坐着看书"),
    ),
    "facing somebody": (
        ("facing another person", "standing face to face with another person", "together with another person"),
        ("面对着另一个人", "和另一个人面对面站着", "和另一个人在一起"),
    ),
    **{
        f"handing over {en}": (
            (
                f"handing over a {en} to another person | taking a {en} from another person",
                f"with another person, handing over a {en}",
                "handing over an object to another person | taking an object from another person",
                f"with the hands at a {en} that another person touches, too",
            ),
            (
                f"把{zh}递给另一个人 | 从另一个人手里接过{zh}",
                f"和另一个人递{zh[2:]}",
                "和另一个人递东西",
                f"和另一个人一起拿着{zh}",
            ),
        )
        for en, zh in _THINGS
    },
    "high five": (
        ("giving a high five", "giving a high five to another person", "with a hand raised to that of another person"),
        ("和另一个人击掌", "举手和另一个人击掌"),
    ),
    "pushing somebody": (
        ("pushing somebody", "pushing another person", "pushing another person with the hands"),
        ("推人", "用手推另一个人", "伸手推另一个人"),
    ),
    "pushed by somebody": (
        (
            "pushed by another person",
            "staggering from the push of another person",
            "staggering, pushed by another person",
        ),
        ("被另一个人推", "被另一个人推得站不稳", "被人推了一下"),
    ),
    "hugging": (
        ("hugging", "hugging another person", "in the arms of another person"),
        ("和另一个人拥抱", "拥抱另一个人", "和另一个人抱在一起"),
    ),
}

WHO_ZH = {"man": "男人", "woman": "女人", "boy": "男孩", "girl": "女孩", "person": "人"}
STYLES = {
    "short": ("short {} hair", "{}色短发"),
    "long": ("long {} hair", "{}色长发"),
    "bun": ("{} hair in a bun", "{}色发髻"),
    "ponytail": ("a {} ponytail", "{}色马尾"),
    "afro": ("{} curly hair", "{}色卷发"),
    "bald": ("a bald head", "光头"),
    "bob": ("chin-length {} hair", "{}色齐颈短发"),
    "braid": ("a {} braid", "{}色辫子"),
    "pigtails": ("{} pigtails", "{}色双马尾"),
    "mohawk": ("a {} mohawk", "{}色莫西干头"),
}
BOTTOMS_ZH = {"trousers": "长裤", "shorts": "短裤", "skirt": "裙子"}
PLACES = {
    "living room": ("in a living room", "客厅里"),
    "kitchen": ("in a kitchen", "厨房里"),
    "office": ("in an office", "办公室里"),
    "gym": ("in a gym", "体育馆里"),
    "street": ("on a street", "街上"),
    "park": ("in a park", "公园里"),
    "beach": ("on a beach", "海滩上"),
    "snow": ("in the snow", "雪地里"),
    "stage": ("on a stage", "舞台上"),
    "classroom": ("in a classroom", "教室里"),
}


_EVERY = STATES | STATES_2


def states(version: Version) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The phrases of every pose that occurs in a version of the world, in English and Chinese."""
    return STATES if version == "1" else _EVERY


def _either(phrase: str, rng: np.random.Generator, word: str) -> str:
    names = phrase.split(" | ")
    if len(names) == 2 and rng.random() < 0.5:
        names.reverse()
    return word.join(names)


def caption(rng: np.random.Generator, *, actor: Actor, state: str, place: str) -> tuple[str, str]:
    """An English and a Chinese caption of one frame that mention the same attributes; the wording is random."""
    phrases, phrases_zh = _EVERY[state]
    phrase = _either(phrases[int(rng.integers(len(phrases)))], rng, " or ")
    phrase_zh = _either(phrases_zh[int(rng.integers(len(phrases_zh)))], rng, "或")
    says = {
        what: bool(rng.random() < p)
        for what, p in (("who", 0.7), ("shirt", 0.6), ("bottom", 0.35), ("hair", 0.35), ("place", 0.75))
    }
    who = actor.who if says["who"] else "person"
    style, style_zh = STYLES[actor.hair_style]
    hair = style.format(actor.hair_name)
    hair_zh = style_zh.format(HAIRS[actor.hair_name][1] if actor.hair_name else "")
    where, where_zh = PLACES[place]
    shirt, bottom = f"a {actor.shirt_name} shirt", f"{actor.bottom_name} {actor.bottom}"
    bottom = f"a {bottom}" if actor.bottom == "skirt" else bottom
    shirt = shirt.replace("a orange", "an orange")
    wear = [w for w, said in ((shirt, says["shirt"]), (bottom, says["bottom"])) if said]
    shirt_zh, bottom_zh = (
        f"{SHIRTS[actor.shirt_name][1]}上衣",
        f"{BOTTOMS[actor.bottom_name][1]}{BOTTOMS_ZH[actor.bottom]}",
    )
    wear_zh = [w for w, said in ((shirt_zh, says["shirt"]), (bottom_zh, says["bottom"])) if said]
    looks = (f" with {hair}" if says["hair"] else "") + (f" in {' and '.join(wear)}" if wear else "")
    opening = ("a {}", "a photo of a {}", "a picture of a {}", "there is a {}", "a {} is seen")[int(rng.integers(5))]
    subject = opening.format(who + looks)
    if says["place"] and rng.random() < 0.25:
        text = f"{where}, {subject} {phrase}"
    else:
        text = f"{subject} {phrase}" + (f" {where}" if says["place"] else "")
    owner_zh = f"{'有' if says['hair'] and actor.hair_style != 'bald' else ''}{hair_zh if says['hair'] else ''}" + (
        "的" if says["hair"] else ""
    )
    dress_zh = f"穿着{'和'.join(wear_zh)}的" if wear_zh else ""
    opening_zh = ("一个{}", "一张照片：一个{}", "图中有一个{}", "画面里一个{}", "这是一个{}")[int(rng.integers(5))]
    person_zh = opening_zh.format(owner_zh + dress_zh + WHO_ZH[who])
    text_zh = f"{person_zh}在{where_zh}，{phrase_zh}" if says["place"] else f"{person_zh}，{phrase_zh}"
    return text, text_zh
