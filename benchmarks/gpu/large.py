"""Large: inference of every method at ViT-L/14, eager; and inference and training of published video models, each
compared with the image tower of its patch size."""

from functools import partial

from actionprompt.study import bench
from actionprompt.study.peers import PEERS, Peer
from gpu.part import Jobs
from gpu.settings import Settings
from gpu.speed import ruler


def jobs(settings: Settings) -> Jobs:
    backbone, classes = settings.large_backbone, bench.class_names(settings.num_classes)
    large = ruler(settings, backbone, settings.large_batch_size)
    yield {"model": bench.TOWER, "kind": "tower", "backbone": backbone}, large.tower_row
    for name in settings.methods:
        build = partial(bench.build_method, name, backbone, classes, settings.num_frames)
        yield {"model": name, "kind": "method", "backbone": backbone}, partial(large.row, build, training=False)
    del large
    towers = {16: "random:ViT-B/16", 32: "random:ViT-B/32"}
    for patch, tower in towers.items():
        backbone = settings.backbone if settings.peer_shape else tower
        base = ruler(settings, backbone, settings.large_batch_size)
        yield {"model": bench.TOWER, "kind": "tower", "backbone": backbone}, base.tower_row
        for name in (name for name, (its_patch, _) in PEERS.items() if its_patch == patch):
            shape = dict(settings.peer_shape)
            if shape and name == "ViViT-B":
                shape["tubelet_size"] = [2, 16, 16]
            yield (
                {"model": name, "kind": "peer", "backbone": backbone},
                partial(base.row, partial(Peer, name, settings.num_classes, **shape)),
            )
