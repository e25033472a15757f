"""What a file is that is no video, by its first bytes: a reason that its user can do something about."""

import os
import struct
from pathlib import Path

IMAGES = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"8BPS")
SOUNDS = (b"ID3", b"fLaC", b"OggS", b"MThd", b"#!AMR", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9")
DOCUMENTS = {
    b"%PDF": "a PDF document", b"PK\3\4": "an archive or an office document", b"Rar!": "an archive",
    b"7z\xbc\xaf": "an archive", b"\x1f\x8b": "an archive", b"MZ": "a program", b"\x7fELF": "a program",
}  # fmt: skip
STILLS = (b"heic", b"heix", b"mif1", b"avif")
MOST_BOXES = 1000


def instead(path: Path) -> str | None:
    """What is there in place of a video, or what is missing; None if it cannot be told."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(IMAGES) or (head[4:8] == b"ftyp" and head[8:12] in STILLS) or head[8:12] == b"WEBP":
        return "an image, and not a video"
    if head.startswith(SOUNDS) or head[8:12] == b"WAVE":
        return "sound only, without a video"
    for start, what in DOCUMENTS.items():
        if head.startswith(start):
            return f"{what}, and not a video"
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free", b"skip") and not _has_index(path):
        return "incomplete: its end is missing, so a recording or a copy of it was cut off"
    words = head.split()
    is_text = bool(words) and all(word.isascii() and word.decode("ascii").isprintable() for word in words)
    return "text, and not a video" if is_text else None


def _has_index(path: Path) -> bool:
    """Whether an MP4 has the box that says where its frames are."""
    end, place = os.path.getsize(path), 0
    with path.open("rb") as file:
        for _ in range(MOST_BOXES):
            file.seek(place)
            head = file.read(16)
            if len(head) < 8 or head[4:8] == b"moov":
                return head[4:8] == b"moov" and place + struct.unpack(">I", head[:4])[0] <= end
            size = int(struct.unpack(">I", head[:4])[0])
            if size == 1 and len(head) == 16:
                size = int(struct.unpack(">Q", head[8:])[0])
            if size < 8:
                return False
            place += size
    return True
