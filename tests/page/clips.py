"""Clips for the tests of the page: ActionWorld draws them all."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actionprompt.world import build
from actionprompt.world.actions import ACTIVITIES
from videos import write_numbered

SCENES = {"doing a handstand": "handstand", "reading a book": "read", "doing push-ups": "push_ups", "running": "run"}
"""Classes of the clips, and the activity that each is drawn by."""
LABELS = tuple(SCENES)


@dataclass(frozen=True)
class Clips:
    """Files in a folder; each is made when it is first asked for."""

    folder: Path
    size_px: int = 112

    def clip(self, label: str, number: int = 0) -> Path:
        """Two seconds of one action."""
        return self._h264(f"{label.replace(' ', '-')}-{number}.mp4", play(label, number, self.size_px))

    @property
    def three(self) -> Path:
        """Twelve seconds: a handstand, reading, push-ups; four seconds of each."""
        parts = [play(label, number, self.size_px) for label in LABELS[:3] for number in (0, 1)]
        return self._h264("three.mp4", np.concatenate(parts))

    @property
    def minutes(self) -> Path:
        """Three minutes: at a hop of 0.05 s a timeline of it takes long enough to be cancelled or killed."""
        return self._h264("minutes.mp4", self._again(play("running", 0, 112), 90))

    @property
    def avi(self) -> Path:
        """MPEG-4 part 2 in AVI, which no browser plays."""
        path = self.folder / "old.avi"
        if not path.exists():
            frames = np.concatenate([play(label, 0, self.size_px) for label in LABELS[:2]])
            self._write(path, frames, "mpeg4", {"qscale": "4"})
        return path

    @property
    def bomb(self) -> Path:
        """Some 30 bytes that ask for gigabytes."""
        path, size = self.folder / "bomb.gif", struct.pack("<HH", 16_000, 16_000)
        path.write_bytes(b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\2\2L\1\0;")
        return path

    def _h264(self, name: str, frames: np.ndarray | Iterator[np.ndarray]) -> Path:
        path = self.folder / name
        if not path.exists():
            self._write(path, frames, "libx264", {"preset": "ultrafast", "crf": "22"})
        return path

    def _write(self, path: Path, frames: np.ndarray | Iterator[np.ndarray], codec: str, options: dict) -> None:
        size_px = self.size_px if path.name != "minutes.mp4" else 112
        write_numbered(
            path, 0, codec, height_px=size_px, width_px=size_px, rate=build.FPS, options=options, frames=iter(frames)
        )

    @staticmethod
    def _again(frames: np.ndarray, times: int) -> Iterator[np.ndarray]:
        for _ in range(times):
            yield from frames


def play(label: str, number: int, size_px: int) -> np.ndarray:
    """uint8 [T, H, W, 3]: the frames of a clip."""
    activity = next(one for one in ACTIVITIES if one.key == SCENES[label])
    return build.play(build.Scene(activity, 1, "main", number), size_px=size_px)
