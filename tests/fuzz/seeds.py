"""The small clips whose mutants are tried: every codec and container of video that the installed PyAV can write."""

from pathlib import Path
from typing import Any

import av
from PIL import Image

from videos import numbered_frame, pack, write_numbered

NUM_FRAMES, NUM_IMAGES = 24, 4
LAYERS = "bframes=3:b-adapt=0:b-pyramid=normal:scenecut=0:threads=1"
X265 = "bframes=3:keyint=8:min-keyint=8:scenecut=0:open-gop=1:log-level=none:pools=none:frame-threads=1"
VPX = {"deadline": "realtime", "cpu-used": "8"}
TWO_B = {"bf": "2", "b_strategy": "0", "sc_threshold": "1000000000"}
CIF = {"height_px": 144, "width_px": 176}


def _x264(params: str = LAYERS, **options: Any) -> tuple[str, dict[str, Any]]:
    return "libx264", {"options": {"x264-params": params}, **options}


# name: (suffix, (codec, options of `write_numbered`)); a name of one image suffix is a folder of images
SEEDS: dict[str, tuple[str, tuple[str, dict[str, Any]]]] = {
    "h264_mp4": ("mp4", _x264()),
    "h264_mov": ("mov", _x264("bframes=0:threads=1")),
    "h264_mkv_open_gop": ("mkv", _x264(LAYERS + ":open-gop=1")),
    "h264_avi": ("avi", _x264()),
    "h264_ts": ("ts", _x264()),
    "h264_flv": ("flv", _x264()),
    "h264_raw": ("h264", _x264()),
    "h264_fragments": ("mp4", _x264(container_options={"movflags": "frag_keyframe"})),
    "h264_intra_refresh": ("mkv", _x264("intra-refresh=1:keyint=8:threads=1")),
    "h264_interlaced": ("ts", _x264("tff=1:bframes=2:threads=1")),
    "h264_10_bit": ("mp4", _x264(pix_fmt="yuv420p10le")),
    "h264_422": ("mov", _x264(pix_fmt="yuv422p")),
    "h264_slices": ("mkv", _x264("slices=3:bframes=1:threads=1")),
    "h264_cavlc": ("mkv", _x264("cabac=0:bframes=1:threads=1")),
    "h264_one_gop": ("mp4", _x264(gop=250)),
    "hevc_mp4": ("mp4", ("libx265", {"options": {"x265-params": X265}, **CIF})),
    "hevc_ts": ("ts", ("libx265", {"options": {"x265-params": X265}, **CIF})),
    "vp8_webm": ("webm", ("libvpx", {"options": VPX})),
    "vp8_ogv": ("ogv", ("libvpx", {"options": VPX})),
    "vp9_webm": ("webm", ("libvpx-vp9", {"options": VPX})),
    "vp9_hidden": (
        "mkv",
        ("libvpx-vp9", {"options": {"deadline": "good", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "12"}}),
    ),
    "av1_mp4": ("mp4", ("libsvtav1", {"options": {"preset": "10", "crf": "30", "svtav1-params": "lp=1"}})),
    "av1_mkv": ("mkv", ("libsvtav1", {"options": {"preset": "10", "crf": "30", "svtav1-params": "lp=1"}})),
    "mpeg1_mpg": ("mpg", ("mpeg1video", {"options": TWO_B})),
    "mpeg2_mpg": ("mpg", ("mpeg2video", {"options": TWO_B})),
    "mpeg2_ts": ("ts", ("mpeg2video", {"options": TWO_B})),
    "mpeg4_avi": ("avi", ("mpeg4", {"options": {**TWO_B, "qmax": "3"}})),
    "mpeg4_packed": ("avi", ("mpeg4", {"options": {**TWO_B, "qmax": "3"}})),
    "mpeg4_mp4": ("mp4", ("mpeg4", {"options": {**TWO_B, "qmax": "3"}})),
    "mpeg4_mkv": ("mkv", ("mpeg4", {})),
    "msmpeg4_avi": ("avi", ("msmpeg4", {})),
    "msmpeg4v2_avi": ("avi", ("msmpeg4v2", {})),
    "wmv1_wmv": ("wmv", ("wmv1", {})),
    "wmv2_wmv": ("wmv", ("wmv2", {})),
    "h263_3gp": ("3gp", ("h263", CIF)),
    "h261_raw": ("h261", ("h261", CIF)),
    "flv1_flv": ("flv", ("flv", {})),
    "rv20_rm": ("rm", ("rv20", {})),
    "mjpeg_avi": ("avi", ("mjpeg", {"pix_fmt": "yuvj420p"})),
    "mjpeg_mov": ("mov", ("mjpeg", {"pix_fmt": "yuvj420p"})),
    "ffv1_crc_mkv": ("mkv", ("ffv1", {"options": {"level": "3", "slicecrc": "1"}})),
    "ffv1_old_mkv": ("mkv", ("ffv1", {"options": {"level": "1"}})),
    "huffyuv_avi": ("avi", ("huffyuv", {"pix_fmt": "yuv422p"})),
    "utvideo_avi": ("avi", ("utvideo", {})),
    "prores_mov": ("mov", ("prores_ks", {"pix_fmt": "yuv422p10le"})),
    "dnxhr_mov": (
        "mov",
        ("dnxhd", {"pix_fmt": "yuv422p", "options": {"profile": "dnxhr_lb"}, "height_px": 128, "width_px": 256}),
    ),
    "gif": ("gif", ("gif", {"pix_fmt": "rgb8"})),
    "apng": ("apng", ("apng", {"pix_fmt": "rgb24"})),
    "png_mov": ("mov", ("png", {"pix_fmt": "rgb24"})),
    "jpeg2000_mkv": ("mkv", ("jpeg2000", {})),
    "svq1_mov": ("mov", ("svq1", {"pix_fmt": "yuv410p"})),
    "raw_avi": ("avi", ("rawvideo", {"num_frames": 8})),
    "png": ("png", ("", {})),
    "jpg": ("jpg", ("", {})),
    "webp": ("webp", ("", {})),
    "bmp": ("bmp", ("", {})),
}


def write(name: str, folder: Path) -> Path:
    """The clip of this name below the folder; made once."""
    suffix, (codec, options) = SEEDS[name]
    if not codec:
        return _images(folder / name, suffix)
    path = folder / f"{name}.{suffix}"
    if path.exists():
        return path
    options = {"gop": 8, "height_px": 64, "width_px": 96, **options}
    num_frames = options.pop("num_frames", NUM_FRAMES)
    temporary = path.with_name(f"_{path.name}")
    write_numbered(temporary, num_frames, codec, **options)
    if name == "mpeg4_packed":
        temporary = pack(temporary, temporary.with_name(f"__{path.name}"))
    return temporary.replace(path)


def _images(folder: Path, suffix: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(NUM_IMAGES):
        Image.fromarray(numbered_frame(number)).save(folder / f"{number}.{suffix}")
    return folder


def writable() -> list[str]:
    """The seeds whose encoder is there."""
    return [name for name, (_, (codec, _)) in SEEDS.items() if not codec or codec in _encoders()]


def _encoders() -> set[str]:
    found = set()
    for _, (codec, _) in SEEDS.values():
        try:
            av.codec.Codec(codec, "w")
            found.add(codec)
        except ValueError:
            continue
    return found
