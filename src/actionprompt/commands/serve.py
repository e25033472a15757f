"""A web page on this computer: drop a video, see what happens when, teach new actions: actionprompt serve

Ctrl-C or SIGTERM stops the server with exit code 0, as a server of uvicorn: to be stopped is how it ends.
"""

import importlib.util
import math
import os
import re
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

from actionprompt.commands._outputs import check_folder
from actionprompt.commands._shared import check_least, err, fetch, note, parse, say
from actionprompt.page.settings import Settings

PACKAGES = ("fastapi", "psutil", "uvicorn")
DEFAULTS = Settings()
TOKEN = re.compile("[A-Za-z0-9._~-]{16,}")
"""What neither an address nor a header has to escape."""
MAKE = "make"
"""As a token, which is too short for one: make one."""


@dataclass(frozen=True)
class Options:
    port: int = DEFAULTS.port
    """Where the page is: http://127.0.0.1:PORT. 0: any that is free."""
    host: str = DEFAULTS.host
    """Address to listen on. The default is reached from this computer alone; 0.0.0.0 from the network too, and then a
    token is needed."""
    backbone: str = DEFAULTS.backbone
    """For labels without a model, and for teaching: `auto`, openai/clip-vit-base-patch16 from the cache or the hub; or
    a folder, a .pt file, a hub name, or `tiny`."""
    model: Path | None = None
    """A trained or taught model to offer on the page."""
    models: Path = DEFAULTS.models
    """Folder of the models that are taught on the page; they stay when the server stops."""
    token: str | None = None
    """What a browser or program has to bring: at least 16 letters, digits, - . _ or ~. Without a value: make one, which
    is also done for a --host of the network."""
    allow_hosts: tuple[str, ...] = ()
    """Further names of this server, such as that of a proxy before it; NAME:PORT where the port is another."""
    max_mb: int = DEFAULTS.max_mb
    """Of one upload."""
    max_gb: float = DEFAULTS.max_gb
    """Of all uploads and results together."""
    max_minutes: float = DEFAULTS.max_minutes
    """Of one job; then it fails."""
    max_memory_gb: float | None = None
    """Of one job; by default three quarters of the computer's memory."""
    max_queue: int = DEFAULTS.max_queue
    """Jobs that wait; more are refused."""
    open: bool = True
    """Open the page in the browser."""


def main(args: Sequence[str]) -> int:
    options = parse(Options, _bare_token(args), "serve", __doc__)
    _check(options)
    settings = find_settings(options)
    if not is_here(settings.backbone):
        fetch_apart(settings.backbone)
    from actionprompt.page.server import serve

    def started(url: str) -> None:
        running.set()
        waiting.stop()
        _introduce(settings, url)
        if options.open:  # a browser of the terminal would keep the server waiting
            threading.Thread(target=open_browser, args=(url,), daemon=True).start()

    running = threading.Event()
    waiting = err.status("starting, which takes until the backbone is loaded")
    with stopped_by_signals(running), waiting:
        serve(settings, started=started)
    say(f"stopped; uploads and results are deleted, models are kept in {settings.models}")
    return 0


def _bare_token(args: Sequence[str]) -> list[str]:
    """The arguments, where `--token` without a value has one."""
    given = [*args]
    for index, word in enumerate(args):
        if word == "--token" and (index + 1 == len(args) or args[index + 1].startswith("--")):
            given[index] = f"--token={MAKE}"
    return given


