"""The verbs of the command line. The only file that prints, and the only one that imports tyro and rich.

Exit codes: 0 done; 1 done, but some clips could not be read (they are listed); 2 the request was wrong (one line says
how).
"""

import argparse
import csv
import dataclasses
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from actionprompt import datasets, methods

out, err = Console(), Console(stderr=True)


@dataclass(frozen=True)
class Clips:
    """Which clips."""

    dataset: str = "folder"
    """By name (`actionprompt list`); `folder` is root/<class>/<clip>, `csv` a table with path,label[,split]."""
    root: Path | None = None
    """Where the data set lies; for `csv` the table itself. `actionworld` is generated and needs none."""
    split: int = 1
    """The official split, where there are several."""
    size: str | None = None
    """Of `actionworld`: mini, small or full."""

    def load(self, part: str | None) -> Any:
        module = datasets.get(self.dataset)
        if self.dataset != "actionworld" and self.root is None:
            raise ValueError(f"the data set {self.dataset} needs --root: {module.INFO.get}")
        extra = {"size": self.size} if self.size is not None else {}
        if part is not None and self.dataset in ("folder", "csv") and module.parts(self.root) == (None,):
            part = None
        clips = module.load(self.root, split=self.split, part=part, **extra)
        for line in clips.ignored:
            err.print(f"[yellow]not a clip:[/] {escape(line)}")
        return clips


# train ---------------------------------------------------------------------------------------------------------------


def train(args: Sequence[str]) -> int:
    """Train a method on a data set: actionprompt train METHOD --clips.root DIR --out RUN"""
    from actionprompt.backbone import TINY, load_clip
    from actionprompt.config import DataConfig, TrainConfig
    from actionprompt.train import fit

    name, module, rest, chosen = _method_and_defaults(args, "train")

    defaults = _defaults(chosen)

    @dataclass(frozen=True)
    class Train:
        out: Path
        """Folder of the run: model, log, TensorBoard, checkpoints. A run that was killed goes on when called again."""
        clips: Clips = field(default_factory=Clips)
        part: str = "train"
        """Part of the data set to train on."""
        backbone: str = TINY
        """`tiny` (embedded), a folder, an OpenAI .pt file, or a hub name such as openai/clip-vit-base-patch16."""
        cache: bool = True
        """Train methods with frozen features from the feature cache."""
        method: module.Config = field(default_factory=lambda: defaults["method"])
        data: DataConfig = field(default_factory=lambda: defaults["data"])
        train: TrainConfig = field(default_factory=lambda: defaults["train"])

    options: Train = tyro.cli(Train, args=rest, prog=f"actionprompt train {name}")
    clips = options.clips.load(options.part)
    clip = load_clip(options.backbone)
    method = methods.build(
        name, clip, clips.class_names, clips.class_names_zh, config=options.method, seed=options.train.seed
    )
    with _bar("training") as advance, _bar("encoding frames") as encoding:
        result = fit(
            method, clips, options.out, config=options.train, data_config=options.data, cache=options.cache,
            on_encode=encoding,
            on_step=lambda s: advance(s.step, s.num_steps, f"epoch {s.epoch + 1}  loss {s.losses['loss']:.3f}"),
        )  # fmt: skip
    for item in result.broken:
        err.print(f"[red]could not read[/] {escape(item.key)}: {escape(item.reason)}")
    out.print(f"{options.out / 'model'}: {name} on {len(clips.clips)} clips of {len(clips.class_names)} classes")
    return 1 if result.broken else 0


def _method_and_defaults(args: Sequence[str], verb: str) -> tuple[str, Any, list[str], dict[str, Any]]:
    """The method's name, and what --variant, --recipe and --config make the defaults of all other options."""
    if not args or args[0].startswith("-"):
        if args and args[0] in ("-h", "--help"):
            out.print(f"usage: actionprompt {verb} METHOD [--variant V] [--recipe R] [--config JSON] [options]\n")
            out.print("methods: " + ", ".join(methods.names()))
            raise SystemExit(0)
        raise ValueError(f"expected a method after `{verb}`; choose one of {', '.join(methods.names())}")
    module = methods.get(args[0])
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--variant")
    parser.add_argument("--recipe")
    parser.add_argument("--config", type=Path)
    chosen, rest = parser.parse_known_args(args[1:])
    for kind, table in (("variant", module.VARIANTS), ("recipe", module.RECIPES)):
        value = getattr(chosen, kind)
        if value is not None and value not in table:
            raise ValueError(f"{args[0]} has no {kind} {value!r}; there are {', '.join(table) or 'none'}")
    if chosen.config is not None and not chosen.config.is_file():
        raise ValueError(f"expected the JSON of a run or model manifest for --config, there is no {chosen.config}")
    return args[0], module, rest, {
        "variant": chosen.variant,
        "method": module.VARIANTS[chosen.variant] if chosen.variant else module.Config(),
        "recipe": module.RECIPES[chosen.recipe] if chosen.recipe else {},
        "config": chosen.config,
    }  # fmt: skip


