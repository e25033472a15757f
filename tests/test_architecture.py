"""The import direction of the design, read from the source itself."""

import ast
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import actionprompt

ROOT = Path(actionprompt.__file__).parent
LEVELS = [  # a file may import files of lower levels alone; `*` stands for the files of a registry
    ["config", "paper", "clips", "distortions", "errors", "files", "sampling", "metrics"],
    ["labels", "registry", "records", "store", "transforms", "backbone.layers", "backbone.int8"],
    ["video.limits", "video.bits", "backbone.image", "backbone.text"],
    ["backbone"],
    ["video.images", "video.h264"],
    ["video.headers"],
    ["video.scan"],
    ["video.decoding", "video.sound", "video.browsers"],
    ["video.writing", "video.prepared"],
    ["video.streaming"],
    ["video"],
    ["video.flow", "video.codecs"],
    ["data", "layers", "weights.tokenizer", "weights.archive", "weights.budget", "weights.given", "weights.known"],
    ["weights.assemble", "weights.families", "weights.tensors"],
    ["weights.pixels", "weights.sentencepiece"],
    ["weights.hub", "weights.random"],
    ["weights.tokenizer_files"],
    ["weights.hugging_face"],
    ["weights.openai"],
    ["weights.open_clip"],
    ["weights.run"],
    ["weights"],
    ["method"],
    ["world.figure", "world.sensor", "world.augment", "world.paraphrases"],
    ["world.scene", "world.props", "world.canvas", "world.body"],
    ["world.motion", "world.captions", "world.clutter"],
    [
        "world.backgrounds",
        "world.distractors",
        "world.reversible_motions",
        "world.cyclic_motions",
        "world.still_motions",
        "world.interaction_motions",
    ],
    ["world.actions", "world.render"],
    ["world.staging", "world.sayings"],
    ["world.build", "world.stills"],
    ["world.drawn", "world.long"],
    ["world"],
    ["world.training_stills"],
    ["world.tiny_clip"],
    ["world.tiny_clip_scores"],
    ["world.train_clip"],
    ["datasets._base"],
    ["datasets._lists"],
    ["datasets"],
    ["datasets.kinetics400"],
    ["datasets._actionworld", "datasets._kinetics600"],
    ["datasets.*"],
    ["methods"],
    ["methods._build", "methods._beta", "methods._lexicon", "methods._temporal", "methods._words"],
    ["methods.*"],
    ["papers"],
    ["papers.*"],
    ["checkpoint.card"],
    ["features", "checkpoint"],
    ["resume", "evaluation"],
    ["training"],
    ["prediction.none_of_these", "prediction.precision"],
    ["prediction"],
    ["prediction.tables"],
    ["apps", "study"],
    ["apps.prepare.pool", "apps.prepare.source", "apps.tag.source"],
    ["apps.tag.work"],
    ["apps.tag.local", "apps.tag.cluster", "apps.tag.table"],
    ["apps._keys", "apps.teach.examples", "apps.teach.held_out", "apps.timeline.answer"],
    ["apps.timeline.smoothing", "apps.timeline.truth", "apps.timeline.captions", "apps.timeline.look"],
    ["apps.timeline.picture", "apps.timeline.film"],
    ["apps.*", "study.tables", "study.plots", "study.meters", "study.protocols"],
    ["study.paired"],
    ["study.peers", "study.experiment", "study.rows"],
    ["study.bench", "study.demo"],
    ["study.leaderboard"],
    ["study.paper_tables", "study.claims"],
    ["study.pages"],
    ["page"],
    ["page.settings", "page.schemas", "page.process", "page.instead"],
    ["page.videos", "page.guard", "page.reference", "page.models"],
    ["page.jobs", "page.work"],
    ["page.service", "page.refusals"],
    ["page.routes"],
    ["page.server"],
    ["commands._shared"],
    ["commands._outputs"],
    ["commands.*"],
    ["commands.paper"],
    ["commands"],
    ["__main__"],
    [""],  # the public API
]
LEVEL = {name: index for index, names in enumerate(LEVELS) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if "assets" not in path.parts)


