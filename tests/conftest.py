"""What every test relies on: checked shapes, one thread per worker, no network, a cache folder of the suite's own, and
the folder of real clips."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is first imported
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes a test starts
if "ACTIONPROMPT_CACHE" not in os.environ:  # not the user's; workers inherit that of the process that starts them
    os.environ["ACTIONPROMPT_CACHE"] = tempfile.mkdtemp(prefix="actionprompt-tests-")
    atexit.register(shutil.rmtree, os.environ["ACTIONPROMPT_CACHE"], ignore_errors=True)

import beartype
import hypothesis
import jaxtyping
import pytest
import torch

assert "actionprompt" not in sys.modules, "imported before the hook: its shape annotations would not be checked"
checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))  # an int may stand for a float
jaxtyping.install_import_hook("actionprompt", "conftest.checked")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

hypothesis.settings.register_profile("actionprompt", deadline=None, print_blob=True)  # CI machines stall
hypothesis.settings.load_profile("actionprompt")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real clips and goldens; they are not redistributable, so it is found by environment variable alone."""
    folder = os.environ.get("ACTIONPROMPT_REAL_DATA")
    if not folder:
        pytest.skip("ACTIONPROMPT_REAL_DATA is not set: it names the folder of real clips")
    if not Path(folder).is_dir():
        pytest.fail(f"ACTIONPROMPT_REAL_DATA={folder} is not a folder; set it to the folder of real clips or unset it")
    return Path(folder)


@pytest.fixture
def as_users_call() -> Iterator[None]:
    """Switches the shape annotations off, as they are outside pytest: our own error text is what then answers."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def own_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, and consoles that are wide enough for its lines."""
    from actionprompt.commands import _shared

    monkeypatch.setenv("ACTIONPROMPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_shared.out, "width", 160)
    monkeypatch.setattr(_shared.err, "width", 160)
