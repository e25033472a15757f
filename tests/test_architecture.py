"""The import direction of the design, read from the source itself."""

import ast
from pathlib import Path

import pytest

import actionprompt

ROOT = Path(actionprompt.__file__).parent
LEVELS = [  # a file may import files of lower levels, and the ones named after it on its own level
    ["__init__"],
    ["sampling", "metrics", "video", "transforms"],
    ["backbone"],
    ["layers"],
    ["world"],
    ["config", "datasets", "methods"],
    ["records", "plots", "fusion", "protocols", "data", "checkpoint", "features"],
    ["evaluate", "train", "explain", "fusion_weight"],
    ["predict"],
    ["teach", "experiment", "results", "bench", "demo"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: index for index, names in enumerate(LEVELS) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if "assets" not in path.parts)


def top(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, as absolute dotted names."""
    package = ["actionprompt", *path.relative_to(ROOT).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.add(module)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def own(path: Path) -> set[str]:
    """The files and packages of the project that a file imports."""
    parts = [name.split(".") for name in imports(path) if name.split(".")[0] == "actionprompt"]
    return {name[1] for name in parts if len(name) > 1 and name[1] in LEVEL}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path):
    here = top(path)
    assert here in LEVEL, f"{here} has no place in the design yet: put it into LEVELS"
    if here == "__init__":
        return  # the public API looks up when it is asked
    upwards = {name for name in own(path) if name != here and LEVEL[name] > LEVEL[here]}
    assert not upwards


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_heavy_and_special_libraries_stay_where_they_belong(path):
    here, used = top(path), {name.split(".")[0] for name in imports(path)}
    if here in ("datasets", "protocols", "sampling", "video"):
        assert "torch" not in used
    if here == "world" and path.stem != "train_clip":
        assert "torch" not in used
    if here != "cli":
        assert not used & {"tyro", "rich"}
    if here != "video" and here != "world":
        assert "av" not in used
    if path.name != "__init__.py" or here not in ("methods", "datasets"):
        assert "importlib" not in {n for n in imports(path) if n == "importlib"}
    if here not in ("backbone", "bench") and path.stem != "train_clip":  # bench: its peers
        assert "transformers" not in used


@pytest.mark.parametrize("path", [p for p in FILES if top(p) == "methods"], ids=lambda path: path.stem)
def test_methods_import_pieces_and_no_other_method(path):
    if path.stem == "__init__":
        return
    assert own(path) <= {"backbone", "layers", "methods"}
    others = {n for n in imports(path) if n.startswith("actionprompt.methods.")}
    assert all(n.startswith("actionprompt.methods._base") for n in others)