def _defaults(chosen: dict[str, Any]) -> dict[str, Any]:
    """The options `method`, `data` and `train` as --variant, --recipe and --config leave them."""
    from actionprompt.config import DataConfig, TrainConfig, from_json, update

    recipe = dict(chosen["recipe"])
    defaults = {
        "method": chosen["method"],
        "data": update(DataConfig(), recipe.pop("data", {})),
        "train": update(TrainConfig(), recipe),
    }
    if chosen["config"] is not None:
        saved = json.loads(chosen["config"].read_text(encoding="utf-8"))
        defaults["method"] = from_json(type(chosen["method"]), saved.get("config", {}))
        defaults["data"] = update(DataConfig(), saved.get("data", {}))
        defaults["train"] = update(TrainConfig(), saved.get("train", {}))
    return defaults


# eval ----------------------------------------------------------------------------------------------------------------


def evaluate(args: Sequence[str]) -> int:
    """Measure a trained model, or zero-shot CLIP, on a data set: actionprompt eval RUN --clips.root DIR"""
    from actionprompt.backbone import TINY, load_clip
    from actionprompt.config import DataConfig, from_json
    from actionprompt.predict import default_device

    @dataclass(frozen=True)
    class Eval:
        model: tyro.conf.Positional[str]
        """A run or model folder, or `zeroshot`."""
        clips: Clips = field(default_factory=Clips)
        part: str = "test"
        """Part of the data set to measure on."""
        backbone: str = TINY
        """Of `zeroshot`; a trained model knows its own."""
        json: Path | None = None
        """Write the record here."""
        scores: Path | None = None
        """Write every clip's class probabilities here, for `fuse`."""
        bf16: bool = False
        """bf16 autocast."""
        batch_size: int = 8
        num_workers: int = 2
        cache: bool = True
        """Keep frozen features on disk."""
        data: DataConfig | None = None
        """Frames and views; by default those the model was trained with."""
        seed: int = 0
        """Of random frame groups."""

    from actionprompt import checkpoint
    from actionprompt.evaluate import evaluate as measure
    from actionprompt.evaluate import to_record, write_scores
    from actionprompt.records import write

    options: Eval = tyro.cli(Eval, args=list(args), prog="actionprompt eval")
    started = time.time()
    clips = options.clips.load(options.part)
    if options.model == "zeroshot":
        method = methods.build("zeroshot", load_clip(options.backbone), clips.class_names, clips.class_names_zh)
        config = options.data or DataConfig()
    else:
        method, manifest = checkpoint.load(options.model)
        if method.class_names != clips.class_names:
            method.set_classes(clips.class_names, clips.class_names_zh)
        config = options.data or from_json(DataConfig, manifest["data"])
    with _bar("clips") as progress:
        report = measure(
            method, clips, config, device=default_device(), precision="bf16" if options.bf16 else "no",
            batch_size=options.batch_size, num_workers=options.num_workers, seed=options.seed, cache=options.cache,
            progress=progress,
        )  # fmt: skip
    _print_report(report)
    if options.json is not None:
        write(options.json, to_record(report, seed=options.seed, started=started, model=options.model))
    if options.scores is not None:
        write_scores(options.scores, report)
    return 1 if report.broken else 0


def _print_report(report: Any) -> None:
    metrics = report.metrics
    table = Table("class", "clips", "top-1 %", title=report.name)
    for row in metrics.per_class:
        table.add_row(escape(row.name), str(row.num_clips), f"{row.top1:.1f}" if row.num_clips else "-")
    out.print(table)
    top5 = f"   top-5 {metrics.top5:.2f} %" if metrics.top5 == metrics.top5 else ""
    out.print(
        f"top-1 {metrics.top1:.2f} %{top5}   mean class accuracy {metrics.mean_class_accuracy:.2f} %   "
        f"calibration error {metrics.calibration_error:.2f} %   {metrics.num_clips} clips"
    )
    for item in report.broken:
        err.print(f"[red]counted as wrong, could not read[/] {escape(item.key)}: {escape(item.reason)}")


