"""A video decoded once from start to end, for what is longer than a clip: each frame with its time, in constant memory.

`read_frames` gives exactly the frames that are asked for, or an error. Here a video that is damaged, or ends early,
gives the frames that could be read; what could not is in `Stream.damage`, for the caller to say.
"""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from actionprompt.video import scan
from actionprompt.video.decoding import convert, orientation, set_threads
from actionprompt.video.limits import Limits, VideoDecodeError, decode_errors, one_line

SAME_S = 1e-6
"""Times that differ by less are the same time."""
MOST_NOTES = 5
"""Damaged stretches that are named one by one."""


class Stream:
    """One pass over a video. Times are seconds from its first frame."""

    def __init__(self, path: str | Path, *, limits: Limits | None = None) -> None:
        """Looks at the packets; nothing is decoded yet.

        Raises:
            VideoDecodeError: the video cannot be opened, or has no frames or no times (as a folder of images).
        """
        self.path, self._limits = str(path), limits or Limits.from_environment()
        num_bytes = scan.check_kind(path).st_size
        if Path(path).is_dir():
            raise VideoDecodeError(path, "a folder of images has no time stamps, and a timeline needs times")
        with decode_errors(path):
            if num_bytes == 0:
                raise VideoDecodeError(path, "the file is empty")
            self._look = scan.look(self.path, self._limits)
            self._look.damage = self._look.damage or scan.truncated(self.path, num_bytes)
            if not self._look.sizes:
                raise VideoDecodeError(path, self._look.damage or "its video stream is empty")
            self._table = scan.by_packets(self.path, self._look)
            self.duration_s, self._by_stamps = self._expected()
            self._num_packets = len(self._look.sizes)
            self._avi_times = (
                sorted(dts for _, dts, _ in self._look.stamps if dts is not None) if self._look.avi else []
            )
            self._look.stamps, self._look.sizes, self._look.discard, self._look.shown = [], [], [], None
        self.damage: list[str] = [] if self._look.damage is None else [self._look.damage]
        """What is wrong with the file, a line each; complete when the pass is over."""
        self.num_read = 0
        """Frames read so far."""
        self.read_s = 0.0
        """When the last frame that was read ends."""

    @property
    def fps(self) -> float | None:
        """Mean frames per second of what was read; None before."""
        return self.num_read / self.read_s if self.read_s else None

    @property
    def seekable(self) -> bool:
        """Whether `read_frames` reaches single frames without decoding all that come before."""
        return self._table is not None and self._table.jumps and not self.damage

    @property
    def whole_s(self) -> float:
        """How long the video was before it was damaged, as far as the file says."""
        declared_s = self._look.declared_s
        return declared_s if self.damage and self.read_s < declared_s < 10 * self.duration_s else self.duration_s

    @property
    def expected_fps(self) -> float | None:
        """Mean frames per second as the packets say."""
        num_frames = self._table.num_frames if self._table is not None else self._num_packets
        return num_frames / self.duration_s if self.duration_s else None

    def frames(self) -> Generator[tuple[float, UInt8[np.ndarray, "H W 3"]], None, None]:
        """(time in seconds, upright RGB) of every frame.

        Raises:
            VideoDecodeError: not one frame can be read.
        """
        upright = _Upright(self.path)
        for time_s, frame in self._decoded():
            yield time_s, upright.rgb(frame)

    def frames_at(
        self, times_s: Sequence[float] | np.ndarray
    ) -> Generator[tuple[float, list[int], UInt8[np.ndarray, "H W 3"]], None, None]:
        """What is on the screen at these times, which are in order: (time of the frame, positions in `times_s`, upright
        RGB), each frame once. Times before the first frame get the first one, times past the end the last one. Frames
        that are not asked for are decoded, but not converted.

        Raises:
            VideoDecodeError: not one frame can be read.
        """
        upright, asked, place = _Upright(self.path), [float(time_s) for time_s in times_s], 0
        before: tuple[float, Any] | None = None
        for now in self._decoded():
            if before is not None:
                first = place
                while place < len(asked) and asked[place] < now[0] - SAME_S:
                    place += 1
                if place > first:
                    yield before[0], list(range(first, place)), upright.rgb(before[1])
            before = now
        if before is not None and place < len(asked):
            yield before[0], list(range(place, len(asked))), upright.rgb(before[1])

    def _expected(self) -> tuple[float, bool]:
        """How long the packets say the video is, and whether frames can be timed by their stamps."""
        if self._table is not None:
            assert self._table.duration_s is not None
            return self._table.duration_s, True
        seen = self._look
        rate = scan.plausible(seen.rate)
        stamps = [dts if seen.avi else pts for pts, dts, _ in seen.stamps]
        shown = sorted(stamp for stamp in stamps if stamp is not None)
        decoded = [dts for _, dts, _ in seen.stamps if dts is not None]
        gaps = np.diff(shown) * seen.second
        if len(shown) == len(seen.stamps) and decoded == sorted(decoded) and scan.in_step(gaps):
            last_s = scan.last_frame_s(seen.stamps[-1], gaps, seen)
            return (shown[-1] - shown[0]) * seen.second + last_s, True
        if not rate:
            raise VideoDecodeError(self.path, "has neither timestamps nor a frame rate")
        return len(seen.stamps) / rate, False

    def _decoded(self) -> Generator[tuple[float, Any], None, None]:
        """(time, decoded frame) for every frame that is not damaged, in the order of time."""
        self.num_read, self.read_s, last_s = 0, 0.0, -np.inf
        bad_from: float | None = None
        stretches: list[tuple[float, float]] = []
        times: list[float] = []
        for time_s, frame in self._timed():
            if time_s <= last_s:  # of a stream that was cut and joined
                bad_from = last_s if bad_from is None else bad_from
                continue
            if frame.is_corrupt or (bad_from is not None and not frame.key_frame):
                bad_from = time_s if bad_from is None else bad_from
                continue
            if bad_from is not None:
                stretches.append((bad_from, time_s))
                bad_from = None
            times = [*times[-31:], time_s]
            self.num_read, last_s = self.num_read + 1, time_s
            self.read_s = time_s + self._length(times)
            yield time_s, frame
        if bad_from is not None:
            stretches.append((bad_from, self.duration_s))
        if stretches:
            named = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in stretches[:MOST_NOTES])
            rest = f" and {len(stretches) - MOST_NOTES} more" if len(stretches) > MOST_NOTES else ""
            self.damage.append(f"damaged frames were left out: {named}{rest}")
        if not self.num_read:
            reason = self.damage[0] if self.damage else f"none of its {self._num_packets} packets shows a frame"
            raise VideoDecodeError(self.path, reason)
        if self._table is not None and self.num_read == self._table.num_frames:
            self.read_s = self.duration_s

    def _length(self, times: list[float]) -> float:
        """How long the last of these frames is shown: as long as is usual, for what follows is not known."""
        if len(times) > 1:
            return float(np.median(np.diff(times)))
        rate = scan.plausible(self._look.rate)
        return 1 / rate if rate else min(self.duration_s, 1.0)

    def _timed(self) -> Generator[tuple[float, Any], None, None]:
        """(time, decoded frame) as they come out of the decoder; an error of the decoder ends it and is noted."""
        seen, table, stamps = self._look, self._table, list[scan.Stamps]()
        regular = table is not None and table.jumps
        first: int | None = None
        number = 0
        try:
            for place, frame in self._frames(stamps, threads=regular):
                if table is not None:
                    assert table.times_s is not None
                    rank = int(table.rank[place]) if regular and place < len(table.rank) else number
                    if 0 <= rank < len(table.times_s):
                        yield float(table.times_s[rank]), frame
                elif not self._by_stamps:
                    yield number / scan.plausible(seen.rate), frame
                else:
                    stamp = self._avi_times[min(number, len(self._avi_times) - 1)] if seen.avi else stamps[place][0]
                    assert stamp is not None
                    first = stamp if first is None else first
                    yield (stamp - first) * seen.second, frame
                number += 1
        except VideoDecodeError as error:
            self._note(error.reason)
        except GeneratorExit:
            raise
        except Exception as error:  # whatever the decoder raises
            self._note(f"cannot be decoded further ({one_line(error)})")

    def _note(self, reason: str) -> None:
        if reason not in self.damage:
            self.damage.append(reason)

    def _frames(self, stamps: list[scan.Stamps], *, threads: bool) -> Generator[tuple[int, Any], None, None]:
        """(number of its packet, frame). In several threads where the packets prove which frames there are."""
        if not threads:
            yield from scan.decode_all(self.path, self._limits, stamps)
            return
        with scan.open_video(self.path, self._limits, guess=True) as container:
            stream = scan.pick_stream(self.path, container, self._limits)
            codec = stream.codec_context
            codec.options = self._limits.decoder_options
            set_threads(codec)
            assert self._table is not None
            codec.reorder_depth = self._table.reorder_depth
            for place, packet in enumerate(scan.packets(self.path, container, stream)):
                packet.pts = place
                for frame in codec.decode(packet):
                    self._limits.check_size(self.path, frame.height, frame.width)
                    yield frame.pts, frame
            for frame in codec.decode(None):
                yield frame.pts, frame


class _Upright:
    """Decoded frames as upright RGB."""

    def __init__(self, path: str) -> None:
        self._path, self._tiny, self._scale, self._to_rgb = path, *(VideoReformatter() for _ in range(3))

    def rgb(self, frame: Any) -> UInt8[np.ndarray, "H W 3"]:
        small = self._tiny.reformat(frame, 8, 8, "gray", interpolation="POINT", threads=1)  # see `decoding`
        swap, step_y, step_x = orientation(self._path, small)
        height_px, width_px = (frame.width, frame.height) if swap else (frame.height, frame.width)
        pixels = np.empty((height_px, width_px, 3), np.uint8)
        as_stored = pixels[::step_y, ::step_x]
        convert(frame, self._scale, self._to_rgb, as_stored.swapaxes(0, 1) if swap else as_stored)
        return pixels
