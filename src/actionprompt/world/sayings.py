"""The texts that the tiny CLIP is trained and measured with: captions, prompts and class names, and the images that
each is true of.

Texts describe single images, never their order: both class names of a reversible pair, and the other wordings of both,
are used for the same images, equally often. Only texts are compared with texts by their order (`wordings`).

An image without known colours (`COLOURS`), as one in grey, has no such attributes, and no text about it mentions them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from actionprompt.world.actions import activities
from actionprompt.world.captions import OBJECTS, PLACES, STYLES, WHO_ZH, caption
from actionprompt.world.paraphrases import NUM_HELD_OUT, WORDINGS
from actionprompt.world.scene import BOTTOMS, HAIRS, SHIRTS, sample_actor

TEMPLATES = (
    "{}", "a photo of {}.", "a photo of a person {}.", "a video of {}.", "a video of a person {}.",
    "a video of a person doing {}.", "a example of a person during {}.",
    "a demonstration of the person performing {}.",
)  # fmt: skip
TEMPLATES_ZH = (
    "{}", "一张{}的照片", "一张一个人{}的照片", "一段{}的视频", "一段一个人{}的视频", "一个人正在{}", "视频中的人在{}"
)  # fmt: skip
"""Templates of class names; those in English hold seven that OpenAI published for video (see `methods.zeroshot`)."""
MORE_TEMPLATES = (
    "This is a video about {}", "a video about {}.", "a person {}.", "a photo of a person doing {}.",
    "the person is {}", "human action of {}", "{}, an action",
)  # fmt: skip
MORE_TEMPLATES_ZH = ("一张{}的照片。", "一段{}的视频。", "一个人在{}的视频。", "一个人在{}。", "一段一个人{}的视频。")
"""Others, which occur in training only."""
ALL_TEMPLATES: tuple[tuple[str, ...], tuple[str, ...]] = (TEMPLATES + MORE_TEMPLATES, TEMPLATES_ZH + MORE_TEMPLATES_ZH)
"""In English (0) and Chinese (1)."""
PREDICATE_TEMPLATES = ("{}", "a person {}.", "somebody {}", "the person {}", "a video in which a person {}.")
"""Those of predicates, as "gets up from the chair"."""

Attributes = dict[str, str]
"""Those of a still, or those that a text states; see `stills.Still.attributes`."""
COLOURS = ("shirt", "bottom_colour", "hair_colour")
"""The attributes that are colours."""
COLOUR_WORDS = frozenset((*SHIRTS, *BOTTOMS, *HAIRS))


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


CLASSES: tuple[tuple[str, str], ...] = tuple(
    name for a in activities("2") for name in zip(a.names, a.names_zh, strict=True)
)
"""The English and the Chinese name of every class."""


def _names_of() -> dict[str, list[tuple[str, str]]]:
    names = {a.key: list(zip(a.names, a.names_zh, strict=True)) for a in activities("2")}
    names["clap_slowly"] = names["clap_quickly"] = names["clap_slowly"] + names["clap_quickly"]
    return names


NAMES_OF = _names_of()
"""For each activity, the English and Chinese class names that are true of an image of it: both names of a reversible
pair, and both rhythms of clapping, since a single image shows neither direction nor rhythm."""
GROUPS: tuple[tuple[int, ...], ...] = tuple(
    dict.fromkeys(tuple(CLASSES.index(name) for name in names) for names in NAMES_OF.values())
)
"""Classes, as indices of `CLASSES`, whose names are true of the same images."""
GROUP_OF = {key: GROUPS.index(tuple(CLASSES.index(name) for name in names)) for key, names in NAMES_OF.items()}
"""For each activity, the index of its group."""


def reworded(language: int) -> list[str]:
    """All wordings other than the names that training may use, in English (0) or Chinese (1)."""
    return [text for name in WORDINGS for text in _rows(name, language)]


def reword(name: str, language: int, rng: np.random.Generator) -> str:
    """One of those of a class, by its English name."""
    texts = _rows(name, language)
    return texts[int(rng.integers(len(texts)))]


def _rows(name: str, language: int) -> tuple[str, ...]:
    english, chinese = WORDINGS[name]
    return chinese if language else english[:-NUM_HELD_OUT]


def in_template(wording: str, language: int, rng: np.random.Generator) -> str:
    """A wording in a random template that fits it."""
    templates = PREDICATE_TEMPLATES if language == 0 and not is_participle(wording) else ALL_TEMPLATES[language]
    return templates[int(rng.integers(len(templates)))].format(wording)


def is_participle(wording: str) -> bool:
    """Whether an English wording fits where a class name does ("getting up"), or is a predicate ("gets up")."""
    return re.match(r"[\w-]+s\b", wording) is None


def wordings(language: int, rng: np.random.Generator) -> list[str]:
    """Two texts for every class of `CLASSES`: the names, all in the same random template, then another wording of each
    in a template of its own."""
    template = ALL_TEMPLATES[language][int(rng.integers(len(ALL_TEMPLATES[language])))]
    names = [template.format(name[language]) for name in CLASSES]
    return [*names, *(in_template(reword(name[0], language, rng), language, rng) for name in CLASSES)]


def say(attributes: Attributes, rng: np.random.Generator) -> tuple[str, str, Attributes]:
    """An English and a Chinese text that are true of an image, and the attributes that they state.

    70 % are captions, 20 % a class name or another wording of it in a template, 10 % one attribute in its prompt; the
    text is sampled anew in every call.
    """
    lot = rng.random()
    if lot < 0.7:
        english, chinese = recaption(attributes, rng)
        return english, chinese, told(english, attributes)
    if lot < 0.9:
        names = NAMES_OF[attributes["activity"]]
        both = names[int(rng.integers(len(names)))]
        if rng.random() < 0.5:
            both = reword(both[0], 0, rng), reword(both[0], 1, rng)
        what = "pose" if attributes["kind"] in ("cyclic", "still") else "activity"
        return in_template(both[0], 0, rng), in_template(both[1], 1, rng), {what: attributes[what]}
    known = [what for what in PROMPTS if what in attributes]
    what = known[int(rng.integers(len(known)))]
    if attributes[what] not in PROMPTS[what].words:  # no object, no hair: say who it is
        what = "who"
    value, prompt = attributes[what], PROMPTS[what]
    return prompt.text(value, 0), prompt.text(value, 1), {what: value}


def recaption(attributes: Attributes, rng: np.random.Generator) -> tuple[str, str]:
    """A new caption of the same image, in both languages; one that names no colour if a colour is not known."""
    colours: dict[str, Any] = {
        field: attributes[what].replace("none", "")
        for field, what in (("hair_name", "hair_colour"), ("shirt_name", "shirt"), ("bottom_name", "bottom_colour"))
        if what in attributes
    }
    actor = replace(
        sample_actor(0), who=attributes["who"], hair_style=attributes["hair"], bottom=attributes["bottom"], **colours
    )
    while True:
        texts = caption(rng, actor=actor, state=attributes["pose"], place=attributes["place"])
        if len(colours) == len(COLOURS) or not COLOUR_WORDS & set(re.findall(r"\w+", texts[0])):
            return texts


def without_colours(attributes: Attributes) -> Attributes:
    """What is known of an image in grey."""
    return {name: value for name, value in attributes.items() if name not in COLOURS}


def told(text: str, attributes: Attributes) -> Attributes:
    """The attributes that an English caption states, of those that are known of its image."""
    hair = STYLES[attributes["hair"]][0].format(attributes.get("hair_colour"))
    phrases = {
        ("shirt",): f" {attributes.get('shirt')} shirt",
        ("bottom", "bottom_colour"): f" {attributes.get('bottom_colour')} {attributes['bottom']}",
        ("hair", "hair_colour"): f" {hair}" if attributes["hair"] != "bald" else hair,
        ("place",): PLACES[attributes["place"]][0],
    }
    names = ["pose", *(name for group, phrase in phrases.items() if phrase in text for name in group)]
    if attributes["who"] in re.findall(r"\w+", text):
        names.append("who")
    return {name: attributes[name] for name in names if name in attributes}


def true_of(facts: Sequence[Attributes], attributes: Sequence[Attributes]) -> Bool[np.ndarray, "K N"]:
    """`[k, n]`: whether nothing that text k states is known to be false of image n."""
    true = np.ones((len(facts), len(attributes)), bool)
    for name in {name for fact in facts for name in fact}:
        said = np.array([fact.get(name, "") for fact in facts])[:, None]
        known = np.array([a.get(name, "") for a in attributes])
        true &= (said == "") | (known == "") | (said == known)
    return true


def ask(attributes: Sequence[Attributes]) -> Iterator[tuple[list[str], list[int], list[int]]]:
    """Classification questions: for every attribute of `PROMPTS`, the English sentences for all values, the rows of the
    images that are known to have one of the values, and the index of the value of each."""
    for what, prompt in PROMPTS.items():
        values = list(prompt.words)
        rows = [row for row, a in enumerate(attributes) if a.get(what) in values]
        yield [prompt.text(value, 0) for value in values], rows, [values.index(attributes[row][what]) for row in rows]
