"""The queue of the leaderboard: trials on `val`, then entries and ablations, each of them one `actionprompt run`.

    python benchmarks/experiments/actionworld.py --plan
    python benchmarks/experiments/actionworld.py [--workers 2] [--only mip_clip vita_clip] [--out results/records]

ActionWorld `small` (800 training and 400 validation clips, 1,000 clips in each test list), the embedded tiny CLIP, 8
frames, one view; about 12 core hours. The order is that of use: the trials, the first seed of every entry under every
protocol, the other seeds of the entries that a claim compares (`study.claims`), the ablations that a claim compares.

Trials: every method has four, on ten clips per class of `train`, tested on `val`: three learning rates, the first of
them the paper's own, with the smaller number of epochs, and the best of the three with twice as many. The best trial
(the shorter one in a tie) sets rate and epochs of every protocol and variant of the method; where a protocol has fewer
clips, the epochs are multiplied by `REPEATS`. The trials and the choice are in `choices.json` next to the records.
Everything else is as the paper's recipe has it: augmentation, weight decay, betas, the share of the epochs that is
warm-up. The batch is smaller, so that few epochs have enough steps: 4 clips where the loss is over all names, 8 where
the negatives are the names of the other clips of the batch. These and the rates of `_PROMPTS` were set after first
trials on `val` with batches of 16, whose records were not kept, and before any test list was seen.

It can be interrupted at any time: started again, it skips what has a record and resumes what has a checkpoint. Each
worker is a process with one thread; `run` takes a GPU where torch finds one. `i3d_flow` is left out: trained from
scratch, on 64 frames of flow at 224 pixels, it takes 18 core seconds per clip and step, four core hours per epoch.
"""

import argparse
import datetime
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from actionprompt import datasets, files, methods, records
from actionprompt.config import to_json
from actionprompt.study import claims, leaderboard

NUM_CLIPS = {"train": 800, "trial": 400, "val": 400, "test": 1000}
NUM_CLASSES = 40
REPEATS = {("closed-set", None): 1, ("few-shot", 16): 1, ("base-to-novel", 16): 2, ("few-shot", 4): 3}
"""Epochs under a protocol, as a multiple of the chosen number."""
ALSO = ("scene_bias", "background")
TRIAL_SHOTS = 10
CHOICES = "choices.json"
EVALUATE_S, START_S = 0.04, 15
"""Core seconds per test clip of a method that runs the tower, and of starting a run."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1000000000",
               "MALLOC_TRIM_THRESHOLD_": "4000000000"}  # fmt: skip
"""Of a run: one thread; and glibc keeps the memory it has got, which saves the kernel from clearing it at each step."""
OVER_NAMES, IN_BATCH = 4, 8
"""Clips of a batch where the loss is over all names, and over the names of the clips of the batch."""


@dataclass(frozen=True)
class Settings:
    """How an entry is trained: what is tried, what is fixed, and what it costs."""

    rates: tuple[float, float, float]
    """The first one is the paper's."""
    recipes: tuple[str, str, str]
    """Of closed-set, few-shot and base-to-novel; the last one empty where it is that of few-shot written out."""
    step_s: float = 0.13
    """Core seconds per training clip and epoch."""
    epochs: int = 2
    """The smaller number of the trials; the other one is twice this."""
    batch_size: int = OVER_NAMES
    options: str = ""
    frozen: bool = False
    """Trains and tests from the feature cache."""


