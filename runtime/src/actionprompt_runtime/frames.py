"""Video files and image folders -> RGB frames: those of the plain sequential decode, or a `VideoDecodeError`.

A frame's index is its position in display order, counted from 0, when FFmpeg's decoder reads the file from the first
packet on, in one thread. Containers declare wrong numbers of frames, so the number is guessed from the packets, the
file is decoded once, and once more if the guess was wrong. Nothing that a file declares is allocated unchecked.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps

FORMATS = (
    "3gp,apng,asf,av1,avi,cavsvideo,dirac,dv,flv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp4,mpeg,mpegts,"
    "mpegvideo,mxf,nut,obu,ogg,rm,vc1,vvc,webp,wtv,yuv4mpegpipe"
)
"""Containers of video alone: others (playlists, scripts) would open files that they name."""
IMAGE_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "WEBP")
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".webp"))
MAX_PIXELS = "ACTIONPROMPT_MAX_PIXELS"
"""Environment variable: the largest height x width of a frame."""
DEFAULT_MAX_PIXELS = 1 << 26


class VideoDecodeError(ValueError):
    """A video cannot be read; the message is one line with the file and the reason."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.reason)


def read(
    path: str | Path, choose: Callable[[int], np.ndarray], keep: Callable[[np.ndarray], Any]
) -> tuple[np.ndarray, dict[int, Any]]:
    """The frames that `choose` picks: it is given the number of frames and returns display indices, int64 of any shape.
    `keep` is given each of them once, uint8 RGB [H, W, 3], upright. Returns the indices, and what was kept by index.

    Raises:
        VideoDecodeError: the video cannot be read, or a chosen frame cannot be decoded.
        ValueError: the environment variable ACTIONPROMPT_MAX_PIXELS holds no number.
    """
    path, limit = str(path), max_pixels()
    with _decode_errors(path):
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            files = find_images(path)
            indices = choose(len(files))
            return indices, _read_images(path, files, indices, keep, limit)
        if not stat.S_ISREG(kind):
            raise VideoDecodeError(path, "neither a file nor a folder of images, but a pipe, a socket or a device")
        num_packets = num_frames = _count_packets(path, limit)
        for _ in range(2):
            indices = choose(num_frames)
            kept, num_decoded, problem = _decode(path, set(indices.ravel().tolist()), keep, limit)
            if not num_decoded:
                raise VideoDecodeError(path, f"none of its {num_packets} video packets shows a frame")
            if num_decoded == num_frames:
                if problem is not None:
                    raise VideoDecodeError(path, problem)
                return indices, kept
            num_frames = num_decoded
        raise VideoDecodeError(path, "another number of frames each time that it is decoded; it is damaged")


def max_pixels() -> int:
    """The largest height x width of a frame."""
    text = os.environ.get(MAX_PIXELS, "") or str(DEFAULT_MAX_PIXELS)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"{MAX_PIXELS}: expected a whole number above 0, got {text!r}")
    return int(text)


def _check_size(path: str, height_px: int, width_px: int, limit: int, what: str = "a frame") -> None:
    if height_px * width_px > limit:
        raise VideoDecodeError(
            path, f"{what} of {height_px}x{width_px} px exceeds the limit of {limit} pixels; raise it by {MAX_PIXELS}"
        )


@contextmanager
def _decode_errors(path: str) -> Iterator[None]:
    """Whatever FFmpeg, PyAV, Pillow or the system raise over a file becomes a `VideoDecodeError` that names it."""
    try:
        yield
    except VideoDecodeError:
        raise
    except FileNotFoundError:
        raise VideoDecodeError(path, "no such file or folder") from None
    except Exception as error:  # their lists of exceptions are open: IndexError, SyntaxError, MemoryError, ...
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise VideoDecodeError(path, f"not readable as video ({reason})") from None


# --- videos --------------------------------------------------------------------------------------------------------


def _open(path: str, limit: int, *, guess: bool) -> Any:
    """The container. With guess, FFmpeg decodes some frames to find what the header lacks."""
    options = {"format_whitelist": FORMATS, **(_decoder_options(limit) if guess else {"codec_whitelist": "none"})}
    # "file:" so that a colon in a name is not taken for a protocol; metadata is not used, so its encoding is ignored
    return av.open(f"file:{os.path.abspath(path)}", options=options, metadata_errors="replace")


def _decoder_options(limit: int) -> dict[str, str]:
    """Keeps FFmpeg from allocating for more; it counts its padding, so frames are checked again."""
    return {"max_pixels": str(2 * limit + (1 << 16))}