# predict -------------------------------------------------------------------------------------------------------------


def predict(args: Sequence[str]) -> int:
    """Recognise actions in videos: actionprompt predict clip.mp4 --labels "wave,clap,run" """
    from actionprompt import data, predict

    @dataclass(frozen=True)
    class Predict:
        videos: tyro.conf.Positional[tuple[str, ...]]
        """Video files, folders (searched for videos) and globs."""
        model: Path | None = None
        """A trained model; without it frozen CLIP tells the labels apart."""
        labels: str | None = None
        """Class names to tell apart, separated by commas."""
        labels_file: Path | None = None
        """The same, one per line."""
        backbone: str = "tiny"
        """Of zero-shot recognition."""
        top: int = 5
        """How many classes to show."""
        json: Path | None = None
        """Write the results here."""
        csv: Path | None = None
        """Write the results here, one row per video and class."""
        num_workers: int = 2

    options: Predict = tyro.cli(Predict, args=list(args), prog="actionprompt predict")
    paths = find_videos(options.videos)
    names = _labels(options.labels, options.labels_file)
    if options.model is not None:
        predictor = predict.load(options.model, class_names=names)
    elif names is not None:
        predictor = predict.zero_shot(names, backbone=options.backbone)
    else:
        raise ValueError('expected --model RUN, or --labels "a,b,c" or --labels-file FILE for zero-shot recognition')
    results: list[predict.Prediction] = []
    broken: list[data.Broken] = []
    with _bar("videos") as progress:
        for _, result in predictor.predict_all(paths, top=options.top, num_workers=options.num_workers):
            if isinstance(result, data.Broken):
                broken.append(result)
            else:
                results.append(result)
            progress(len(results) + len(broken), len(paths))
    table = Table("video", *(f"{rank + 1}." for rank in range(min(options.top, len(predictor.class_names)))))
    for result in results:
        cells = [f"{escape(label)} {100 * score:.1f} %" for label, score in zip(result.labels, result.scores)]
        if result.none_of_these:
            cells[0] = f"none of these ({cells[0]})"
        table.add_row(escape(str(result.path)), *cells)
    if results:
        out.print(table)
    for item in broken:
        err.print(f"[red]could not read[/] {escape(item.key)}: {escape(item.reason)}")
    if options.json is not None:
        rows = [{**dataclasses.asdict(r), "path": str(r.path)} for r in results]
        text = {"predictions": rows, "unreadable": [dataclasses.asdict(item) for item in broken]}
        options.json.write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.csv is not None:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow(["path", "rank", "label", "score"])
        for r in results:
            writer.writerows([r.path, i + 1, label, s] for i, (label, s) in enumerate(zip(r.labels, r.scores)))
        options.csv.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    return 1 if broken else 0


def find_videos(arguments: Sequence[str]) -> list[Path]:
    """Files as they are, folders searched, globs expanded; a thing that is not there is an error."""
    from glob import glob

    from actionprompt.video import is_video

    found: list[Path] = []
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.is_file() or (path.is_dir() and is_video(path)):
            found.append(path)
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if is_video(p))
            if not inside:
                raise ValueError(
                    f"no videos in the folder {path}; videos end in .mp4, .avi, .webm, .mkv, .mov and so on"
                )
            found += inside
        else:
            matches = sorted(Path(match) for match in glob(str(path), recursive=True))
            if not matches:
                raise ValueError(f"there is no file, folder or match for {argument!r}; check the path")
            found += [match for match in matches if is_video(match)]
    if not found:
        raise ValueError("expected at least one video file, folder or glob")
    return list(dict.fromkeys(found))


def _labels(text: str | None, file: Path | None) -> list[str] | None:
    if text is not None and file is not None:
        raise ValueError("expected --labels or --labels-file, not both")
    if file is not None:
        if not file.is_file():
            raise ValueError(f"there is no file {file}; --labels-file takes a text file with one class name per line")
        text = ",".join(file.read_text(encoding="utf-8-sig").splitlines())
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ValueError("expected at least one class name, got none")
    return names