_TUNED, _PROMPTS = (3e-5, 1e-4), (1e-3, 3e-3)
_ONE_VIEW = "--data.num-clips 1 --data.num-crops 1 --data.no-random-groups"
_HEADS = Settings((1e-3, 3e-4, 3e-3), ("heads",) * 3, 0.0006, epochs=30, batch_size=64, frozen=True)
SETTINGS: dict[tuple[str, str], Settings] = {
    ("zeroshot", "linear"): replace(_HEADS, step_s=0.0002),
    ("zeroshot", "transformer"): _HEADS,
    ("seeing_in_flowing", ""): Settings((1e-4, 5e-4, 2e-3), ("closed-set", "few-shot", "few-shot"), 0.02,
                                        epochs=6, batch_size=32, options="--method.pairs-per-chunk 2048", frozen=True),
    ("dual_semantic_tpr", ""): Settings((5e-6, *_PROMPTS), ("closed-set", "few-shot-ours", "few-shot-ours"),
                                        batch_size=IN_BATCH, options="--method.num-frames 8"),
    ("mip_clip", ""): Settings((1e-4, *_PROMPTS), ("small",) * 3),
    ("vita_clip", ""): Settings((1e-4, *_PROMPTS), ("small",) * 3),
    ("promptlearner_clip", ""): Settings((5e-6, *_TUNED), ("closed-set",) * 3, batch_size=IN_BATCH),
    ("actionclip", ""): Settings((5e-6, *_TUNED), ("closed-set",) * 3, batch_size=IN_BATCH),
    ("vifi_clip", ""): Settings((8e-6, *_TUNED), ("closed-set", "few-shot", "base-to-novel")),
    ("xclip", ""): Settings((8e-6, *_TUNED), ("closed-set", "few-shot", "")),
    ("bike", ""): Settings((5e-6, *_TUNED), ("closed-set", "few-shot", ""), batch_size=IN_BATCH),
}  # fmt: skip
NOVEL = {("mip_clip", ""): "zero_shot"}
"""The variant under base-to-novel, where the default one cannot classify other classes."""
CLOSED_ONLY = {("zeroshot", "linear"), ("promptlearner_clip", "")}
"""Entries with weights of their own for every class: no base-to-novel."""
VARIANT_OPTIONS = {("promptlearner_clip", "text_only"): "--no-cache"}
"""The cache would take the paper's augmentation from a method whose image tower is frozen."""
VARIANT_STEP_S = {("promptlearner_clip", "text_only"): 0.07}
GROUPS = ("trials", "first seed", "other seeds of claims", "ablations of claims")


@dataclass(frozen=True)
class Line:
    """One record."""

    group: str
    method: str
    variant: str
    protocol: str
    shots: int | None
    seed: int

    @property
    def key(self) -> tuple[str, str]:
        """The entry of `SETTINGS` whose trials it uses."""
        own = (self.method, self.variant)
        return own if own in SETTINGS else (self.method, "")

    @property
    def trains(self) -> bool:
        return self.protocol != "zero-shot" and (self.method, self.variant) != ("zeroshot", "")

    @property
    def also(self) -> bool:
        """Whether it is also tested with other places than `test` has."""
        return self.protocol in ("closed-set", "zero-shot") and self.group != GROUPS[3]

    @property
    def name(self) -> str:
        """`mip_clip-no_vmp few-shot-k4 s0`."""
        entry = "-".join(filter(None, [self.method, self.variant]))
        return f"{entry} {self.protocol}{f'-k{self.shots}' if self.shots else ''} s{self.seed}"

    @property
    def path(self) -> Path:
        """Of the record, below the folder of the data set."""
        entry, protocol, seed = self.name.split(" ")
        return Path(protocol, f"{entry}-{seed}.json")


def lines() -> list[Line]:
    """All records in their order."""
    first = [
        Line(GROUPS[1], *claims.FROZEN, "zero-shot", None, 0),
        Line(GROUPS[1], "dual_semantic_tpr", "baseline", "zero-shot", None, 0),
        Line(GROUPS[1], *claims.FROZEN, "base-to-novel", 16, 0),
    ]
    for protocol, shots in REPEATS:
        for method, variant in SETTINGS:
            novel = protocol == "base-to-novel"
            if not (novel and (method, variant) in CLOSED_ONLY):
                shown = NOVEL.get((method, variant), variant) if novel else variant
                first.append(Line(GROUPS[1], method, shown, protocol, shots, 0))
    there = {line.name for line in first}
    needed = sorted(claims.needed(), key=lambda entry: (entry[2], entry[3] or 0, entry[0], entry[1]))
    more = [
        Line("", method, variant, protocol, shots, seed)
        for seed in claims.SEEDS
        for method, variant, protocol, shots in needed
        if (method, variant) not in ((claims.FROZEN), ("dual_semantic_tpr", "baseline"))
    ]
    named = [
        replace(line, group=GROUPS[2 if replace(line, seed=0).name in there else 3])
        for line in more
        if line.name not in there
    ]
    return first + sorted(named, key=lambda line: GROUPS.index(line.group))


