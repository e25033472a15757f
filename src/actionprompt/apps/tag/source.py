"""Where the videos are: a folder, a list of paths or addresses as text, CSV or Parquet, and the files behind addresses.

A row is the path or address of one video as the list spells it, a relative one below the folder of its list. Rows are
kept as bytes in one Arrow array, which takes no more memory than their texts; what is no UTF-8 in a name stays.
"""

import hashlib
import importlib.util
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionprompt.clips import VIDEO_SUFFIXES, find_videos, read_text, some

TEXT, CSV, PARQUET = (".list", ".lst", ".txt"), (".csv", ".tsv"), (".parquet", ".pq")
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::|://)")
"""What an address of fsspec begins with, such as `s3://`; anything else is a local path."""
ATTEMPTS, PAUSE_S = 3, 1.0
"""How often a file is asked for, and the pause after the first time, which doubles."""


@dataclass(frozen=True)
class Source:
    """The rows of a list."""

    rows: Any
    """A `pyarrow.LargeBinaryArray`."""
    base: str
    """The absolute folder or the address that relative rows lie below."""

    def __len__(self) -> int:
        return len(self.rows)

    def texts(self, first: int, stop: int) -> list[str]:
        """Rows from the first to before `stop`; bytes that are no UTF-8 as lone surrogates."""
        return [row.decode("utf-8", "surrogateescape") for row in self.rows.slice(first, stop - first).to_pylist()]

    @property
    def sha256(self) -> str:
        """Hash of all rows in order, and of `base` if a row is relative to it; not of the videos."""
        import numpy as np
        import pyarrow.compute as pc

        absolute = pc.match_substring_regex(self.rows, f"^(/|{ADDRESS.pattern})".encode())
        digest = hashlib.sha256(b"" if pc.all(absolute).as_py() else os.fsencode(self.base) + b"\0")
        lengths = pc.binary_length(self.rows)
        digest.update(np.asarray(lengths, np.int64).tobytes())
        start = int(np.frombuffer(self.rows.buffers()[1], np.int64)[self.rows.offset])
        digest.update(memoryview(self.rows.buffers()[2])[start : start + pc.sum(lengths).as_py()])
        return digest.hexdigest()

    @property
    def protocols(self) -> list[str]:
        """Those of all addresses among the rows."""
        import pyarrow.compute as pc

        found = pc.extract_regex(self.rows, rb"^(?P<protocol>[A-Za-z][A-Za-z0-9+.-]*)(?:::|://)").field("protocol")
        names = [name.decode() for name in pc.unique(found).to_pylist() if name]
        return [*names, *([self.base.partition(":")[0]] if ADDRESS.match(self.base) else [])]


def read(source: str, *, column: str | None = None, note: Callable[[str], None] | None = None) -> Source:
    """The rows of a folder (searched for videos), a list (`.txt`: a row per line; `.csv`, `.tsv` or `.parquet`: a
    column, `path` unless given), a glob or a video; all of these may be local or an fsspec address. `note` is called
    with a line on what in a folder was not looked at.

    Raises:
        ValueError: nothing there, no rows, no such column, a column of what is no table, a list that cannot be read, or
            a library that is missing.
    """
    require("pyarrow")
    if column is not None and (Path(source).suffix.lower() not in CSV + PARQUET or Path(source).is_dir()):
        raise ValueError(f"{source} is no table: expected --column with .csv, .tsv or .parquet alone, got {column!r}")
    column = column or "path"
    if ADDRESS.match(source):
        require("fsspec")
        found = _read_address(source, column)
    elif (suffix := Path(source).suffix.lower()) in TEXT + CSV + PARQUET and not Path(source).is_dir():
        path = Path(source).expanduser()
        found = Source(_read_list(path, suffix, column, source), os.path.realpath(path.parent))
    else:
        found = Source(_array(map(str, find_videos([source], note))), os.path.realpath("."))
    if not len(found):
        raise ValueError(f"{source}: expected at least one row, got none")
    _check_protocols(found)
    return found


