"""Predictions as text: a table, and all of them as JSON."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

from actionprompt.clips import Broken
from actionprompt.files import no_formula
from actionprompt.prediction import Prediction


def as_json(
    results: Sequence[Prediction], broken: Sequence[Broken], about: dict[str, Any], warnings: Sequence[str]
) -> dict[str, Any]:
    """All predictions, the videos that could not be read, and what answers (`Predictor.about`)."""
    return {
        "about": about,
        "warnings": list(warnings),
        "predictions": [{**dataclasses.asdict(result), "path": str(result.path)} for result in results],
        "unreadable": [{"key": item.key, "reason": item.reason} for item in broken],
    }


def as_csv(
    results: Sequence[Prediction], about: dict[str, Any], warnings: Sequence[str], *, header: bool = True
) -> str:
    """A row for each video and rank. What answers is in columns of its own, the same in every row; lists and settings
    are JSON."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    facts = {
        "program": about["program"],
        "method": about["method"],
        "backbone": about["backbone"]["name"],
        "backbone_sha256": about["backbone"]["sha256"],
        "asked": json.dumps(about["labels"], ensure_ascii=False),
        "settings": json.dumps(about["settings"], ensure_ascii=False),
    }
    if header:
        writer.writerow(["path", "rank", "label", "score", "none", "none_of_these", "warnings", *facts])
    for result in results:
        path, none = no_formula(str(result.path)), "" if result.none is None else result.none
        said = no_formula("; ".join([*warnings, *result.warnings]))
        for rank, (label, score) in enumerate(zip(result.labels, result.scores), start=1):
            own = [path, rank, no_formula(label), score, none, result.none_of_these, said]
            writer.writerow([*own, *map(no_formula, facts.values())])
    return buffer.getvalue()
