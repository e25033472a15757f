"""Frames by their display index: from the nearest key frame where the table proves that to be enough, else from the
first packet. Decoding from the first packet is the plain sequential decode and defines the right frames."""

import os
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from multiprocessing import parent_process
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from actionprompt.video.images import by, empty_frames, places
from actionprompt.video.limits import Limits, VideoDecodeError
from actionprompt.video.scan import Table, decode_all, open_video, packets

# Demuxing through this many bytes costs about as much as a seek.
SEEK_BYTES = 4 << 20
# Up to this frame size, passing frames between threads costs more time than multithreaded decoding saves.
THREAD_PX = 640 * 360


_Frames = Generator[tuple[int, Any], None, None]
"""(display index, frame), or damage in place of a frame."""


class _Damage(Exception):
    """A frame that was asked for cannot be had this way; the message says why."""


def read(
    path: str, table: Table, indices: list[int], short_side_px: int | None, limits: Limits
) -> UInt8[np.ndarray, "N H W 3"]:
    """The frames at these indices. Where jumping does not give them without a fault (a failed seek, a damaged packet),
    the video is decoded from the start, and what that reports is an error."""
    if table.jumps:
        try:
            return _collect(path, jumping(path, table, indices, limits), indices, short_side_px, limits)
        except VideoDecodeError:
            raise
        except Exception:  # whatever it was, decoding from the start decides
            pass
    try:
        return _collect(path, from_start(path, table, max(indices), limits), indices, short_side_px, limits)
    except _Damage as damage:
        raise VideoDecodeError(path, str(damage)) from None


def from_start(path: str, table: Table, last: int, limits: Limits) -> _Frames:
    """(index, frame) of every frame up to the last. After a corrupt frame there is damage until the next key frame."""
    corrupt = None
    with closing(decode_all(path, limits)) as decoded:
        for index, (place, frame) in enumerate(decoded):
            if table.jumps and (place >= len(table.rank) or table.rank[place] != index):
                raise _Damage(f"frame {index} of {table.num_frames} cannot be decoded")
            if frame.is_corrupt:
                corrupt = index
            elif frame.key_frame:
                corrupt = None
            if corrupt is None:
                yield index, frame
            else:
                yield index, _Damage(f"frame {corrupt} of {table.num_frames} is corrupt")
            if index == last:
                break


def jumping(path: str, table: Table, indices: list[int], limits: Limits) -> _Frames:
    """(index, frame) of at least these frames of a regular video, decoding only the packets they depend on."""
    shown = np.flatnonzero(table.rank >= 0)
    packet_of = shown[np.argsort(table.rank[shown])]
    wanted = sorted(packet_of[list(set(indices))].tolist())
    keep, last_start, last_index = set(wanted), -1, -1
    for start, frame in _decode(path, table, _ranges(table, wanted), keep, limits):
        index = int(table.rank[frame.pts])
        if index < max(0, table.rank[start]):
            continue  # of an open GOP: it refers to frames before the start
        if frame.is_corrupt or (start == last_start and index <= last_index):
            raise _Damage(f"frame {index} of {table.num_frames} is corrupt")
        last_start, last_index = start, index
        yield index, frame


def _ranges(table: Table, wanted: list[int]) -> list[tuple[int, int]]:
    """Ranges [start, stop) of packets to decode for the frames of these packets.

    A range starts at the last possible start at or before the packet whose frame is not displayed after the packet's:
    in an open GOP, frames that follow a key frame in decoding order but precede it in display order may refer to
    frames before it.
    """
    starts = np.flatnonzero(table.starts)
    ranges: list[tuple[int, int]] = []
    for place in wanted:
        usable = starts[(starts <= place) & (table.rank[starts] <= table.rank[place])]
        start = int(usable[-1]) if len(usable) else 0
        while ranges and start < ranges[-1][1]:
            start = min(start, ranges.pop()[0])
        ranges.append((start, place + 1))
    return ranges


