"""Train a method on a data set: actionprompt train METHOD --clips.root DIR --out RUN"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actionprompt import checkpoint, methods
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
    print_broken,
    say,
)
from actionprompt.config import DataConfig, TrainConfig
from actionprompt.resume import check_finished
from actionprompt.training import planned, train
from actionprompt.weights import AUTO, load_clip
from actionprompt.world.drawn import tiny_warnings


def read(args: Sequence[str]) -> tuple[Chosen, Any]:
    """The method that the arguments choose, and all options."""
    chosen = choose_method(args, "train")
    module: Any = chosen.module

    @dataclass(frozen=True)
    class Train:
        out: Path
        """Folder of the run: model, log, TensorBoard, checkpoints. A run that was killed resumes when called again."""
        variant: str = ""
        """A row of the paper's ablations, by the name that `actionprompt list METHOD` gives."""
        recipe: str | None = None
        """Settings by name (`actionprompt list METHOD`). By default the method's recommended ones for closed-set;
        `none` for the program's own."""
        config: Path | None = None
        """Options of an earlier run, from its record or the manifest of its model."""
        clips: Clips = field(default_factory=Clips)
        part: str = "train"
        """Part of the data set to train on."""
        backbone: str = AUTO
        """`auto` is openai/clip-vit-base-patch16, fetched once; for ActionWorld's clips `tiny`, which is embedded. Or a
        folder, an OpenAI .pt file, another name on the hub, or a run whose tuned towers are used."""
        start_from: Path | None = None
        """A run of this method on other data whose weights training starts from; what belongs to its classes starts
        anew."""
        cache: bool = True
        """Train methods with frozen features from the feature cache."""
        drop_missing: bool = False
        """Resume a run although clips of its list are gone: without them, from the end of an epoch."""
        method: module.Config = field(default_factory=lambda: chosen.method)
        data: DataConfig = field(default_factory=lambda: chosen.data)
        train: TrainConfig = field(default_factory=lambda: chosen.train)

        def check(self) -> None:
            """Raise ValueError for a list of clips that cannot be read, without running anything."""
            self.clips.load(self.part)

    return chosen, parse(Train, args[1:], f"train {chosen.name}", describe_choices(chosen))


def prepare(chosen: Chosen, options: Any) -> tuple[Any, ClipList, dict[str, Any]]:
    """The method before its training, the clips, and further entries of the manifest."""
    clips = options.clips.load(options.part)
    backbone = fetch(options.backbone, dataset=options.clips.dataset, method=chosen.name)
    method = methods.build(
        chosen.name, load_clip(backbone), clips.class_names, clips.class_names_zh, config=options.method,
        seed=options.train.seed,
    )  # fmt: skip
    facts: dict[str, Any] = {"variant": chosen.variant, "recipe": chosen.recipe}
    if options.start_from is not None:
        facts["start_from"] = checkpoint.start_from(method, options.start_from)
    return method, clips, facts


def is_finished(args: Sequence[str]) -> bool:
    """Whether the run folder of these arguments holds the model that they train.

    Raises:
        ValueError: it holds another one; the message says how it differs.
    """
    chosen, options = read(args)
    if not (options.out / "model" / checkpoint.MANIFEST).is_file():
        return False
    method, clips, facts = prepare(chosen, options)
    run = planned(method, clips, options.train, options.data, cache=options.cache, facts=facts)[1]
    check_finished(options.out, run)
    return True


def main(args: Sequence[str]) -> int:
    chosen, options = read(args)
    note("settings:", chosen.source)
    check_folder(options)
    method, clips, facts = prepare(chosen, options)
    for line in tiny_warnings(method, (clip.path for clip in clips.clips)):
        note("warning:", line)
    with bar("training") as step, bar("encoding frames") as encoding:
        result = train(
            method, clips, options.out, config=options.train, data_config=options.data, cache=options.cache,
            on_encode=encoding, facts=facts, drop_missing=options.drop_missing,
            on_step=lambda s: step(s.step, s.num_steps, f"epoch {s.epoch + 1}  loss {s.losses['loss']:.3f}"),
        )  # fmt: skip
    print_broken(result.broken)
    model = options.out / "model"
    say(f"{model}: {chosen.name} on {len(clips.clips)} clips of {len(clips.class_names)} classes")
    return 1 if result.broken else 0