# run, results --------------------------------------------------------------------------------------------------------


def run(args: Sequence[str]) -> int:
    """Run a whole protocol with a method and write its record: actionprompt run METHOD --protocol few-shot --out DIR"""
    from functools import partial

    from actionprompt import checkpoint, experiment, protocols
    from actionprompt.config import DataConfig, TrainConfig, to_json
    from actionprompt.evaluate import write_scores
    from actionprompt.records import write

    name, module, rest, chosen = _method_and_defaults(args, "run")

    defaults = _defaults(chosen)

    @dataclass(frozen=True)
    class Run:
        out: Path
        """Folder for the record, named after the run; the models go to its `models`, the scores to its `scores`."""
        protocol: Literal["closed-set", "few-shot", "zero-shot", "base-to-novel"] = "closed-set"
        """What is trained on and tested; zero-shot tests without target training."""
        model: Path | None = None
        """For zero-shot: a model trained on another data set; without it the method is tested untrained."""
        clips: Clips = field(default_factory=Clips)
        splits: tuple[int, ...] = (1,)
        """Official splits; several give their mean. Few-shot takes one."""
        shots: int = 16
        """Clips per class in few-shot and base-to-novel."""
        published: tuple[Path, ...] = ()
        """Published few-shot lists to use instead of drawing."""
        seeds: tuple[int, ...] = (0,)
        """A record each: seed of the draw, the weights and the order."""
        also: tuple[str, ...] = ()
        """Parts to test on beside `test`: `scene_bias` for ActionWorld's test set with the scenes changed."""
        backbone: str = "tiny"
        scores: bool = False
        """Also write every clip's class probabilities."""
        skip_existing: bool = False
        """Pass by what has a record already, so that a queue of runs can be started again; says so if the record was
        made with another backbone or other options of data or training."""
        method: module.Config = field(default_factory=lambda: defaults["method"])
        data: DataConfig = field(default_factory=lambda: defaults["data"])
        train: TrainConfig = field(default_factory=lambda: defaults["train"])

    options: Run = tyro.cli(Run, args=rest, prog=f"actionprompt run {name}")
    views = (options.data.num_clips, options.data.num_crops)

    def load(split: int, part: str) -> Any:
        return dataclasses.replace(options.clips, split=split).load(part)

    unread = False
    for seed in options.seeds:
        if options.protocol == "closed-set":
            plan = protocols.closed_set(load, splits=options.splits, also=options.also, views=views)
        elif options.protocol == "few-shot":
            file = options.published[0] if options.published else None
            plan = protocols.few_shot(
                load, shots=options.shots, seed=seed, published=file, splits=options.splits, also=options.also
            )
        elif options.protocol == "zero-shot":
            seen = checkpoint.read_manifest(options.model)["class_names"] if options.model else ()
            plan = protocols.zero_shot(load, splits=options.splits, also=options.also, views=views, trained_on=seen)
        elif options.also:
            raise ValueError("base-to-novel tests on the halves of `test`: expected no --also")
        else:
            draw = {"published": options.published} if options.published else {"seeds": (seed,)}
            plan = protocols.base_to_novel(load, shots=options.shots, views=views, **draw)
        shots = f"-k{plan.shots}" if plan.shots else ""
        label = chosen["variant"] or ""
        stem = "-".join(filter(None, [options.clips.dataset, options.clips.size, plan.protocol + shots, name, label]))
        stem = f"{stem}-s{seed}"
        if options.skip_existing and (options.out / f"{stem}.json").is_file():
            there = json.loads((options.out / f"{stem}.json").read_text(encoding="utf-8"))
            now = {"backbone": {"name": options.backbone}, "data": to_json(options.data),
                   "train": to_json(dataclasses.replace(options.train, seed=seed))}  # fmt: skip
            other = [
                f"{part}.{name} {there[part].get(name)}, now {value}"
                for part, fields in now.items() for name, value in fields.items() if there[part].get(name) != value
            ]  # fmt: skip
            made = f", made with other options: {'; '.join(other)}" if other else ""
            out.print(escape(f"{options.out / stem}.json is there{made}"), soft_wrap=True)
            continue
        with _bar(f"{stem}: training") as step, _bar("encoding") as encode, _bar("testing") as test:
            record = experiment.run(
                plan, name, options.out / "models" / stem, config=options.method, variant=label,
                dataset=options.clips.dataset, backbone=options.backbone, model=options.model,
                train_config=dataclasses.replace(options.train, seed=seed), data_config=options.data,
                callbacks=experiment.Callbacks(
                    lambda s: step(s.step, s.num_steps, f"loss {s.losses['loss']:.3f}"), encode, test
                ),
                keep=partial(_keep_scores, write_scores, options.out / "scores" / stem) if options.scores else None,
            )  # fmt: skip
        unread |= any(t["unreadable"] for p in record["metrics"].values() for t in p.values())
        write(options.out / f"{stem}.json", {**record, "size": options.clips.size})
        figures = "   ".join(f"{key} {value:.2f} %" for key, value in record["figures"].items())
        out.print(f"{options.out / stem}.json: {figures}")
    return 1 if unread else 0


