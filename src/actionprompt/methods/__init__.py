"""The methods. This folder is the registry: the file `name.py` is the method `name`. Listing them imports no torch."""

from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from actionprompt import datasets, registry
from actionprompt.config import DataConfig, TrainConfig, to_json, update
from actionprompt.paper import Card, Recipe

if TYPE_CHECKING:
    from actionprompt.methods._build import build as build

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The names of all methods, in alphabetical order."""
    return registry.names(FOLDER)


def summary(name: str) -> str:
    """The first line of a method's docstring."""
    return registry.summary(FOLDER, name)


def get(name: str) -> ModuleType:
    """The module of a method: its `Config` and `Model`, and the tables `VARIANTS`, `RECIPES`, `ABLATIONS`, `CARD` and
    `PUBLISHED`. The tables are optional in the file; missing ones are set to empty ones here.

    Raises:
        ValueError: there is no method of that name (the message names the closest one), or its file has no `Config` or
            no `Model`.
    """
    module: Any = registry.load(__name__, name, names(), what="method")
    if not is_dataclass(getattr(module, "Config", None)) or not isinstance(getattr(module, "Model", None), type):
        raise ValueError(
            f"methods/{name}.py: expected a dataclass `Config` and a class `Model(Method)`; see `vifi_clip.py`"
        )
    tables: dict[str, Any] = {"VARIANTS": {}, "RECIPES": {}, "ABLATIONS": [], "PUBLISHED": []}
    for table, empty in {**tables, "CARD": Card("", summary(name), "the contract suite")}.items():
        if not hasattr(module, table):
            setattr(module, table, empty)
    return module


@dataclass(frozen=True)
class Defaults:
    """The options of a run before the user changes any."""

    method: Any
    """The method's `Config`."""
    data: DataConfig
    train: TrainConfig
    recipe: str
    """The name of the recipe; "" for none."""
    source: str
    """Where the settings come from, in words."""


NO_RECIPE = "none"
"""As `--recipe`: the defaults of `TrainConfig` and `DataConfig`."""


def defaults(
    name: str, *, variant: str = "", recipe: str | None = None, protocol: str = "closed-set", dataset: str = "folder"
) -> Defaults:
    """The options that a method's variant and recipe set.

    `recipe=None` takes the recommended recipe of the protocol, those for this data set first; a generated data set
    (ActionWorld) takes none, since no paper's settings fit its drawings. `data.num_frames` follows the configuration of
    a method that has `num_frames`. Data sets where left and right are classes are not flipped, and those whose aspect
    ratio reveals the class are letterboxed.

    Raises:
        ValueError: no such method, variant or recipe, or a recipe for other protocols or data sets.
    """
    module, info = get(name), datasets.get(dataset).INFO
    for kind, table, value in (("variant", module.VARIANTS, variant), ("recipe", module.RECIPES, recipe)):
        if value and value != NO_RECIPE and value not in table:
            raise ValueError(f"{name} has no {kind} {value!r}; there are {', '.join(table) or 'none'}")
    chosen = _recommended(module.RECIPES, protocol, dataset) if recipe is None and not info.generated else recipe or ""
    settings: Recipe | None = module.RECIPES.get(chosen)
    if settings is not None and protocol not in settings.protocols:
        raise ValueError(
            f"the recipe {chosen} of {name} is for {', '.join(settings.protocols)}, not for {protocol}; give "
            f"--protocol {settings.protocols[0]} (of `actionprompt run`), or another recipe"
        )
    if settings is not None and settings.datasets and dataset not in settings.datasets and not info.generated:
        raise ValueError(f"the recipe {chosen} of {name} is for {', '.join(settings.datasets)}, not for {dataset}")
    config = module.VARIANTS[variant] if variant else module.Config()
    data = update(DataConfig(), to_json(settings.data) if settings else {})
    source = f"recipe {chosen} of {name} ({settings.source})" if settings else "the program's defaults, no recipe"
    frames = getattr(config, "num_frames", None)
    if frames is not None:
        data = update(data, {"num_frames": frames})
    if not info.flip:
        data, source = update(data, {"augment": {**to_json(data.augment), "flip": 0.0}}), f"{source}, without flips"
    if info.letterbox:
        data = update(data, {"fit": "letterbox", "num_crops": 1, "resize_side": None})
        source = f"{source}, letterboxed"
    return Defaults(config, data, update(TrainConfig(), dict(settings.train) if settings else {}), chosen, source)


def _recommended(recipes: dict[str, Recipe], protocol: str, dataset: str) -> str:
    fitting = [
        name
        for name, recipe in recipes.items()
        if recipe.recommended and protocol in recipe.protocols and (not recipe.datasets or dataset in recipe.datasets)
    ]
    return min(fitting, key=lambda name: not recipes[name].datasets, default="")


def __getattr__(name: str) -> Any:
    if name == "build":
        from actionprompt.methods._build import build

        return build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
