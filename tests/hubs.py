"""CLIPs in files, and two stand-ins for the hub: its cache on disk, and a server on this machine."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from actionprompt.weights import load_clip, random
from actionprompt.weights.families import hugging_face_names
from actionprompt.weights.tokenizer import Tokenizer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_clip(name: str, folder: Path) -> Path:
    """`random:NAME` as a folder in Hugging Face format."""
    clip = load_clip(name)
    config = random.CONFIGS[name.removeprefix("random:")]
    if clip.family == "clip":  # at which the small tokeniser ends a text
        text_config = {**config["text_config"], "eos_token_id": clip.tokenizer.eos_token_id}
        config = {**config, "text_config": text_config}
    folder.mkdir(parents=True)
    write_tokenizer(clip.tokenizer, folder, num_tokens=config["text_config"].get("vocab_size", 49408))
    (folder / "config.json").write_text(json.dumps(config))
    weights = hugging_face_names(clip.state_dict(), clip.family)
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "model.safetensors")
    return folder


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, num_tokens: int) -> None:
    """A small tokeniser with as many tokens as a published table has rows: what is not its own is never used."""
    tokenizer.save(folder)
    if len(tokenizer) < num_tokens:
        found = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        found["model"]["vocab"] |= {f"filler{index}": index for index in range(len(tokenizer), num_tokens)}
        (folder / "tokenizer.json").write_text(json.dumps(found), encoding="utf-8")


def change(path: Path, **changes: Any) -> None:
    """Set fields of a JSON file; `a__b` is the field b of a."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *parts, last = name.split("__")
        place = content
        for part in parts:
            place = place[part]
        place[last] = value
    path.write_text(json.dumps(content), encoding="utf-8")


def hash_of(content: bytes, *, large: bool) -> str:
    """As the hub has it: SHA-256 of a large file, git's SHA-1 of a small one."""
    return (hashlib.sha256(content) if large else hashlib.sha1(b"blob %d\0" % len(content) + content)).hexdigest()


def is_large(path: Path) -> bool:
    return path.suffix in (".safetensors", ".bin")


def write_cache(source: Path, cache: Path, name: str) -> Path:
    """A model in the layout of the hub's cache: blobs, links to them in snapshots, refs. Returns the model's folder."""
    store = cache / f"models--{name.replace('/', '--')}"
    snapshot = store / "snapshots" / COMMIT
    for folder in (store / "blobs", store / "refs", snapshot):
        folder.mkdir(parents=True)
    for path in source.iterdir():
        content = path.read_bytes()
        blob = store / "blobs" / hash_of(content, large=is_large(path))
        blob.write_bytes(content)
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    (store / "refs" / "main").write_text(COMMIT)
    return store


class Hub(ThreadingHTTPServer):
    """A hub with one model, `me/clip`. It can be told to end downloads early, or to send something else."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.cut: list[int] = []
        """After how many bytes each of the next downloads of weights is cut."""
        self.gone_after_cut = False
        """Whether nothing more is answered after that."""
        self.wrong: set[str] = set()
        """Files whose content is not the one that is listed."""
        self.gone = False
        self.asked: list[tuple[str, str, str | None]] = []
        """(path, range, authorization) of every download."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.server.gone:
            self.close_connection = True
        elif path in ("/api/models/me/clip", "/api/models/me/clip/revision/main"):
            self.answer({"id": "me/clip", "modelId": "me/clip", "sha": COMMIT, "siblings": [], "tags": []})
        elif path == f"/api/models/me/clip/tree/{COMMIT}":
            self.answer([self.listed(name, content) for name, content in self.server.files.items()])
        elif path.startswith(f"/me/clip/resolve/{COMMIT}/"):
            self.send_file(path.rpartition("/")[2])
        else:
            self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    def listed(self, name: str, content: bytes) -> dict[str, object]:
        large = is_large(Path(name))
        listed = {"type": "file", "path": name, "size": len(content), "oid": hash_of(content, large=False)}
        lfs = {"oid": hash_of(content, large=True), "size": len(content), "pointerSize": 134}
        return listed | ({"lfs": lfs} if large else {})

    def answer(self, value: object, code: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        for key, text in {**(headers or {}), "Content-Type": "application/json"}.items():
            self.send_header(key, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name: str) -> None:
        hub, content, asked = self.server, self.server.files[name], self.headers.get("Range", "")
        hub.asked.append((name, asked, self.headers.get("Authorization")))
        if name in hub.wrong:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
        part = content[start:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if is_large(Path(name)) and hub.cut:
            part = part[: hub.cut.pop(0)]
            self.close_connection = True
            hub.gone = hub.gone_after_cut
        self.wfile.write(part)


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """A hub that serves the files of a folder as `me/clip`."""
    with Hub(folder) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
