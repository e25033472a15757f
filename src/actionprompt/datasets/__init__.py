"""The data sets. This folder is the registry: the file `name.py` defines the data set `name`."""

from pathlib import Path
from types import ModuleType

from actionprompt import registry
from actionprompt.datasets._base import Info as Info
from actionprompt.datasets._base import Labels as Labels
from actionprompt.datasets._base import lists_sha256 as lists_sha256
from actionprompt.datasets._base import read_labels as read_labels
from actionprompt.datasets._base import read_names as read_names
from actionprompt.datasets._lists import LIST_FOLDERS as LIST_FOLDERS
from actionprompt.datasets._lists import NotThere as NotThere
from actionprompt.datasets._lists import archives as archives

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The names of all data sets, in alphabetical order."""
    return registry.names(FOLDER)


def summary(name: str) -> str:
    """The first line of a data set's docstring."""
    return registry.summary(FOLDER, name)


def get(name: str) -> ModuleType:
    """The data set's module, with `INFO` and `load(root, *, split=1, part=...)`.

    Raises:
        ValueError: there is no data set of that name; the message suggests the nearest one.
    """
    return registry.load(__name__, name, names(), what="data set")