def module(path: Path) -> str:
    """Dotted name below the package; of an `__init__` that of its folder."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {module(path) for path in FILES}


def level(name: str) -> int | None:
    found = [index for place, index in LEVEL.items() if place == name]
    return (found or [index for place, index in LEVEL.items() if "*" in place and fnmatch(name, place)] or [None])[0]


def imports(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, as absolute dotted names; `TYPE_CHECKING` blocks do not run."""
    package = ["actionprompt", *path.relative_to(ROOT).parts[:-1]]
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found.add(name)
            found |= {f"{name}.{alias.name}" for alias in node.names}
    return found


def own(path: Path) -> set[str]:
    """The files of the project that a file imports: the deepest module of each name, not the folders above it."""
    names = {name.removeprefix("actionprompt").lstrip(".") for name in imports(path) if name.startswith("actionprompt")}
    known = names & MODULES
    return {name for name in known if name and not any(other.startswith(f"{name}.") for other in known)}


def test_every_place_in_the_list_is_a_file():
    assert [name for name in LEVEL if "*" not in name and name not in MODULES] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path):
    here = level(module(path))
    assert here is not None, f"{module(path)} has no place in the design yet: put it into LEVELS"
    assert [name for name in own(path) if level(name) >= here and name != "methods._build"] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_heavy_and_special_libraries_stay_where_they_belong(path):
    here, used = module(path), {name.split(".")[0] for name in imports(path)}
    top = here.split(".")[0]
    torchless = ("datasets", "sampling", "video", "clips", "config", "labels", "registry", "paper")
    if top in torchless or here == "study.protocols":
        assert "torch" not in used
    if top == "world" and here not in ("world.tiny_clip", "world.tiny_clip_scores", "world.train_clip"):
        assert "torch" not in used
    if top != "commands":
        assert not used & {"tyro", "rich"}
    if top not in ("video", "world"):
        assert "av" not in used
    if top != "page":
        assert not used & {"fastapi", "starlette", "uvicorn", "psutil"}
    if top == "page":
        assert "torch" not in used
    if not here.startswith("apps.tag"):
        assert not used & {"pyarrow", "ray", "fsspec"}
    if not here.startswith("apps.export"):
        assert not used & {"onnx", "onnxruntime", "onnxscript"}
    if here not in ("registry", ""):
        assert "importlib" not in imports(path)
    if here not in ("study.peers", "world.tiny_clip"):
        assert "transformers" not in used


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_commands_print(path):
    calls = [n.func for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    if module(path).split(".")[0] != "commands":
        assert not any(isinstance(call, ast.Name) and call.id == "print" for call in calls)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_private_names_stay_in_their_package(path):
    package = ".".join(["actionprompt", *path.relative_to(ROOT).parts[:-1]])
    for name in imports(path):
        *home, last = name.split(".")
        private = next((i for i, part in enumerate([*home, last]) if part.startswith("_") and part != "__init__"), None)
        if name.startswith("actionprompt") and private is not None and not last.startswith("__"):
            assert package.startswith(".".join([*home, last][:private])), f"{name} is private"


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "methods"], ids=lambda path: path.stem)
def test_methods_import_pieces_and_no_other_method(path):
    if not path.stem.startswith("_"):
        pieces = {name for name in own(path) if not name.startswith("methods._")}
        assert pieces <= {"backbone", "clips", "config", "layers", "method", "paper", "weights"}


def test_the_server_of_the_page_starts_without_torch():
    code = "import sys, actionprompt.page.server; assert not {'torch', 'transformers', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_are_few_and_short():
    assert len([path for path in FILES if path.parent == ROOT]) <= 23
    lengths = {module(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: n for name, n in lengths.items() if n > 450} == {}


def test_the_tree_in_contributing_names_every_file():
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text.partition("```text\n")[2].partition("```")[0]
    named = {word for line in tree.splitlines() for word in line.split() if word.endswith(".py")}
    assert {path.name for path in FILES} == {name for name in named if not name.startswith("benchmarks")}
