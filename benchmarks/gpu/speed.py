"""Speed: inference and training of every method, compared with the bare image tower, as `actionprompt bench` measures
them: clips/s, share of the GPU's peak, memory. Eager first, then compiled: inference of all methods, then training."""

from functools import partial

from actionprompt.study import bench
from actionprompt.weights import load_clip
from gpu.part import Jobs
from gpu.settings import Settings


def jobs(settings: Settings) -> Jobs:
    rulers: dict[bool, bench.Ruler] = {}
    for compiled, training in settings.passes:
        about = {"backbone": settings.backbone, "compiled": compiled}
        if compiled not in rulers:
            rulers[compiled] = ruler(settings, settings.backbone, settings.batch_size, compiled=compiled)
            yield {"model": bench.TOWER, "kind": "tower", **about}, rulers[compiled].tower_row
        for name in settings.methods:
            build = partial(
                bench.build_method,
                name,
                settings.backbone,
                bench.class_names(settings.num_classes),
                settings.num_frames,
            )
            about["training"] = training
            yield {"model": name, "kind": "method", **about}, partial(rulers[compiled].row, build, training=training)


def ruler(settings: Settings, backbone: str, batch_size: int, *, compiled: bool = False) -> bench.Ruler:
    tower = load_clip(backbone).image
    return bench.Ruler(
        tower, tower.image_size, num_frames=settings.num_frames, batch_size=batch_size,
        num_classes=settings.num_classes, repeats=settings.repeats, device=settings.device, compiled=compiled,
    )  # fmt: skip