def command(line: Line, choice: dict[str, Any], dataset: str, size: str) -> list[str]:
    """The arguments of `actionprompt run`, without the output folder."""
    clips = ["--clips.dataset", dataset, "--clips.size", size, "--backbone", "tiny"]
    words = ["run", line.method, *(["--variant", line.variant] if line.variant else []), "--protocol", line.protocol]
    words += ["--shots", str(line.shots)] if line.shots else []
    if line.also:
        words += ["--also", *(part for part in ALSO if part in datasets.get(dataset).INFO.parts)]
    if not line.trains:
        frames = ["--method.num-frames", "8"] if line.method == "dual_semantic_tpr" else []
        return [*words, *clips, *frames, "--data.num-frames", "8", "--splits", "1", "--seeds", "0"]
    epochs = choice["epochs"] * REPEATS[line.protocol, line.shots]
    training = _training(line.key, line.protocol, choice["lr"], epochs)
    own = VARIANT_OPTIONS.get((line.method, line.variant), "").split()
    return [*words, *clips, *training, *own, "--seeds", str(line.seed)]


def trial(key: tuple[str, str], lr: float, epochs: int, dataset: str, size: str) -> list[str]:
    """The arguments of a trial on `val`, without the output folder."""
    variant = ["--variant", key[1]] if key[1] else []
    return ["run", key[0], *variant, "--protocol", "few-shot", "--shots", str(TRIAL_SHOTS), "--test-part", "val",
            "--clips.dataset", dataset, "--clips.size", size, "--backbone", "tiny",
            *_training(key, "few-shot", lr, epochs), "--seeds", "0"]  # fmt: skip


def _training(key: tuple[str, str], protocol: str, lr: float, epochs: int) -> list[str]:
    """The options of a training: the recipe, and what replaces its rate, epochs, batch size, warm-up and views."""
    settings = SETTINGS[key]
    name = settings.recipes[("closed-set", "few-shot", "base-to-novel").index(protocol)]
    recipe = methods.get(key[0]).RECIPES[name or settings.recipes[1]]
    words = ["--recipe", name] if name else ["--recipe", "none", *_written_out(recipe)]
    warmup = recipe.train.get("warmup_epochs", 0) / recipe.train["epochs"] * epochs
    return [
        *words, *_ONE_VIEW.split(), "--data.num-frames", "8", *settings.options.split(), "--train.num-workers", "0",
        "--train.mixed-precision", "no", "--train.batch-size", str(settings.batch_size), "--train.lr", f"{lr:g}",
        "--train.epochs", str(epochs), "--train.warmup-epochs", f"{warmup:.2f}",
    ]  # fmt: skip