def _keep_scores(write: Callable[..., None], folder: Path, part: str, test: str, report: Any) -> None:
    write(folder / f"{part}-{test}.json", report)


def show_results(args: Sequence[str]) -> int:
    """Make the tables from the records: actionprompt results [--folder results] [--readme README.md]"""
    from actionprompt import results

    @dataclass(frozen=True)
    class Results:
        folder: Path = Path("results")
        """Where the records lie. The list of all is written there as README.md; the generated parts of other pages
        there are brought up to date, and their plots drawn into its `plots`."""
        readme: Path | None = Path("README.md")
        """The README whose generated table is brought up to date; `None` for none."""
        check: bool = False
        """Write nothing; exit with 1 if something is not up to date."""

    options: Results = tyro.cli(Results, args=list(args), prog="actionprompt results")
    if not options.folder.is_dir():
        raise ValueError(f"there is no folder {options.folder}; call it in the project, or give --folder")
    found, benchmarks = results.collect(options.folder), results.collect_benchmarks(options.folder)
    pages = {options.folder / "README.md": results.results_page(found)}
    by_hand = [p for p in sorted(options.folder.glob("*.md")) if p.name != "README.md"]
    for page in [*by_hand, *([options.readme] if options.readme is not None else [])]:
        plots = None if options.check else options.folder / "plots"
        pages[page] = results.fill(page.read_text(encoding="utf-8"), found, plots, benchmarks)
    stale = [p for p, text in pages.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    for path in stale:
        if not options.check:
            path.write_text(pages[path], encoding="utf-8")
        out.print(f"{path}: {'not up to date' if options.check else 'written'}")
    out.print(f"{len(found)} records")
    return 1 if options.check and stale else 0


# bench ---------------------------------------------------------------------------------------------------------------


def bench(args: Sequence[str]) -> int:
    """Measure what methods cost beside the bare tower and published models: actionprompt bench [--methods M ...]"""
    from actionprompt import bench
    from actionprompt.records import write

    @dataclass(frozen=True)
    class Bench:
        out: Path = Path("results/bench.json")
        """The record; the plot is written beside it as .png."""
        backbones: tuple[str, ...] = ("random:ViT-B/32", "random:ViT-B/16")
        methods: tuple[str, ...] | None = None
        """NAME or NAME:VARIANT; all methods by default."""
        peers: bool = True
        """X-CLIP, VideoMAE, ViViT and TimeSformer of transformers, with the tower of their patch size."""
        num_frames: int = 8
        """Of the tower and the methods; a peer takes what it was published with."""
        batch_size: int = 1
        """Clips at once."""
        num_classes: int = 51
        repeats: int = 5
        """Turns; each figure is their median."""
        device: Literal["cpu", "cuda"] = "cpu"
        threads: int = 1

    options: Bench = tyro.cli(Bench, args=list(args), prog="actionprompt bench")
    with _bar("measuring") as progress:
        record = bench.measure(
            options.backbones, options.methods, peers=options.peers, num_frames=options.num_frames,
            batch_size=options.batch_size, num_classes=options.num_classes, repeats=options.repeats,
            device=options.device, threads=options.threads, progress=progress,
        )  # fmt: skip
    write(options.out, record)
    bench.plot(record, options.out.with_suffix(".png"))
    head, *rows = bench.table(record)
    shown = [head.index(name) for name in ("model", "inference ÷", "goal", "step ÷", "trained M", "training MB")]
    for backbone in options.backbones:
        table = Table(title=f"{backbone}   ÷: ratio to the bare tower in the same run", box=box.SIMPLE)
        for index in shown:
            table.add_column(head[index].replace(" ", "\n"), no_wrap=True)
        for row in rows:
            if row[0] == backbone and not row[2].startswith("failed"):
                table.add_row(*(escape(row[index]) for index in shown))
        out.print(table)
    for row in record["rows"]:
        if "error" in row:
            reason = f"{row['backbone']}, {row['model']}: {row['error']}"
            err.print(f"[red]failed:[/] {escape(reason)}", soft_wrap=True)
    for line in bench.memory_lines(record):
        out.print(escape(line), highlight=False, soft_wrap=True)
    if options.device == "cuda" and record["peak_flops"] is None:
        err.print("[yellow]note:[/] the peak of this GPU is not in the table: no share of it is stated")
    out.print(f"{options.out}, {options.out.with_suffix('.png')}", soft_wrap=True)
    return 1 if any("error" in row for row in record["rows"]) else 0


# data ----------------------------------------------------------------------------------------------------------------


def data_set(args: Sequence[str]) -> int:
    """What of a data set is there, and what to do about the rest: actionprompt data NAME --root DIR [--verify]"""

    @dataclass(frozen=True)
    class Data:
        name: tyro.conf.Positional[str]
        """A data set (`actionprompt list`)."""
        root: Path | None = None
        """Where it lies, or shall lie."""
        verify: bool = False
        """Decode every clip; without it a sample of 20."""
        state: Path | None = None
        """File that remembers what was decoded, so that a stopped verification goes on."""
        num_workers: int = 2

    options: Data = tyro.cli(Data, args=list(args), prog="actionprompt data")
    from actionprompt.datasets import _check

    info = datasets.get(options.name).INFO
    if options.root is None:
        if options.name != "actionworld":
            raise ValueError(f"expected --root DIR, where {info.title} lies or shall lie; {info.get}")
        parts = [datasets.get("actionworld").load(part=part, size="mini") for part in info.parts]
    else:
        inspection = _check.inspect(options.name, options.root)
        for line in inspection.lines():
            out.print(escape(line), highlight=False, soft_wrap=True)
        parts = list(inspection.parts)
    failures: list[str] = []
    for clips in parts:
        if clips.clips:
            with _bar(f"decoding {clips.name}") as progress:
                result = _check.verify(
                    clips, num_clips=None if options.verify else 20, num_workers=options.num_workers,
                    state_file=options.state, progress=progress,
                )  # fmt: skip
            out.print(f"{clips.name}: {result.num_clips - len(result.failures)} of {result.num_clips} clips decode")
            failures += result.failures
    for line in failures:
        err.print(f"[red]unreadable[/] {escape(line)}")
    return 1 if failures or (options.root is not None and not inspection.complete) else 0


# fuse, explain, tune-fusion ------------------------------------------------------------------------------------------


def fuse(args: Sequence[str]) -> int:
    """Late fusion of score files of the same clips: actionprompt fuse a.json b.json --weights 0.5 0.5"""
    from actionprompt import fusion
    from actionprompt.records import write

    @dataclass(frozen=True)
    class Fuse:
        files: tyro.conf.Positional[tuple[Path, ...]]
        """Score files, as `eval --scores` writes them."""
        weights: tuple[float, ...] | None = None
        """One per file; equal by default."""
        out: Path | None = None
        """Write the fused scores here."""

    options: Fuse = tyro.cli(Fuse, args=list(args), prog="actionprompt fuse")
    fused = fusion.fuse({str(path): fusion.read(path) for path in options.files}, weights=options.weights)
    metrics = fusion.measure_scores(fused)
    out.print(f"top-1 {metrics.top1:.2f} %   mean class accuracy {metrics.mean_class_accuracy:.2f} %   "
              f"{metrics.num_clips} clips")  # fmt: skip
    if options.out is not None:
        write(options.out, dataclasses.asdict(fused))
    return 1 if fused.broken else 0


def explain(args: Sequence[str]) -> int:
    """Show where a model looks, beside frozen CLIP: actionprompt explain clip.mp4 --model RUN --out map.png"""
    from actionprompt import explain, predict

    @dataclass(frozen=True)
    class Explain:
        video: tyro.conf.Positional[Path]
        out: tyro.conf.UseAppendAction[tuple[Path, ...]]
        """File to write: .png (a strip), .gif or .mp4; may be given again for another."""
        model: Path
        """A run or model folder."""
        num_layers: int = 3
        """Last layers whose attention is averaged."""

    options: Explain = tyro.cli(Explain, args=list(args), prog="actionprompt explain")
    if not options.out:
        raise ValueError("expected a file to write; give --out FILE.png")
    predictor = predict.load(options.model)
    result = explain.explain(
        options.video, predictor.method, predictor.config, num_layers=options.num_layers, device=predictor.device
    )
    for path in options.out:
        explain.write(path, result)
        out.print(str(path))
    return 0


def tune_fusion(args: Sequence[str]) -> int:
    """Choose dual_semantic_tpr's lambda on validation clips: actionprompt tune-fusion RUN --clips.root DIR"""
    from actionprompt import fusion_weight
    from actionprompt.predict import default_device

    @dataclass(frozen=True)
    class Tune:
        model: tyro.conf.Positional[Path]
        clips: Clips = field(default_factory=Clips)
        part: str = "val"
        """Never the test part."""

    options: Tune = tyro.cli(Tune, args=list(args), prog="actionprompt tune-fusion")
    with _bar("clips") as progress:
        choice = fusion_weight.tune(
            options.model, options.clips.load(options.part), device=default_device(), progress=progress
        )
    for item in choice.broken:
        err.print(f"[red]could not read[/] {escape(item.key)}: {escape(item.reason)}")
    out.print(f"lambda {choice.weight} on {choice.num_clips} clips, written into the model")
    return 1 if choice.broken else 0


def teach(args: Sequence[str]) -> int:
    """Learn your own actions from a few clips: actionprompt teach wave=a.mp4,b.mp4 clap=c.mp4,d.mp4 --out my_actions"""
    from actionprompt import teach

    @dataclass(frozen=True)
    class Teach:
        classes: tyro.conf.Positional[tuple[str, ...]]
        """NAME=clip,clip,... for every action; five clips each are a good start."""
        out: Path
        """Folder of the model."""
        backbone: str = "tiny"

    options: Teach = tyro.cli(Teach, args=list(args), prog="actionprompt teach")
    with _bar("encoding clips") as encode, _bar("training") as step:
        taught = teach.teach(
            teach.parse(options.classes), options.out, backbone=options.backbone, on_encode=encode, on_step=step
        )
    for line in taught.warnings:
        err.print(f"[yellow]note:[/] {escape(line)}", soft_wrap=True)
    if taught.held_out_top1 is not None:
        out.print(f"{taught.held_out_top1:.0f} % of the clips were recognised while they were held out")
    if taught.none_of_these is not None:
        out.print(f"below {100 * taught.none_of_these.below:.0f} % a clip shows none of these")
    names = ", ".join(taught.num_clips)
    out.print(f"{taught.folder}: {names}; now actionprompt predict CLIP --model {taught.folder}", soft_wrap=True)
    return 0


def demo(args: Sequence[str]) -> int:
    """See it work in three minutes, offline: generated clips, zero-shot, few-shot training, a report."""
    from actionprompt import demo

    @dataclass(frozen=True)
    class Demo:
        out: Path = Path("demo")
        """Folder of the report."""
        epochs: int = 15

    options: Demo = tyro.cli(Demo, args=list(args), prog="actionprompt demo")
    with _bar("building clips") as build, _bar("encoding frames") as encode, _bar("training") as step:
        result = demo.demo(
            options.out, epochs=options.epochs, on_build=build, on_encode=encode,
            on_step=lambda s: step(s.step, s.num_steps, f"loss {s.losses['loss']:.3f}"),
        )  # fmt: skip
    table = Table("kind of class", "zero-shot %", f"{demo.METHOD}, {demo.SHOTS} shots %", title="ActionWorld mini")
    for kind, text in demo.KINDS.items():
        cells = (f"{p:.1f}  ({low:.0f} to {high:.0f})" for p, low, high in (t[kind] for t in result.kinds.values()))
        table.add_row(text, *cells)
    table.add_row("all", *(f"{r.metrics.top1:.1f}" for r in (result.zero_shot, result.trained)))
    out.print(table)
    best = f"{result.prediction.label} ({100 * result.prediction.score:.0f} %)"
    out.print(f"{result.prediction.path.name}: {best}", highlight=False, soft_wrap=True)
    out.print(f"{sum(result.seconds.values()):.0f} s; report: {result.report}", soft_wrap=True)
    return 0


# check, list ---------------------------------------------------------------------------------------------------------


def check(args: Sequence[str]) -> int:
    """Find videos that cannot be read: actionprompt check DIR (or a CSV table with path,label)"""

    @dataclass(frozen=True)
    class Check:
        videos: tyro.conf.Positional[tuple[str, ...]]
        """Files, folders, globs, or CSV tables with a path column."""
        num_frames: int | None = 8
        """Frames to decode per clip, spread over it; `None` decodes every frame."""
        num_workers: int = 2

    options: Check = tyro.cli(Check, args=list(args), prog="actionprompt check")
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial
    from multiprocessing import get_context

    paths: list[Path] = []
    for argument in options.videos:
        if Path(argument).suffix.lower() in (".csv", ".tsv"):
            paths += [clip.path for clip in datasets.get("csv").load(argument, max_missing=None).clips]
        else:
            paths += find_videos([argument])
    broken = []
    with (
        _bar("videos") as progress,
        ProcessPoolExecutor(max(1, options.num_workers), mp_context=get_context("spawn")) as pool,
    ):
        for done, problem in enumerate(pool.map(partial(_problem, num_frames=options.num_frames), paths), start=1):
            if problem is not None:
                broken.append(problem)
            progress(done, len(paths))
    for line in broken:
        err.print(f"[red]unreadable[/] {escape(line)}")
    out.print(f"{len(paths) - len(broken)} of {len(paths)} clips can be read")
    return 1 if broken else 0


def _problem(path: Path, num_frames: int | None) -> str | None:
    """What is wrong with a video, in one line; None if nothing is."""
    from actionprompt import sampling, video

    try:
        count = video.probe(path).num_frames
        video.read_frames(path, sampling.segment(count, num_frames or count)[0], short_side_px=64)
    except video.VideoDecodeError as error:
        return str(error)
    return None


def show_list(args: Sequence[str]) -> int:
    """The methods and the data sets."""
    tyro.cli(_nothing, args=list(args), prog="actionprompt list")
    table = Table("method", "what it is", "variants")
    for name in methods.names():
        module = methods.get(name)
        table.add_row(name, _first_line(module), ", ".join(module.VARIANTS))
    out.print(table)
    table = Table("data set", "what it is")
    for name in datasets.names():
        table.add_row(name, _first_line(datasets.get(name)))
    out.print(table)
    return 0


def _nothing() -> None:
    pass


def _first_line(module: Any) -> str:
    return (module.__doc__ or "").strip().splitlines()[0]


# the frame around the verbs ------------------------------------------------------------------------------------------

VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "demo": demo,
    "teach": teach,
    "train": train,
    "eval": evaluate,
    "predict": predict,
    "run": run,
    "results": show_results,
    "bench": bench,
    "data": data_set,
    "check": check,
    "fuse": fuse,
    "explain": explain,
    "tune-fusion": tune_fusion,
    "list": show_list,
}


@contextmanager
def _bar(what: str) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr that appears with the first report of progress."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, TextColumn("{task.fields[note]}"), console=err, transient=True)
    task = None

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal task
        if task is None:
            progress.start()
            task = progress.add_task(what, total=total, note=note)
        progress.update(task, completed=done, total=total, note=note)

    try:
        yield report
    finally:
        progress.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """`actionprompt VERB ...`; see the module for the exit codes."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        out.print("usage: actionprompt VERB ...\n")
        for verb, function in VERBS.items():
            out.print(
                f"  {verb:<12} {escape((function.__doc__ or '').splitlines()[0])}", highlight=False, soft_wrap=True
            )
        out.print("\nactionprompt VERB --help shows a verb's options.")
        return 0
    if args[0] == "--version":
        from actionprompt import __version__

        out.print(__version__)
        return 0
    try:
        if args[0] not in VERBS:
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(VERBS)}"
            raise ValueError(f"there is no verb {args[0]!r}; {hint}")
        return VERBS[args[0]](args[1:])
    except (ValueError, FloatingPointError) as error:
        err.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        return 2
    except KeyboardInterrupt:
        err.print("interrupted; the same command goes on where it stopped")
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
