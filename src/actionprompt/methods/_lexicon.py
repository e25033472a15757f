"""Phrases that describe videos, for the attributes of `bike`."""

from actionprompt import datasets


def phrases(dataset: str) -> tuple[str, ...]:
    """The readable class names of a data set.

    Raises:
        ValueError: no class names are shipped for it.
    """
    try:
        return datasets.read_labels(dataset).english
    except ValueError:
        raise ValueError(
            f"expected a data set whose class names are shipped as the lexicon, such as kinetics400, got {dataset!r}"
        ) from None
