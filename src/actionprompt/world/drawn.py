"""Which video files ActionWorld drew: the embedded CLIP knows no others."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from actionprompt import files
from actionprompt.method import Method
from actionprompt.weights import TINY_WARNING, is_tiny
from actionprompt.world.build import Entry, read_manifest

MANIFEST, MOST_FOLDERS_UP = "manifest.tsv", 5


def is_drawn(path: str | Path) -> bool:
    """Whether ActionWorld drew a file: the manifest of a build, in one of the folders above, lists it with its place
    and the SHA-256 of its content. A file that is not there, or a folder of images, is not drawn."""
    path = Path(path).absolute()
    if not path.is_file():
        return False
    for home in path.parents[:MOST_FOLDERS_UP]:
        manifest = home / MANIFEST
        if manifest.is_file():
            entry = _entries(manifest, manifest.stat().st_mtime_ns).get(path.relative_to(home).as_posix())
            if entry is not None and entry.file_sha256 == files.sha256(path):
                return True
    return False


def tiny_warnings(method: Method, paths: Iterable[str | Path]) -> list[str]:
    """`TINY_WARNING` where a method on the embedded CLIP is to judge a video that ActionWorld did not draw."""
    uses_tiny = method.flow is None and is_tiny(method.clip)  # on optical flow, no CLIP is used
    return [TINY_WARNING] if uses_tiny and not all(map(is_drawn, paths)) else []


@lru_cache(maxsize=16)
def _entries(manifest: Path, changed_ns: int) -> dict[str, Entry]:
    """The entries of a file of that name, of which other programs have their own."""
    try:
        return read_manifest(manifest)
    except (OSError, UnicodeDecodeError):
        return {}
