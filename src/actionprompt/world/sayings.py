"""The texts that the tiny CLIP is trained and measured with: captions and prompts, and the images each is true of.

Texts describe single images, never their order: both class names of a reversible pair are used for the same images,
equally often.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from actionprompt.world.actions import ACTIVITIES
from actionprompt.world.captions import PLACES, STYLES, WHO_ZH, caption
from actionprompt.world.scene import BOTTOMS, HAIRS, SHIRTS, sample_actor

TEMPLATES = (
    "{}", "a photo of {}.", "a photo of a person {}.", "a video of {}.", "a video of a person {}.",
    "a video of a person doing {}.", "a example of a person during {}.",
    "a demonstration of the person performing {}.",
)  # fmt: skip
TEMPLATES_ZH = (
    "{}", "一张{}的照片", "一张一个人{}的照片", "一段{}的视频", "一段一个人{}的视频", "一个人正在{}", "视频中的人在{}"
)  # fmt: skip
OBJECTS = {
    "box": "箱子", "ball": "球", "bag": "包", "chair": "椅子", "door": "门", "ladder": "梯子", "hat": "帽子",
    "book": "书", "phone": "手机", "guitar": "吉他", "rope": "绳子",
}  # fmt: skip

Attributes = dict[str, str]
"""Those of a still, or those that a text states; see `stills.Still.attributes`."""


@dataclass(frozen=True)
class Prompt:
    """A sentence about one attribute."""

    english: str
    chinese: str
    words: dict[str, tuple[str, str]]
    """Word for each value of the attribute, in English and in Chinese."""

    def text(self, value: str, language: int) -> str:
        """The sentence for a value, in English (0) or Chinese (1)."""
        sentence = (self.english, self.chinese)[language].format(self.words[value][language])
        return re.sub(r"\ba (?=[aeiou])", "an ", sentence)


def _colours(table: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {name: (name, chinese) for name, (_, chinese) in table.items()}


PROMPTS = {
    "place": Prompt("a photo of a person {}", "一张照片：一个人在{}", PLACES),
    "who": Prompt("a photo of a {}", "一张照片：一个{}", {k: (k, v) for k, v in WHO_ZH.items() if k != "person"}),
    "shirt": Prompt("a photo of a person in a {} shirt", "一张照片：一个穿着{}上衣的人", _colours(SHIRTS)),
    "bottom_colour": Prompt("a photo of a person with {} legwear", "一张照片：一个下身穿{}的人", _colours(BOTTOMS)),
    "hair_colour": Prompt("a photo of a person with {} hair", "一张照片：一个有{}色头发的人", _colours(HAIRS)),
    "object": Prompt("a photo of a person and a {}", "一张照片：一个人和{}", {k: (k, v) for k, v in OBJECTS.items()}),
}
"""The prompt of each attribute that is measured zero-shot. The sentences also occur in training."""


def _names_of() -> dict[str, list[tuple[str, str]]]:
    names = {a.key: list(zip(a.names, a.names_zh, strict=True)) for a in ACTIVITIES}
    names["clap_slowly"] = names["clap_quickly"] = names["clap_slowly"] + names["clap_quickly"]
    return names


NAMES_OF = _names_of()
"""For each activity, the English and Chinese class names that are true of an image of it: both names of a reversible
pair, and both rhythms of clapping, since a single image shows neither direction nor rhythm."""


def say(attributes: Attributes, rng: np.random.Generator) -> tuple[str, str, Attributes]:
    """An English and a Chinese text that are true of an image, and the attributes that they state.

    70 % are captions, 20 % a class name in a template, 10 % one attribute in its prompt; the wording is sampled anew in
    every call.
    """
    lot = rng.random()
    if lot < 0.7:
        english, chinese = recaption(attributes, rng)
        return english, chinese, told(english, attributes)
    if lot < 0.9:
        names = NAMES_OF[attributes["activity"]]
        name, name_zh = names[int(rng.integers(len(names)))]
        template, template_zh = (t[int(rng.integers(len(t)))] for t in (TEMPLATES, TEMPLATES_ZH))
        what = "activity" if attributes["kind"] == "reversible" else "pose"
        return template.format(name), template_zh.format(name_zh), {what: attributes[what]}
    what = list(PROMPTS)[int(rng.integers(len(PROMPTS)))]
    if attributes[what] not in PROMPTS[what].words:  # no object, no hair: say who it is
        what = "who"
    value, prompt = attributes[what], PROMPTS[what]
    return prompt.text(value, 0), prompt.text(value, 1), {what: value}


def recaption(attributes: Attributes, rng: np.random.Generator) -> tuple[str, str]:
    """A new caption of the same image, in both languages."""
    actor = replace(
        sample_actor(0),
        who=attributes["who"], hair_style=attributes["hair"], hair_name=attributes["hair_colour"].replace("none", ""),
        shirt_name=attributes["shirt"], bottom=attributes["bottom"], bottom_name=attributes["bottom_colour"],
    )  # fmt: skip
    return caption(rng, actor=actor, state=attributes["pose"], place=attributes["place"])


def told(text: str, attributes: Attributes) -> Attributes:
    """The attributes that an English caption states."""
    hair = STYLES[attributes["hair"]][0].format(attributes["hair_colour"])
    phrases = {
        ("shirt",): f" {attributes['shirt']} shirt",
        ("bottom", "bottom_colour"): f" {attributes['bottom_colour']} {attributes['bottom']}",
        ("hair", "hair_colour"): f" {hair}" if attributes["hair"] != "bald" else hair,
        ("place",): PLACES[attributes["place"]][0],
    }
    names = ["pose", *(name for group, phrase in phrases.items() if phrase in text for name in group)]
    if attributes["who"] in re.findall(r"\w+", text):
        names.append("who")
    return {name: attributes[name] for name in names}


def true_of(facts: Sequence[Attributes], attributes: Sequence[Attributes]) -> Bool[np.ndarray, "K N"]:
    """`[k, n]`: whether everything that text k states is true of image n."""
    true = np.ones((len(facts), len(attributes)), bool)
    for name in attributes[0]:
        said = np.array([t.get(name, "") for t in facts])[:, None]
        true &= (said == "") | (said == np.array([a[name] for a in attributes]))
    return true


def ask(attributes: Sequence[Attributes], rng: np.random.Generator) -> Iterator[tuple[list[str], list[int], list[int]]]:
    """Classification questions: for every attribute of `PROMPTS`, and last for the activity by its class name, yields
    the English sentences for all values, the rows of the images that have one of the values, and the index of the value
    of each. Of class names that are true of the same images, a random one is used."""
    for what, prompt in PROMPTS.items():
        values = list(prompt.words)
        rows = [row for row, a in enumerate(attributes) if a[what] in values]
        yield [prompt.text(value, 0) for value in values], rows, [values.index(attributes[row][what]) for row in rows]
    groups = list(dict.fromkeys(tuple(names) for names in NAMES_OF.values()))
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    texts = [template.format(names[int(rng.integers(len(names)))][0]) for names in groups]
    yield texts, list(range(len(attributes))), [groups.index(tuple(NAMES_OF[a["activity"]])) for a in attributes]