def _decode(
    path: str, table: Table, ranges: list[tuple[int, int]], keep: Collection[int], limits: Limits
) -> Iterator[tuple[int, Any]]:
    """(start of range, frame) for these ranges of packets; frame.pts is set to the number of its packet.

    Frames of packets that are not in `keep` may be skipped if no other frame refers to them.
    """
    offset = np.cumsum(table.sizes) - table.sizes
    with open_video(path, limits) as container:
        stream = container.streams[table.stream]
        codec = stream.codec_context
        codec.options = limits.decoder_options
        set_threads(codec)
        can_skip = codec.name == "h264"  # its bitstream says which frames no other frame refers to
        coming: Iterator[tuple[int, Any]] = enumerate(packets(path, container, stream))
        place = -1
        for start, stop in ranges:
            if table.pts.size and offset[start] - offset[max(0, place)] > SEEK_BYTES:
                place_of = {pts: number for number, pts in enumerate(table.pts.tolist())}
                container.seek(int(table.pts[start]), stream=stream)
                coming = ((place_of.get(p.pts, -1), p) for p in packets(path, container, stream))
            codec.reorder_depth = table.reorder_depth  # flushing resets it
            expected = start
            for place, packet in coming:
                if place < start:
                    continue
                if place != expected or packet.size != table.sizes[place]:
                    raise _Damage(f"packet {expected} is not where it was")
                expected += 1
                if 0 <= table.rank[place] < table.rank[start]:
                    continue  # of an open GOP: it refers to frames before the start, and none after it to this one
                if can_skip:
                    codec.skip_frame = "DEFAULT" if place in keep else "NONREF"
                packet.pts = place
                for frame in codec.decode(packet):
                    yield start, frame
                if expected == stop:
                    break
            for frame in codec.decode(None):
                yield start, frame
            codec.flush_buffers()


def set_threads(codec: Any) -> None:
    one = parent_process() is not None or os.cpu_count() == 1  # a data-loader worker uses one core
    codec.thread_type = "AUTO"
    codec.thread_count = 1 if one or codec.width * codec.height <= THREAD_PX else 4


def _collect(
    path: str,
    decoded: _Frames,
    indices: list[int],
    short_side_px: int | None,
    limits: Limits,
) -> np.ndarray:
    """The frames at these indices out of decoded ones, as RGB."""
    missing = places(indices)
    tiny, scale, to_rgb = VideoReformatter(), VideoReformatter(), VideoReformatter()
    frames, size_px = None, (0, 0)
    try:
        for index, frame in decoded:
            if index not in missing:
                continue
            if isinstance(frame, _Damage):
                raise frame
            # read from a copy: reading side data ties a frame to itself, and until it is collected its buffer is not
            # free for the decoder, which may leave what is in a buffer where damage gives it nothing to write
            swap, step_y, step_x = orientation(
                path, tiny.reformat(frame, 8, 8, "gray", interpolation="POINT", threads=1)
            )
            new_size_px = (frame.width, frame.height) if swap else (frame.height, frame.width)
            if frames is None:
                size_px = new_size_px
                limits.check_size(path, *size_px)
                frames = empty_frames(path, len(indices), size_px, short_side_px, limits)
            elif new_size_px != size_px:
                raise VideoDecodeError(path, f"frame {index} is {by(new_size_px)} px, others are {by(size_px)}")
            first, *others = missing.pop(index)
            as_stored = frames[first, ::step_y, ::step_x]
            convert(frame, scale, to_rgb, as_stored.swapaxes(0, 1) if swap else as_stored)
            for place in others:
                frames[place] = frames[first]
    finally:
        decoded.close()
    if missing or frames is None:
        raise _Damage(f"frame {min(missing)} cannot be decoded")
    return frames


def orientation(path: str, frame: Any) -> tuple[bool, int, int]:
    """The display matrix as: whether to swap rows and columns, then the step (1 or -1) along y and along x."""
    data = next((side for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return False, 1, 1
    # ISO/IEC 14496-12, 6.2.2: a stored point (x, y) is displayed at (a x + c y, b x + d y), y downwards
    a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].tolist()
    if min(abs(a), abs(b)) > 0.02 * max(abs(a), abs(b)):
        degrees = np.degrees(np.arctan2(b, a))
        raise VideoDecodeError(path, f"is rotated by {degrees:.0f} degrees; only multiples of 90 are supported")
    swap = abs(b) > abs(a)
    return swap, -1 if (b if swap else d) < 0 else 1, -1 if (c if swap else a) < 0 else 1


def convert(frame: Any, scale: VideoReformatter, to_rgb: VideoReformatter, out: np.ndarray) -> None:
    """Writes a decoded frame as RGB to `out`, uint8 [H, W, 3] in any memory layout, resized to its size."""
    height_px, width_px = out.shape[:2]
    if (height_px, width_px) != (frame.height, frame.width) and frame.format.name in ("yuv420p", "yuvj420p"):
        # resized in its own format: five times faster than during conversion, and with the same colour arithmetic
        frame = scale.reformat(frame, width_px, height_px, interpolation="BICUBIC", threads=1)
    plane = to_rgb.reformat(frame, width_px, height_px, "rgb24", interpolation="BICUBIC", threads=1).planes[0]
    pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(height_px, plane.line_size)[:, : 3 * width_px]
    out[...] = pixels.reshape(height_px, width_px, 3)