def _pick_stream(path: str, container: Any, limit: int) -> Any:
    hidden = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & hidden]
    if not streams:
        kinds = sorted({"image" if stream.type == "video" else stream.type for stream in container.streams})
        raise VideoDecodeError(path, f"contains no video stream, only {', '.join(kinds) or 'nothing'}")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoDecodeError(path, "no decoder for its video codec")
    _check_size(path, stream.height, stream.width, limit)
    for other in container.streams:
        other.discard = av.stream.Discard.default if other is stream else av.stream.Discard.all
    return stream


def _packets(path: str, container: Any, stream: Any) -> Iterator[Any]:
    """The stream's packets in decoding order."""
    for packet in container.demux(stream):
        # a transport stream counts its packets, and those of two streams in a row are not counted on
        if packet.is_corrupt and container.format.name != "mpegts":
            raise VideoDecodeError(path, "truncated or corrupt: a packet is incomplete")
        if packet.size:  # an empty packet would flush the decoder
            yield packet


def _count_packets(path: str, limit: int) -> int:
    """The packets that should show a frame: a good guess at the number of frames. A file that is cut off is refused."""
    num_bytes = os.stat(path).st_size
    if num_bytes == 0:
        raise VideoDecodeError(path, "the file is empty")
    if num_bytes < (declared := _matroska_bytes(path)):
        raise VideoDecodeError(path, f"truncated: has {num_bytes} of its {declared} bytes")
    with _open(path, limit, guess=False) as container:
        stream = _pick_stream(path, container, limit)
        mpeg4 = stream.codec_context.codec.canonical_name == "mpeg4"
        # DivX and XviD in AVI pack two frames into one packet, and a packet of one byte makes up for it
        shown = [not packet.is_discard and packet.size > mpeg4 for packet in _packets(path, container, stream)]
        if not shown:
            raise VideoDecodeError(path, "its video stream is empty")
        if "mp4" in container.format.name and not mpeg4:
            num_listed = len(stream.index_entries)
            if num_listed > len(shown) < sum(entry.size > 0 for entry in stream.index_entries):
                raise VideoDecodeError(
                    path, f"truncated: its index lists {num_listed} frames, it contains {len(shown)}"
                )
        return max(1, sum(shown))


def _matroska_bytes(path: str) -> int:
    """Declared size of a Matroska or WebM file, 0 for other files: FFmpeg reads a truncated one without an error."""
    with open(path, "rb") as file:
        head = file.read(64)
    segment = head.find(b"\x18\x53\x80\x67")
    size = head[segment + 4 : segment + 12]  # EBML: n leading zero bits: n + 1 bytes; all value bits 1: unknown
    if not head.startswith(b"\x1a\x45\xdf\xa3") or segment < 0 or size[:1] in (b"", b"\0"):
        return 0
    num_bytes = 9 - size[0].bit_length()
    unknown = (1 << 7 * num_bytes) - 1
    value = int.from_bytes(size[:num_bytes]) & unknown
    return 0 if value == unknown else segment + 4 + num_bytes + value


def _frames(path: str, container: Any, stream: Any) -> Iterator[Any]:
    for packet in _packets(path, container, stream):
        yield from stream.codec_context.decode(packet)
    yield from stream.codec_context.decode(None)


def _decode(
    path: str, wanted: set[int], keep: Callable[[np.ndarray], Any], limit: int
) -> tuple[dict[int, Any], int, str | None]:
    """What was kept by index, the number of all frames, and what is wrong with the wanted ones, if anything is."""
    kept: dict[int, Any] = {}
    problem, size_px, corrupt, num_frames = None, None, None, 0
    tiny, to_rgb = VideoReformatter(), VideoReformatter()
    with _open(path, limit, guess=True) as container:
        stream = _pick_stream(path, container, limit)
        codec = stream.codec_context
        codec.options = _decoder_options(limit)
        codec.thread_type, codec.thread_count = "NONE", 1
        for index, frame in enumerate(_frames(path, container, stream)):
            num_frames += 1
            _check_size(path, frame.height, frame.width, limit)
            corrupt = index if frame.is_corrupt else None if frame.key_frame else corrupt
            if index not in wanted or problem is not None:
                continue
            if corrupt is not None:  # all frames up to the next key frame may refer to it
                problem = f"frame {corrupt} is corrupt"
                continue
            # from a copy: reading side data ties a frame to itself, and until it is collected its buffer is not free
            turn = _orientation(path, tiny.reformat(frame, 8, 8, "gray", interpolation="POINT", threads=1))
            pixels = _rgb(frame, to_rgb, *turn)
            if size_px not in (None, pixels.shape):
                problem = f"frame {index} is {_by(pixels.shape)} px, others are {_by(size_px)}"
                continue
            size_px = pixels.shape
            kept[index] = keep(pixels)
    return kept, num_frames, problem