def _written_out(recipe: Any) -> list[str]:
    """A recipe as options, for a protocol that it is not made for; those that `_training` replaces are left out."""
    train = {k: v for k, v in recipe.train.items() if k not in ("lr", "epochs", "batch_size", "warmup_epochs")}
    data = {k: v for k, v in recipe.data.items() if k != "augment"}
    options = {"train": train, "data": data, "data.augment": recipe.data.get("augment", {})}
    words = []
    for part, values in options.items():
        for name, value in to_json(values).items():
            words += [f"--{part}.{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return words


# Costs ----------------------------------------------------------------------------------------------------------------


def minutes(line: Line) -> float:
    """Estimated core minutes of a record, with the larger number of epochs."""
    settings = SETTINGS.get(line.key)
    half = 2 if line.protocol == "base-to-novel" else 1
    lists = 1 + len(ALSO) if line.also else 1
    step_s = VARIANT_STEP_S.get((line.method, line.variant), settings.step_s if settings else 0.0)
    frozen = settings is None or settings.frozen or not line.trains
    trained = line.shots * NUM_CLASSES // half if line.shots else NUM_CLIPS["train"]
    epochs = 2 * settings.epochs * REPEATS[line.protocol, line.shots] if settings and line.trains else 0
    return _minutes(trained * epochs * step_s, lists * NUM_CLIPS["test"], frozen)


def trial_minutes(key: tuple[str, str]) -> float:
    """Of the four trials of an entry."""
    settings = SETTINGS[key]
    passes = settings.epochs * (len(settings.rates) + 2)
    return 4 * _minutes(NUM_CLIPS["trial"] * passes * settings.step_s / 4, NUM_CLIPS["val"], settings.frozen)


def _minutes(train_s: float, tested: int, frozen: bool) -> float:
    """Cached features of the test lists are made once, by the first run, and cost little in all others."""
    return (train_s + tested * (EVALUATE_S / 20 if frozen else EVALUATE_S) + START_S) / 60


def show_plan(chosen: Sequence[Line], keys: Sequence[tuple[str, str]]) -> None:
    """Print every line with its estimated core minutes, and the core hours of each group."""
    costs = [(GROUPS[0], f"{'-'.join(filter(None, key))} trials", trial_minutes(key)) for key in keys]
    costs += [(line.group, line.name, minutes(line)) for line in chosen]
    for group in GROUPS:
        own = [(name, cost) for there, name, cost in costs if there == group]
        for name, cost in own:
            print(f"{cost:6.1f}  {name}")
        print(f"{sum(cost for _, cost in own) / 60:6.2f} core hours: {group}, {len(own)} lines\n")
    print(f"{sum(cost for *_, cost in costs) / 60:6.2f} core hours: all")


# Running --------------------------------------------------------------------------------------------------------------


@dataclass
class Queue:
    """Where the records are, and what may be spent."""

    dataset: str
    size: str
    out: Path
    work: Path
    core_hours: float
    writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def home(self) -> Path:
        return self.out / f"{self.dataset}-{self.size}"

    @property
    def choices(self) -> dict[str, Any]:
        path = self.home / CHOICES
        return files.read_json(path)["choices"] if path.is_file() else {}

    def spent(self) -> float:
        """Core hours of all records and trials there."""
        made = [files.read_json(path) for path in self.home.rglob("*.json") if path.name != CHOICES]
        tried = [trial["core_hours"] for choice in self.choices.values() for trial in choice["trials"]]
        return sum(record.get("core_hours", 0.0) for record in made) + sum(tried)

    def affords(self, name: str, cost_minutes: float) -> bool:
        left = self.core_hours - self.spent()
        if cost_minutes / 60 > left:
            print(f"LEFT OUT {name}: {cost_minutes:.0f} core minutes, {60 * left:.0f} are left", flush=True)
        return cost_minutes / 60 <= left

    def run(self, name: str, words: Sequence[str], out: Path) -> bool:
        """Call `actionprompt`, in one thread."""
        began = time.time()
        call = [sys.executable, "-m", "actionprompt", *words, "--out", str(out)]
        done = subprocess.run(call, check=False, env={**os.environ, **ENVIRONMENT})
        print(f"{'ok' if done.returncode == 0 else 'FAILED'} {time.time() - began:.0f} s: {name}", flush=True)
        return done.returncode == 0

    def is_there(self, name: str, path: Path, words: Sequence[str]) -> bool:
        """Whether a record is there.

        Raises:
            ValueError: it was made with other options.
        """
        if not path.is_file():
            return False
        if options(files.read_json(path)["command"]) != options(" ".join(words)):
            raise ValueError(f"{name}: {path} was made with other options; delete it to run it again")
        return True

    def choose(self, key: tuple[str, str]) -> bool:
        """The four trials of an entry, and the choice."""
        name, settings = "-".join(filter(None, key)), SETTINGS[key]
        if name in self.choices:
            return True
        if not self.affords(f"{name} trials", trial_minutes(key)):
            return False
        made: list[dict[str, Any]] = []
        for lr in (*settings.rates, None):  # None: the best of them, for longer
            epochs = settings.epochs if lr else 2 * settings.epochs
            rate = lr or best(made)["lr"]
            words, out = trial(key, rate, epochs, self.dataset, self.size), self.work / f"lr{rate:g}-epochs{epochs}"
            path = out / self.home.name / f"few-shot-k{TRIAL_SHOTS}-val" / f"{name}-s0.json"
            label = f"{name} trial {rate:g}, {epochs} epochs"
            if not self.is_there(label, path, words) and not self.run(label, words, out):
                return False
            record = files.read_json(path)
            made.append({
                "lr": rate, "epochs": epochs, "val": record["figures"]["val"],
                **{name: record[name] for name in ("core_hours", "command", "commit", "date")},
            })  # fmt: skip
        chosen = {"lr": best(made)["lr"], "epochs": best(made)["epochs"], "trials": made}
        with self.writing:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            about = {"benchmark": "choices", "commit": records.commit(), "date": now}
            files.write_json(self.home / CHOICES, {**about, "choices": {**self.choices, name: chosen}})
        return True

    def record(self, line: Line) -> bool:
        """Make the record of a line, unless it is there.

        Raises:
            ValueError: its trials have no result, or its record was made with other options.
        """
        path = self.home / line.path
        choice = self.choices.get("-".join(filter(None, line.key)))
        if line.trains and choice is None:
            raise ValueError(f"{line.name}: its trials have no result")
        words = command(line, choice or {}, self.dataset, self.size)
        if self.is_there(line.name, path, words):
            return True
        return self.affords(line.name, minutes(line)) and self.run(line.name, words, self.out)


def best(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The most accurate trial, the shorter one in a tie."""
    return max(trials, key=lambda made: (made["val"], -made["epochs"]))


def options(command: str) -> frozenset[str]:
    """A command's options with their values, without order and output folder."""
    words = command.removeprefix("actionprompt ").split(" --")
    return frozenset(word for word in words if not word.startswith("out "))


def in_parallel(jobs: Iterable[Callable[[], bool]], workers: int) -> list[bool]:
    """Whether each of the calls succeeded; an interruption starts no further one."""

    def succeeds(job: Callable[[], bool]) -> bool:
        try:
            return job()
        except ValueError as error:
            print(f"FAILED {error}", flush=True)
            return False

    with ThreadPoolExecutor(workers) as pool:
        try:
            return list(pool.map(succeeds, jobs))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", action="store_true", help="print the lines with their core minutes; run nothing")
    parser.add_argument("--only", nargs="+", default=[""], help="names of lines, or their beginnings")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--core-hours", type=float, default=13.0, help="start nothing beyond these, of all records")
    parser.add_argument("--out", type=Path, default=Path("results/records"))
    parser.add_argument("--work", type=Path, default=Path("runs/actionworld"), help="records and models of the trials")
    parser.add_argument("--dataset", default=leaderboard.DATASET)
    parser.add_argument("--size", default=leaderboard.SIZE)
    args = parser.parse_args()
    chosen = [line for line in lines() if line.name.startswith(tuple(args.only))]
    if not chosen:
        parser.error(f"no line starts with one of --only; the first are {', '.join(line.name for line in lines()[:3])}")
    keys = [key for key in SETTINGS if any(line.trains and line.key == key for line in chosen)]
    if args.plan:
        show_plan(chosen, keys)
        return 0
    info = datasets.get(args.dataset)
    for part in info.INFO.parts:  # built before two processes ask for it
        info.load(part=part, size=args.size, workers=args.workers)
    queue = Queue(args.dataset, args.size, args.out, args.work, args.core_hours)
    tried = in_parallel([partial(queue.choose, key) for key in keys], args.workers)
    made = in_parallel([partial(queue.record, line) for line in chosen], args.workers)
    print(f"{sum(made)} of {len(made)} records, {queue.spent():.1f} core hours")
    return 0 if all(tried + made) else 1


if __name__ == "__main__":
    raise SystemExit(main())