def _check(options: Options) -> None:
    """Raises ValueError, in a line, for what no server can be started with."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f'expected the packages of the page; pip install "actionprompt[page]" (there is no {", ".join(missing)})'
        )
    from actionprompt.page.guard import read_address

    if options.port not in range(65536):
        raise ValueError(f"expected --port of 1 to 65535, or 0 for any that is free, got {options.port}")
    if not options.host.strip("[] "):
        raise ValueError("expected --host with an address to listen on, such as 127.0.0.1 or 0.0.0.0, got none")
    for option, value in (("host", options.host), *(("allow-hosts", name) for name in options.allow_hosts)):
        try:
            address = read_address(value)
        except ValueError as error:
            raise ValueError(f"--{option}: {error}") from None
        if option == "host" and address.port is not None:
            raise ValueError(f"--host: expected an address without a port, which is for --port, got {value}")
    if options.token is not None and options.token != MAKE and not TOKEN.fullmatch(options.token):
        raise ValueError(
            f"expected --token of at least 16 letters, digits, - . _ or ~, got {len(options.token)} characters; "
            f"--token without a value makes one"
        )
    check_least(options, max_mb=1, max_queue=1)
    for name in ("max_gb", "max_minutes", "max_memory_gb"):
        number = getattr(options, name)
        if number is not None and not (number > 0 and math.isfinite(number)):
            raise ValueError(f"expected --{name.replace('_', '-')} above 0, got {number:g}")
    check_folder(options, "models")


def find_settings(options: Options) -> Settings:
    """The settings of a server, with a token where others than this computer can ask."""
    from actionprompt.page.guard import is_loopback

    host, token = options.host.strip("[]"), options.token
    if token == MAKE or (token is None and not is_loopback(host)):
        token = secrets.token_urlsafe(24)
    return Settings(
        host=host, port=options.port, token=token, allow_hosts=options.allow_hosts, backbone=options.backbone,
        model=options.model, models=options.models, max_mb=options.max_mb, max_gb=options.max_gb,
        max_minutes=options.max_minutes, max_memory_gb=options.max_memory_gb, max_queue=options.max_queue,
    )  # fmt: skip


# The backbone --------------------------------------------------------------------------------------------------------


def is_here(backbone: str) -> bool:
    """Whether a backbone is certainly on this computer."""
    return backbone == "tiny" or backbone.startswith("random:") or Path(backbone).exists()


def fetch_apart(backbone: str) -> None:
    """`fetch` in a process of its own, since the server does without torch and its memory.

    Raises:
        ValueError: as `fetch`.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(_fetch, backbone).result()


def _fetch(backbone: str) -> None:
    from actionprompt.commands import notices

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the server says that it was interrupted; a fetch can be resumed
    with notices():
        fetch(backbone)


# While it runs -------------------------------------------------------------------------------------------------------


@contextmanager
def stopped_by_signals(running: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM interrupt the start. Once the server runs they are uvicorn's, which ends it and then raises
    them once more; there is nothing left for them to do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def interrupt(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if not running.is_set() and callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _introduce(settings: Settings, url: str) -> None:
    """What is printed when the page can be opened."""
    from actionprompt.page.guard import is_loopback, is_wildcard

    say(f"the page: {url}")
    if is_wildcard(settings.host):
        say(f"from other computers: {url.replace(url.split('/')[2].rpartition(':')[0], own_address(), 1)}")
    memory = "3/4 of the memory" if settings.max_memory_gb is None else f"{settings.max_memory_gb:g} GB of memory"
    say(
        f"limits: {settings.max_mb} MB for a video, {settings.max_gb:g} GB for all; {settings.max_minutes:g} minutes "
        f"and {memory} for a job, {settings.max_queue} jobs in the queue"
    )
    say(f"models that are taught are kept in {settings.models}; Ctrl-C stops the server and deletes all else")
    if not is_loopback(settings.host):
        note("note:", "what is sent over the network is not encrypted; whoever has the address above can use the page")
    sys.stdout.flush()  # where stdout is a file or a pipe, somebody waits for the address


def own_address() -> str:
    """This computer's address in its network, as others see it; its name where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # an address for documentation; nothing is sent
            return str(asked.getsockname()[0])
        except OSError:
            return socket.gethostname()


def open_browser(url: str) -> None:
    """Open the page where there is a screen, or say that it was not."""
    screen = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    try:
        opened = bool(screen) and webbrowser.open(url)
    except webbrowser.Error:
        opened = False
    if not opened:
        note("note:", "no browser could be opened here; please open the address above")