def _orientation(path: str, frame: Any) -> tuple[bool, int, int]:
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


def _rgb(frame: Any, to_rgb: VideoReformatter, swap: bool, step_y: int, step_x: int) -> np.ndarray:
    """A decoded frame as upright RGB, uint8 [H, W, 3]."""
    width, height = frame.width, frame.height
    plane = to_rgb.reformat(frame, width, height, "rgb24", interpolation="BICUBIC", threads=1).planes[0]
    pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)[:, : 3 * width]
    stored = pixels.reshape(height, width, 3)
    return np.ascontiguousarray((stored.swapaxes(0, 1) if swap else stored)[::step_y, ::step_x])


def _by(shape: Any) -> str:
    return f"{shape[0]}x{shape[1]}"


# --- image folders -------------------------------------------------------------------------------------------------


def find_images(path: str) -> list[str]:
    """Names of the images of a folder in the order of the numbers in them, without a gap.

    Raises:
        VideoDecodeError: no images, or numbers that are missing or come twice.
    """
    names = [n for n in os.listdir(path) if not n.startswith(".") and Path(n).suffix.lower() in IMAGE_SUFFIXES]
    if not names:
        raise VideoDecodeError(path, f"a folder without images (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    numbered: dict[int, str] = {}
    for name in sorted(names):
        digits = re.findall(r"\d+", os.path.splitext(name)[0])
        if not digits:
            raise VideoDecodeError(path, f"image {name} has no number in its name, so its position is unknown")
        number = int(digits[-1])
        if number in numbered:
            raise VideoDecodeError(path, f"images {numbered[number]} and {name} have the same number")
        numbered[number] = name
    first, last = min(numbered), max(numbered)
    if len(numbered) != last - first + 1:
        hole = next(number for number in range(first, last) if number not in numbered)
        raise VideoDecodeError(path, f"image {hole} is missing ({len(names)} images, numbered {first} to {last})")
    return [numbered[number] for number in sorted(numbered)]


def _read_images(
    path: str, names: list[str], indices: np.ndarray, keep: Callable[[np.ndarray], Any], limit: int
) -> dict[int, Any]:
    kept: dict[int, Any] = {}
    size_px = None
    for index in dict.fromkeys(indices.ravel().tolist()):
        name = names[index]
        try:
            pixels = np.asarray(_upright(path, Path(path, name), limit))
        except VideoDecodeError:
            raise
        except Exception as error:  # whatever Pillow raises
            reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
            raise VideoDecodeError(path, f"image {name} cannot be read ({reason})") from None
        if size_px not in (None, pixels.shape):
            raise VideoDecodeError(path, f"image {name} is {_by(pixels.shape)} px, others are {_by(size_px)}")
        size_px = pixels.shape
        kept[index] = keep(pixels)
    return kept


def _upright(path: str, file: Path, limit: int) -> Image.Image:
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise VideoDecodeError(path, f"image {file.name} is no file")
    _check_chunks(path, file)
    with Image.open(file, formats=IMAGE_FORMATS) as opened:
        _check_size(path, opened.height, opened.width, limit, f"image {file.name}")
        image = ImageOps.exif_transpose(opened)
    if image.mode == "F" or image.mode.startswith("I"):
        # 16 bits of grey: the upper 8, as Pillow itself does with 16 bits of colour; `convert` would clip
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
            raise VideoDecodeError(path, f"image {file.name} has pixels of more than 16 bits; store it with 8")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    return image.convert("RGB")


def _check_chunks(path: str, file: Path) -> None:
    """Refuses a PNG with a chunk that says it is longer than the file: Pillow would allocate what it says."""
    with open(file, "rb") as opened:
        if opened.read(8) != b"\x89PNG\r\n\x1a\n":
            return
        size, place = os.fstat(opened.fileno()).st_size, 8
        while len(head := opened.read(8)) == 8:
            num_bytes = int.from_bytes(head[:4])
            place += 12 + num_bytes
            if place > size:
                raise VideoDecodeError(path, f"image {file.name} is damaged: a part says it has {num_bytes} bytes")
            opened.seek(place)