def require(*libraries: str, extra: str = "tag") -> None:
    """Raise ValueError for a library that is not installed."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f'{" and ".join(missing)} is not installed; pip install "actionprompt[{extra}]"')


def _check_protocols(source: Source) -> None:
    """Raise ValueError for addresses that fsspec cannot open here, before the work starts."""
    for protocol in source.protocols:
        require("fsspec")
        import fsspec

        try:
            fsspec.get_filesystem_class(protocol)
        except (ImportError, ValueError) as error:
            raise ValueError(f"{protocol}:// cannot be read: {' '.join(str(error).split())}") from None


def _array(texts: Any) -> Any:
    import pyarrow as pa

    return pa.array([text.encode("utf-8", "surrogateescape") for text in texts], pa.large_binary())


def _read_address(source: str, column: str) -> Source:
    import fsspec

    suffix = Path(source).suffix.lower()
    try:
        if suffix in TEXT + CSV + PARQUET:
            with tempfile.TemporaryDirectory() as folder:
                return Source(_read_list(fetch(source, folder), suffix, column, source), source.rpartition("/")[0])
        system, path = fsspec.url_to_fs(source)
        found = system.glob(path) if re.search(r"[*?\[]", path) else system.find(path)
    except ImportError as error:
        raise ValueError(f"{source} cannot be read: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise ValueError(f"{source} cannot be read: {_in_a_line(error)}") from None
    videos = sorted(path for path in found if Path(path).suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise ValueError(f"no videos at {source}" + (f"; it holds {some(found)}" if found else ""))
    return Source(_array(map(system.unstrip_protocol, videos)), source)


def _read_list(path: Path, suffix: str, column: str, name: str) -> Any:
    import pyarrow as pa

    if suffix in TEXT:
        return _array(line for line in read_text(path).split("\n") if line.strip())
    if not path.is_file():
        raise ValueError(f"no list file {name}; check the path")
    try:
        table = (_read_csv if suffix in CSV else _read_parquet)(path, column, suffix)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{name} cannot be read as a table: {_in_a_line(error)}") from None
    if isinstance(table, list):
        if column in table:
            raise ValueError(f"{name} has {table.count(column)} columns {column!r}; rename all but one")
        raise ValueError(f"{name} has no column {column!r}, but {some(table, 5)}; name it with --column")
    found = table.column(column)
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    if kind not in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        raise ValueError(f"{name}: expected texts in the column {column!r}, got {kind}")
    found = found.cast(kind).cast(pa.binary() if kind == pa.string() else kind).cast(pa.large_binary())
    return pa.concat_arrays([pa.array([], pa.large_binary()), *found.fill_null(b"").chunks])


def _read_csv(path: Path, column: str, suffix: str) -> Any:
    """The table, or the names of its columns where that one is not among them exactly once."""
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter="\t" if suffix == ".tsv" else ",", newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as opened:
        if opened.schema.names.count(column) != 1:
            return list(opened.schema.names)
    convert = csv.ConvertOptions(include_columns=[column], column_types={column: pa.large_binary()})
    return csv.read_csv(path, parse_options=parse, convert_options=convert)


def _read_parquet(path: Path, column: str, suffix: str) -> Any:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as opened:
        names = opened.schema_arrow.names
        return opened.read(columns=[column]) if names.count(column) == 1 else list(names)


# The file of a row ----------------------------------------------------------------------------------------------------


@contextmanager
def local(text: str, base: str, folder: str | Path | None) -> Iterator[Path]:
    """The local path of a row. What is behind an address is there until the block ends, in `folder` (None: that of the
    system for temporary files).

    Raises:
        ValueError: the row is empty, or its file could not be fetched.
    """
    if not text.strip():
        raise ValueError("the row names no file")
    if not ADDRESS.match(text):
        if not ADDRESS.match(base):
            yield Path(base, text)
            return
        text = f"{base}/{text}"
    if text.startswith("file://"):
        yield Path(text.removeprefix("file://"))
        return
    with tempfile.TemporaryDirectory(dir=folder) as own:
        yield fetch(text, own)


def fetch(address: str, folder: str | Path) -> Path:
    """Copy the file at an address into a folder.

    Raises:
        ValueError: it could not be had in `ATTEMPTS` attempts.
    """
    import fsspec

    name = re.sub(r"[^\w.-]", "_", address.rpartition("/")[2])[-50:] or "file"
    path = Path(folder, name)
    for attempt in range(ATTEMPTS):
        try:
            system, place = fsspec.url_to_fs(address)
            system.get_file(place, str(path))
            return path
        except FileNotFoundError:
            raise ValueError("could not be fetched (no such file)") from None
        except Exception as error:  # each file system has errors of its own
            if attempt == ATTEMPTS - 1:
                raise ValueError(f"could not be fetched ({_in_a_line(error)})") from None
            time.sleep(PAUSE_S * 2**attempt)
    raise AssertionError


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def printable(texts: Sequence[str | None]) -> list[str | None]:
    """Texts as UTF-8, which Parquet asks for: a byte that is none as `\\xff`."""
    return [
        None if text is None else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for text in texts
    ]
