"""The models on offer: the frozen backbone, the one given when the server started, and those taught on the page."""

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from actionprompt import files
from actionprompt.page import schemas

CARD, MANIFEST = "page.json", "manifest.json"
"""What the page knows of a taught model, next to the folder `model` with its manifest."""
UNFINISHED_S = 60.0
"""A folder without a card is left alone for so long: another server may be about to write it."""
ZERO_SHOT_NOTE = "Knows no actions of its own: it compares the video with the words that you type."


class Shelf:
    """Where models are found by their ids."""

    def __init__(self, folder: Path, given: Path | None, told: dict[str, Any]) -> None:
        """`told` is what `work.describe` says of the backbone and of the given model."""
        self.folder, self.given, self.told = folder, given, told
        self.given_id = "0" * 16

    def sweep(self) -> None:
        """Delete what servers that were killed left of models that they taught."""
        for path in self.folder.glob("*"):
            ours = path.is_dir() and not path.is_symlink() and re.fullmatch("[0-9a-f]{16}", path.name)
            if not ours or (path / CARD).exists() or time.time() - path.stat().st_mtime < UNFINISHED_S:
                continue
            if files.writer_in(path) is None:
                files.delete(path)

    @property
    def backbone(self) -> schemas.Backbone:
        return schemas.Backbone(**self.told["backbone"])

    def listed(self) -> list[schemas.Model]:
        """The frozen backbone, the given model, and the taught ones, newest first."""
        found = [self._zero_shot()]
        if self.given is not None:
            found.append(self._given(self.given))
        taught = [model for path in sorted(self.folder.glob(f"*/{CARD}")) if (model := self._taught(path.parent))]
        return found + sorted(taught, key=lambda model: str(model.created), reverse=True)

    def find(self, model_id: str) -> schemas.Model | None:
        """The model of an id."""
        if model_id == schemas.ZERO_SHOT:
            return self._zero_shot()
        if model_id == self.given_id:
            return self._given(self.given) if self.given is not None else None
        return self._taught(self.place(model_id))

    def place(self, model_id: str) -> Path:
        """The folder of a taught model, there or not yet."""
        return self.folder / model_id

    def add(self, model_id: str, name: str) -> None:
        """Offer a model that was taught into its `place`."""
        card = {"name": name, "created": datetime.now().astimezone().isoformat(timespec="seconds")}
        files.write_json(self.place(model_id) / CARD, card)

    def delete(self, model_id: str) -> None:
        """Delete a taught model, or what is there of one that failed."""
        files.delete(self.place(model_id))

    def _zero_shot(self) -> schemas.Model:
        return schemas.Model(
            id=schemas.ZERO_SHOT, name=f"Any labels ({self.backbone.name})", kind="zero-shot", labels=[],
            takes_labels=True, rejects=True, background=None, note=ZERO_SHOT_NOTE, created=None,
            folder=None, held_out_top1=None,
        )  # fmt: skip

    def _given(self, path: Path) -> schemas.Model:
        return schemas.Model(
            id=self.given_id, kind="trained", created=None, folder=str(path), held_out_top1=None, **self.told["model"]
        )

    def _taught(self, folder: Path) -> schemas.Model | None:
        """None for a folder that holds no whole model."""
        if not (folder / CARD).is_file():  # what is no file, such as a pipe, is not opened
            return None
        try:
            card, manifest = files.read_json(folder / CARD), files.read_json(folder / "model" / MANIFEST)
            background, below = manifest.get("background"), manifest.get("none_of_these")
            model = schemas.Model(
                id=folder.name,
                name=card["name"][: schemas.MOST_LETTERS],
                kind="taught",
                labels=[name for name in manifest["class_names"] if name != background],
                takes_labels=False,
                rejects=background is not None or below is not None,
                background=background,
                note="; ".join(manifest.get("warnings") or ()) or None,
                created=card["created"],
                folder=str(folder),
                held_out_top1=manifest.get("held_out_top1"),
            )
            model.model_dump_json()  # one that cannot be sent would take all others with it
            return model
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
