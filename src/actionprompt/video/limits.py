"""What a file may ask for, and the one error of the reader. Sizes that a file declares are checked, never allocated."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path


class VideoDecodeError(ValueError):
    """A video cannot be read; the message is one line with the file and the reason."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple:  # a data-loader worker pickles it
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class Limits:
    """What a video may take. Every function of the reader takes `limits`; None stands for `Limits.from_environment()`,
    which data-loader workers inherit."""

    max_pixels: int = 1 << 26
    """Height x width of a frame: 8192 x 8192. Environment: ACTIONPROMPT_MAX_PIXELS."""
    max_bytes: int = 1 << 32
    """Size of the array that one call returns: 4 GiB. Environment: ACTIONPROMPT_MAX_BYTES."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"expected {field.name} >= 1, got {value}")

    @classmethod
    def from_environment(cls) -> "Limits":
        """The limits that environment variables set, else the defaults.

        Raises:
            ValueError: a variable that holds no whole number above 0.
        """
        found = {}
        for field in fields(cls):
            text = os.environ.get(variable(field.name), "")
            if text:
                if not (text.isascii() and text.isdigit() and int(text)):
                    raise ValueError(f"{variable(field.name)}: expected a whole number above 0, got {text!r}")
                found[field.name] = int(text)
        return cls(**found)

    @property
    def decoder_options(self) -> dict[str, str]:
        """Keeps FFmpeg from allocating for more; it counts its padding, so what frames measure is checked again."""
        return {"max_pixels": str(2 * self.max_pixels + (1 << 16))}

    def check_size(self, path: str | Path, height_px: int, width_px: int, what: str = "a frame") -> None:
        """Refuses frames of more than `max_pixels`."""
        if height_px * width_px > self.max_pixels:
            raise VideoDecodeError(
                path,
                f"{what} of {height_px}x{width_px} px exceeds the limit of {self.max_pixels} pixels; raise it by "
                f"{variable('max_pixels')}",
            )

    def check_bytes(self, path: str | Path, num_bytes: int) -> None:
        """Refuses a call that would return more than `max_bytes`."""
        if num_bytes > self.max_bytes:
            raise VideoDecodeError(
                path,
                f"these frames are {num_bytes} bytes, and the limit is {self.max_bytes} per call; ask for fewer frames "
                f"or for smaller ones, or raise it by {variable('max_bytes')}",
            )


def variable(name: str) -> str:
    """The environment variable of a limit."""
    return f"ACTIONPROMPT_{name.upper()}"


@contextmanager
def decode_errors(path: str | Path, what: str = "not readable as video") -> Iterator[None]:
    """Whatever FFmpeg, PyAV, Pillow or the system raise over a file becomes a `VideoDecodeError` that names it."""
    try:
        yield
    except (VideoDecodeError, AssertionError):
        raise
    except Exception as error:  # their lists of exceptions are open: IndexError, SyntaxError, MemoryError, ...
        raise VideoDecodeError(path, f"{what} ({one_line(error)})") from None


def one_line(error: Exception) -> str:
    """The reason in an exception; its type if it has none."""
    text = str(getattr(error, "strerror", None) or error).strip()
    return " ".join(text.split()) or type(error).__name__
