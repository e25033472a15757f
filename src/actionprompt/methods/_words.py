"""The words of class names within their sentences, for bike and dual_semantic_tpr."""

from collections.abc import Sequence

from actionprompt.backbone import TextTower


def label_tokens(text: TextTower, template: str, names: Sequence[str]) -> list[list[int]]:
    """Positions of each name's own tokens in `template` with the name for `{}`, without those of the template.

    Raises:
        ValueError: a name without words.
    """
    begin = template.index("{}")
    spans = text.tokenizer.offsets([template.format(name) for name in names])
    found = [
        [at for at, (start, end) in enumerate(row) if max(start, begin) < min(end, begin + len(name))]
        for name, row in zip(names, spans, strict=True)
    ]
    if not all(found):
        raise ValueError(f"expected class names with words in them, got {names[found.index([])]!r}")
    return found
