"""Which clips of a data set are on disk, which are missing, and whether they can be decoded. Downloads nothing."""

import json
import multiprocessing
import signal
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actionprompt import datasets, video
from actionprompt.clips import Clip, ClipList, some
from actionprompt.config import Progress
from actionprompt.datasets import LIST_FOLDERS, Info, NotThere, archives, lists_sha256

NUM_FRAMES = 8
"""Frames decoded per clip: the first, the last, and six evenly spaced between them."""


@dataclass(frozen=True)
class Inspection:
    """The result of `inspect`, with instructions for what is missing."""

    root: Path
    info: Info
    parts: tuple[ClipList, ...]
    """The clips found, per split and part; `ClipList.missing` names the others."""
    problems: tuple[str, ...]
    """One line each: a missing, modified or malformed list, a part without any clip, archives to extract."""
    lists: Mapping[str, str]
    """`lists_sha256` of the official list files found, by pattern of `Info.lists`."""

    @property
    def complete(self) -> bool:
        """Whether every listed clip of every part was found, without problems."""
        return bool(self.parts) and not self.problems and not any(part.missing for part in self.parts)

    def lines(self) -> list[str]:
        """The report as text, for users."""
        out = [f"{self.info.title} in {self.root}; licence: {self.info.licence}"]
        for part in self.parts:
            head = f"{part.name}: {len(part.clips)} of {len(part.clips) + len(part.missing)} clips"
            if part.clips:
                folders = sum(clip.path.is_dir() for clip in part.clips[:: max(1, len(part.clips) // 100)])
                head += f"; {'frame folders' if folders else 'videos'}, layout {part.layout}"
            out.append(head)
            if part.missing:
                out.append(f"  missing {len(part.missing)}: {some(part.missing, 5)}")
            if part.ignored:
                out.append(f"  left out {len(part.ignored)}: {some(part.ignored, 5)}")
            present = {clip.label for clip in part.clips}
            empty = [name for label, name in enumerate(part.class_names) if label not in present]
            if empty and present:
                out.append(f"  {len(empty)} of {len(part.class_names)} classes have no clip: {some(empty, 5)}")
        for name, digest in self.lists.items():
            verdict = ", as published" if self.info.sha256.get(name) == digest else ""
            out.append(f"list {name}: sha256 {digest}{verdict}")
        out += [f"problem: {line}" for line in self.problems]
        if not self.complete:
            out.append(f"to do: {self.info.get}; expected under ROOT: {' or '.join(self.info.layouts[:3])}")
        gone = max((len(part.missing) for part in self.parts if part.clips), default=0)
        if gone:
            out.append(f"or use the clips that are there: --clips.max-missing {gone}, in train, eval, run and paper")
        return out


def inspect(name: str, root: str | Path) -> Inspection:
    """Compares the data set `name` under `root` with its official lists, without decoding.

    Raises:
        ValueError: an unknown name, or `root` does not exist; all other problems are in the result.
    """
    module = datasets.get(name)
    info: Info = module.INFO
    root = Path(root).expanduser()
    if not root.exists():
        raise ValueError(f"{info.title}: there is no {root}; check the path, or {info.get}")
    if root.is_file() and name != "csv":
        raise ValueError(f"{info.title}: expected a folder, got the file {root}")
    problems: list[str] = []
    found: list[ClipList] = []
    for split in info.splits:
        for part in info.parts or module.parts(root):
            try:
                clips = module.load(root, split=split, part=part, max_missing=1 << 62)
            except NotThere as error:
                problems.append(error.what)
            except ValueError as error:
                problems.append(str(error))
            else:
                found.append(clips)
    packed = archives(root)
    if packed and (problems or any(part.missing for part in found)):
        problems.append(f"archives, not extracted or no longer needed ({len(packed)}): {some(packed, 5)}")

    digests = {}
    for pattern in info.lists:
        files = {path.name: path for place in reversed(LIST_FOLDERS) for path in (root / place).glob(pattern)}
        if files:
            digests[pattern] = lists_sha256(list(files.values()))
            if info.sha256.get(pattern, digests[pattern]) != digests[pattern]:
                problems.append(f"list {pattern} is not as published (sha256 {digests[pattern]})")
    return Inspection(root, info, tuple(found), tuple(dict.fromkeys(problems)), digests)


@dataclass(frozen=True)
class Verification:
    """The result of `verify`."""

    num_clips: int
    """Clips checked in this run or, unchanged since, in an earlier one."""
    num_resumed: int
    """Those of them that were found good in an earlier run and skipped in this one."""
    failures: tuple[str, ...]
    """One line per clip that cannot be decoded, with its key and the reason."""


def verify(
    clips: ClipList,
    *,
    num_clips: int | None = None,
    num_workers: int = 1,
    state_file: str | Path | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Decodes `NUM_FRAMES` frames of every clip, or of `num_clips` clips evenly spaced over the list.

    With a state file (JSON lines) it can be interrupted at any time and resumes: clips that were good are skipped if
    their size and modification time have not changed, clips that failed are tried again. `progress(done, total)` is
    called per clip.

    Raises:
        ValueError: `num_clips` below 1.
    """
    chosen = list(clips.clips)
    if num_clips is not None:
        if num_clips < 1:
            raise ValueError(f"expected num_clips >= 1, or None for all, got {num_clips}")
        places = np.linspace(0, len(chosen) - 1, min(num_clips, len(chosen))).round().astype(int)
        chosen = [chosen[place] for place in places]
    good = _read_state(Path(state_file)) if state_file is not None else {}
    todo = [clip for clip in chosen if good.get(clip.key) != _identity(clip.path)]
    done = len(chosen) - len(todo)
    failures = []
    state = open(state_file, "a", encoding="utf-8") if state_file is not None else None  # noqa: SIM115
    pool = None
    if num_workers > 1:  # Ctrl-C is for this process, which ends the others
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(num_workers, spawn, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        if state is not None:
            state.write("\n")  # ends a line that an interrupted run may have left incomplete
        verdicts = pool.map(_decode, todo, chunksize=4) if pool is not None else map(_decode, todo)
        for clip, error in zip(todo, verdicts, strict=True):
            done += 1
            if error is not None:
                failures.append(f"{clip.key}: {error}")
            if state is not None:
                row = {"key": clip.key, "identity": _identity(clip.path), "error": error}
                state.write(json.dumps(row) + "\n")
                state.flush()
            if progress is not None:
                progress(done, len(chosen))
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        if state is not None:
            state.close()
    return Verification(len(chosen), len(chosen) - len(todo), tuple(failures))


def _decode(clip: Clip) -> str | None:
    """None if the clip can be decoded, else the reason in one line."""
    try:
        _read_some(clip.path, NUM_FRAMES)
    except (ValueError, OSError) as error:
        return " ".join(str(error).split())
    return None


def problem(path: Path, num_frames: int | None = NUM_FRAMES) -> str | None:
    """Why a video cannot be read, in one line with its path, or None if it can. Decodes `num_frames` frames evenly
    spaced over the video, or all frames with None."""
    try:
        _read_some(path, num_frames)
    except video.VideoDecodeError as error:
        return str(error)
    return None


def _read_some(path: Path, num_frames: int | None) -> None:
    count = video.count_frames(path)
    indices = np.linspace(0, count - 1, min(num_frames or count, count)).round().astype(np.int64)
    video.read_frames(path, indices, short_side_px=64)


def _identity(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _read_state(path: Path) -> dict[str, list[int]]:
    """Size and modification time, by key, of every clip that was last found good. Incomplete lines are ignored.

    Raises:
        ValueError: a file with other content.
    """
    good: dict[str, list[int]] = {}
    if not path.exists():
        return good
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if any(lines) and not any(line.startswith('{"key": ') for line in lines):
        raise ValueError(f"{path}: expected a file that an earlier verification wrote; this one is left as it is")
    for line in lines:
        try:
            row = json.loads(line)
            key, identity, error = row["key"], row["identity"], row["error"]
        except (ValueError, KeyError, TypeError):
            continue
        good.pop(key, None)
        if error is None and identity:
            good[key] = identity
    return good
