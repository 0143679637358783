"""HLS on disk: measures what an encoder wrote, and puts a master playlist over it (RFC 8216).

Holds reading and writing of playlists and MP4 headers. Must not encode anything. Keeps the invariant that
the master playlist appears whole, and that every figure in it was measured on the files it names.
"""

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

SEGMENT_SECONDS: Final = 2
"""A keyframe and a segment every two seconds: a player changes rendition quickly, and seeks well."""

INIT_SEGMENT: Final = "init.mp4"
MEDIA_PLAYLIST: Final = "index.m3u8"


@dataclass(frozen=True, kw_only=True)
class EncodedRendition:
    """One finished rendition, with the figures that a master playlist states: measured, not promised."""

    name: str
    playlist: Path
    width: int
    height: int
    codecs: str
    peak_bits_per_second: int
    average_bits_per_second: int
    segment_count: int
    encoded_in_ms: int


def measure(folder: Path, *, name: str, encoded_in_ms: int) -> EncodedRendition:
    """Read what an encoding has written to its folder."""
    codecs, width, height = _read_init_segment((folder / INIT_SEGMENT).read_bytes())
    segments = _read_segments(folder / MEDIA_PLAYLIST)
    peak, average = _bits_per_second(segments)
    return EncodedRendition(
        name=name,
        playlist=folder / MEDIA_PLAYLIST,
        width=width,
        height=height,
        codecs=codecs,
        peak_bits_per_second=peak,
        average_bits_per_second=average,
        segment_count=len(segments),
        encoded_in_ms=encoded_in_ms,
    )


def package(renditions: Sequence[EncodedRendition], streams: Path) -> Path:
    """Write the master playlist over the renditions, best first, and return its path. Idempotent."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for rendition in sorted(renditions, key=lambda one: one.peak_bits_per_second, reverse=True):
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={rendition.peak_bits_per_second},"
            f"AVERAGE-BANDWIDTH={rendition.average_bits_per_second},"
            f'RESOLUTION={rendition.width}x{rendition.height},CODECS="{rendition.codecs}"'
        )
        lines.append(rendition.playlist.relative_to(streams).as_posix())
    draft = streams / f"master-{uuid.uuid4().hex[:8]}.tmp"
    draft.write_text("\n".join(lines) + "\n")
    master = streams / "master.m3u8"
    return draft.replace(master)  # a player sees the old list or the new one, never a half of it


def _read_init_segment(init: bytes) -> tuple[str, int, int]:
    """Return the CODECS text, width and height that an MP4 header states (ISO/IEC 14496-12 and -15).

    The sample entry `avc1` holds the picture size 24 bytes after its name; its `avcC` begins with a version,
    then the profile, the constraints and the level, which the CODECS text spells in hexadecimal.
    """
    descriptions = init.index(b"stsd")
    entry = init.index(b"avc1", descriptions) + 4
    width, height = struct.unpack_from(">HH", init, entry + 24)
    avc = init.index(b"avcC", entry) + 4
    codecs = f"avc1.{init[avc + 1 : avc + 4].hex()}"
    # The sound, if there is any, comes from ffmpeg's own AAC encoder, which makes AAC-LC: object type 2.
    return (f"{codecs},mp4a.40.2" if b"mp4a" in init[descriptions:] else codecs), width, height


def _read_segments(playlist: Path) -> Sequence[tuple[float, int]]:
    """Return seconds and bytes of each segment of a media playlist."""
    lines = playlist.read_text().splitlines()
    return [
        (float(line.removeprefix("#EXTINF:").rstrip(",")), (playlist.parent / file_name).stat().st_size)
        for line, file_name in pairwise(lines)
        if line.startswith("#EXTINF:")
    ]


def _bits_per_second(segments: Sequence[tuple[float, int]]) -> tuple[int, int]:
    """Return peak and average. As in RFC 8216, a scrap shorter than half a segment makes no peak."""
    average = sum(size for _, size in segments) * 8 / sum(seconds for seconds, _ in segments)
    long_ones = [(seconds, size) for seconds, size in segments if seconds >= SEGMENT_SECONDS / 2]
    peak = max([average, *(size * 8 / seconds for seconds, size in long_ones)])
    return round(peak), round(average)
