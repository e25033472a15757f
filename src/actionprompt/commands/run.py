"""Run a whole protocol with a method and write its record: actionprompt run METHOD --protocol few-shot --out DIR"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actionprompt import checkpoint
from actionprompt.clips import ClipList
from actionprompt.commands._outputs import check_folder
from actionprompt.commands._shared import (
    Chosen,
    Clips,
    bar,
    choose_method,
    describe_choices,
    fetch,
    note,
    parse,
    say,
)
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.evaluation import Report, write_scores
from actionprompt.records import write
from actionprompt.study import experiment, protocols
from actionprompt.weights import AUTO


def read(args: Sequence[str]) -> tuple[Chosen, Any]:
    """The method that the arguments choose, and all options."""
    chosen = choose_method(args, "run")
    module: Any = chosen.module

    @dataclass(frozen=True)
    class Run:
        out: Path
        """Folder of the records, `DATASET/PROTOCOL/METHOD-VARIANT-sSEED.json`; models go to its `models`, scores to
        its `scores`."""
        variant: str = ""
        """A row of the paper's ablations, by the name that `actionprompt list METHOD` gives."""
        recipe: str | None = None
        """Settings by name (`actionprompt list METHOD`). By default the method's recommended ones for the protocol;
        `none` for the program's own."""
        config: Path | None = None
        """Options of an earlier run, from its record or the manifest of its model."""
        protocol: protocols.Protocol = "closed-set"
        """What is trained on and tested; zero-shot tests without target training."""
        model: Path | None = None
        """For zero-shot: a model trained on another data set; without it the method is tested untrained."""
        start_from: Path | None = None
        """A run of this method on other data whose weights every training starts from; what belongs to its classes
        starts anew."""
        clips: Clips = field(default_factory=Clips)
        splits: tuple[int, ...] = (1,)
        """Official splits; several give their mean. Few-shot takes one."""
        shots: int | None = None
        """Clips per class in few-shot and base-to-novel; 16 by default."""
        published: tuple[Path, ...] = ()
        """Published few-shot lists to use instead of drawing."""
        seeds: tuple[int, ...] = (0,)
        """A record each: seed of the draw, the weights and the order."""
        at_epochs: tuple[int, ...] = ()
        """Also test after these epochs of the training; the record and a plot show accuracy by epochs."""
        also: tuple[str, ...] = ()
        """Parts to test on in addition to `test`: `scene_bias` for ActionWorld's test set with the scenes changed."""
        test_part: str = "test"
        """For closed-set and few-shot, the part to test on in place of `test`: one on which settings are chosen, such
        as ActionWorld's `val`."""
        backbone: str = AUTO
        """`auto` is openai/clip-vit-base-patch16, fetched once; for ActionWorld's clips `tiny`, which is embedded. Or a
        folder, an OpenAI .pt file, another name on the hub, or a run whose tuned towers are used."""
        cache: bool = True
        """Train and test methods with frozen features from the feature cache."""
        scores: bool = False
        """Also write every clip's class probabilities."""
        skip_existing: bool = False
        """Skip runs whose record exists, so that a queue can be restarted; a record made of other clips, weights or
        options is an error."""
        drop_missing: bool = False
        """Resume a training although clips of its list are gone: without them, from the end of an epoch."""
        method: module.Config = field(default_factory=lambda: chosen.method)
        data: DataConfig = field(default_factory=lambda: chosen.data)
        train: TrainConfig = field(default_factory=lambda: chosen.train)

        def load(self, split: int, part: str) -> ClipList:
            return replace(self.clips, split=split).load(part)

        def check(self) -> None:
            """Raise ValueError for lists of clips that cannot be read, without running anything."""
            for split in self.splits:
                for part in (self.test_part, *self.also, *(() if self.protocol == "zero-shot" else ("train",))):
                    self.load(split, part)

    return chosen, parse(Run, args[1:], f"run {chosen.name}", describe_choices(chosen))


def main(args: Sequence[str], *, about: Callable[[str, Mapping[str, float]], dict[str, Any]] | None = None) -> int:
    """`about` takes the data set and the figures of a record and returns what the record says of the row of a paper
    that the run belongs to."""
    chosen, options = read(args)
    note("settings:", chosen.source)
    check_folder(options)
    drawn = options.protocol in ("few-shot", "base-to-novel")
    if options.shots is not None and not drawn:
        raise ValueError(
            f"--shots belongs to few-shot and base-to-novel: add --protocol few-shot, got {options.protocol}"
        )

    backbone = options.backbone
    if options.model is None:  # a trained model names its own
        backbone = fetch(backbone, dataset=options.clips.dataset, method=chosen.name)
    trained_on = checkpoint.read_manifest(options.model)["class_names"] if options.model else ()
    unread = False
    for seed in options.seeds:
        train = replace(options.train, seed=seed)
        plan = protocols.plan(
            options.protocol, options.load, splits=options.splits, shots=options.shots or 16, seed=seed,
            published=options.published, also=options.also, views=(options.data.num_clips, options.data.num_crops),
            trained_on=trained_on, hold_out=train.hold_out, test_part=options.test_part,
        )  # fmt: skip
        path = options.out / experiment.record_path(
            plan, chosen.name, chosen.variant, dataset=options.clips.dataset, size=options.clips.size, seed=seed
        )
        name = path.relative_to(options.out).with_suffix("")
        if options.skip_existing and path.is_file():
            other = experiment.differences(
                path,
                experiment.expected(
                    plan, chosen.name, config=options.method, backbone=backbone, model=options.model,
                    start_from=options.start_from, train_config=train, data_config=options.data, cache=options.cache,
                    at_epochs=options.at_epochs,
                ),
            )  # fmt: skip
            if other:
                raise ValueError(
                    f"{path} is the record of a run with other options ({'; '.join(other)}); choose another folder "
                    f"with --out, or delete the record and its models to run again"
                )
            say(f"{path} is there")
            continue

        def keep(part: str, test: str, report: Report, name: Path = name) -> None:
            write_scores(options.out / "scores" / name / f"{part}-{test}.json", report)

        with bar(f"{name}: training") as step, bar("encoding") as encode, bar("testing") as test:
            record = experiment.run(
                plan, chosen.name, options.out / "models" / name, config=options.method, variant=chosen.variant,
                recipe=chosen.recipe, dataset=options.clips.dataset, backbone=backbone, model=options.model,
                start_from=options.start_from, train_config=train, data_config=options.data, cache=options.cache,
                drop_missing=options.drop_missing, at_epochs=options.at_epochs, keep=keep if options.scores else None,
                callbacks=experiment.Callbacks(
                    lambda s: step(s.step, s.num_steps, f"loss {s.losses['loss']:.3f}"), encode, test
                ),
            )  # fmt: skip
        unread |= any(t["unreadable"] for p in record["metrics"].values() for t in p.values())
        record["size"] = options.clips.size
        for line in record.get("warnings", ()):
            note("warning:", line)
        if about is not None:
            record["paper"] = about(options.clips.dataset, record["figures"])
        write(path, record)
        figures = "   ".join(f"{key} {value:.2f} %" for key, value in record["figures"].items())
        say(f"{path}: {figures}")
    return 1 if unread else 0
