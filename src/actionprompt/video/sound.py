"""The sound of a video file as a stream of an mp4 file that browsers play."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from actionprompt.video.limits import Limits
from actionprompt.video.scan import open_video, pick_stream

COPIED = ("aac", "mp3", "opus", "flac")
"""Codecs that browsers play in mp4; others are transcoded to AAC."""
_RATES = (48000, 44100, 32000, 24000, 22050, 16000)


def add_sound(container: Any, source: str | Path, duration_s: float) -> tuple[str, Iterator[float]]:
    """Adds the sound of `source` to an mp4 file that nothing is written to yet.

    Time 0 of the new file is the first frame of the source; sound before it or after `duration_s` is cut. Of several
    sound streams, the one that players choose is kept.

    Returns:
        What happens to the sound, for the reader; and an iterator that writes a packet at each step and yields the
        second at which its sound is to be heard. Where the source cannot be read further, it ends.
    """
    limits = Limits.from_environment()
    path = str(source)
    start_s = _first_frame_s(path, limits)
    old = open_video(path, limits, guess=True)
    stream = old.streams.best("audio")
    if stream is None or stream.codec_context is None:
        old.close()
        return "no sound" if stream is None else "without its sound, for whose codec there is no decoder", iter(())
    codec, num_streams = stream.codec_context.codec.canonical_name, len(old.streams.audio)
    chosen = "" if num_streams == 1 else f", 1 of {num_streams} sound streams"
    if codec in COPIED:
        new = container.add_stream_from_template(stream)
        return f"sound copied ({codec}{chosen})", _copied(container, old, stream, new, start_s, duration_s)
    rate = stream.codec_context.sample_rate
    new = container.add_stream("aac", rate=rate if rate in _RATES else 48000)
    new.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    return f"sound transcoded from {codec} to aac{chosen}", _coded(container, old, stream, new, start_s, duration_s)


def _first_frame_s(path: str, limits: Limits) -> float:
    """When the source's own clock shows the first frame."""
    with open_video(path, limits, guess=True) as container:
        stream = pick_stream(path, container, limits)
        return next((frame.time or 0.0 for frame in container.decode(stream)), 0.0)


def _packets(old: Any, stream: Any) -> Iterator[Any]:
    """Packets that have a time, as far as the file can be read."""
    try:
        yield from (packet for packet in old.demux(stream) if packet.size and packet.pts is not None)
    except (av.error.FFmpegError, OSError):
        return


def _copied(container: Any, old: Any, stream: Any, new: Any, start_s: float, duration_s: float) -> Iterator[float]:
    with old:
        shift = round(Fraction(start_s) / stream.time_base)
        for packet in _packets(old, stream):
            packet.pts -= shift
            packet.dts = packet.pts  # no sound is reordered
            time_s = float(packet.pts * stream.time_base)
            if time_s >= duration_s:
                return
            packet.stream = new
            container.mux(packet)
            yield time_s


def _coded(container: Any, old: Any, stream: Any, new: Any, start_s: float, duration_s: float) -> Iterator[float]:
    with old:
        for frame in _frames(old, stream):
            frame.pts -= round(Fraction(start_s) / frame.time_base)
            time_s = float(frame.pts * frame.time_base)
            if time_s >= duration_s:
                break
            container.mux(new.encode(frame))
            yield time_s
        container.mux(new.encode(None))


def _frames(old: Any, stream: Any) -> Iterator[Any]:
    for packet in _packets(old, stream):
        try:
            decoded = packet.decode()
        except av.error.FFmpegError:
            continue  # a damaged packet is silent, as in players
        yield from (frame for frame in decoded if frame.pts is not None)
