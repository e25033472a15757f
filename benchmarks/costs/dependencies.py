"""What the dependencies take on the disk, of the package and of each extra, and what each is for.

    python benchmarks/costs/dependencies.py [--out results/costs/dependencies.json]

Measured in this environment: the files that each distribution installed, without compiled Python. What only one of the
dependencies asks for is counted with it. The table of docs/how_to/dependencies.md is that of the record.
"""

import argparse
import importlib.metadata
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from actionprompt import records

ROOT = Path(__file__).parents[2]
PURPOSES = {
    "accelerate": "training on several GPUs and in bf16",
    "av": "video: FFmpeg, decoding and encoding",
    "huggingface_hub": "weights from the hub",
    "jaxtyping": "shapes in the signatures",
    "kornia": "colour jitter in training",
    "matplotlib": "plots: timelines, explanations, the demo, results",
    "numpy": "arrays",
    "opencv-python-headless": "optical flow, the drawings of ActionWorld",
    "pillow": "images: folders of frames, GIF, text in films",
    "rich": "tables and progress bars in the terminal",
    "safetensors": "files of weights",
    "tensorboard": "curves of a training",
    "tokenizers": "texts to tokens",
    "torch": "tensors, gradients, devices",
    "torchmetrics": "accuracies and calibration of an evaluation",
    "transformers": "training of the embedded CLIP, published models for comparison",
    "tyro": "options of the command line",
}
EXTRAS = {
    "page": "`actionprompt serve`",
    "tag": "`actionprompt tag`: Parquet",
    "cluster": "`actionprompt tag` on a Ray cluster; includes `tag`",
    "export": "`actionprompt export`: ONNX",
}


@cache
def size(name: str) -> int:
    """Bytes of the files that a distribution installed."""
    paths = (Path(str(file.locate())) for file in importlib.metadata.files(name) or ())
    return sum(path.stat().st_size for path in paths if path.is_file() and path.suffix != ".pyc")


def closure(wanted: Iterable[Requirement]) -> set[str]:
    """These distributions and all that they ask for here."""
    found: dict[str, set[str]] = {}
    todo = [*wanted]
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        if name in found and one.extras <= found[name]:
            continue
        found.setdefault(name, set()).update(one.extras)
        for line in importlib.metadata.requires(name) or ():
            other = Requirement(line)
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                todo.append(other)
    return set(found)


def megabytes(names: Iterable[str]) -> float:
    return round(sum(map(size, names)) / 1e6, 1)


def measure() -> dict[str, Any]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run = [Requirement(line) for line in project["dependencies"]]
    everything, dependencies = closure(run), []
    for one in run:
        others = closure(other for other in run if other is not one)
        name = canonicalize_name(one.name)
        dependencies.append({
            "name": one.name, "version": importlib.metadata.version(name), "mb": megabytes([name]),
            "only_for_it_mb": megabytes(closure([one]) - others - {name}),
        })  # fmt: skip
    extras = {}
    for extra in EXTRAS:
        more = closure(requirements(project["optional-dependencies"], extra)) - everything
        extras[extra] = {"distributions": len(more), "mb": megabytes(more)}
    package = ROOT / "src" / "actionprompt"
    own = {"package": [*package.rglob("*")], "embedded_models": [*(package / "assets").rglob("*")]}
    return {
        "dependencies": dependencies,
        "distributions": len(everything),
        "total_mb": megabytes(everything),
        "extras": extras,
        "own_mb": {
            part: round(sum(path.stat().st_size for path in paths if path.is_file() and path.suffix != ".pyc") / 1e6, 1)
            for part, paths in own.items()
        },
    }  # fmt: skip


def requirements(extras: dict[str, list[str]], extra: str) -> list[Requirement]:
    """Those of an extra, with those of the extras of ours that it includes."""
    found = []
    for one in map(Requirement, extras[extra]):
        own = one.name == "actionprompt"
        found += [item for name in one.extras for item in requirements(extras, name)] if own else [one]
    return found


def table(record: dict[str, Any]) -> str:
    """The record as Markdown, the largest first."""
    lines = ["| dependency | for | MB | and what only it needs |", "| --- | --- | ---: | ---: |"]
    for row in sorted(record["dependencies"], key=lambda row: -row["mb"] - row["only_for_it_mb"]):
        more = f"{row['only_for_it_mb']:.1f}" if row["only_for_it_mb"] else ""
        lines.append(f"| {row['name']} {row['version']} | {PURPOSES[row['name']]} | {row['mb']:.1f} | {more} |")
    named = sum(row["mb"] + row["only_for_it_mb"] for row in record["dependencies"])
    lines.append(f"| shared by several | | {record['total_mb'] - named:.1f} | |")
    lines.append(f"| **all {record['distributions']} distributions** | | **{record['total_mb']:.1f}** | |")
    lines += ["", "| extra | for | MB in addition |", "| --- | --- | ---: |"]
    lines += [f"| `{name}` | {EXTRAS[name]} | {found['mb']:.1f} |" for name, found in record["extras"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/costs/dependencies.json"))
    args = parser.parse_args()
    record = {"benchmark": "dependencies", **records.provenance(seed=0), **measure()}
    records.write(args.out, record)
    print(table(record))
    print(args.out)


if __name__ == "__main__":
    main()
