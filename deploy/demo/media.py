"""The demo's media folder: which file a video id means, and where its streams go.

Holds the mapping of ids to paths. Must not open, read or judge a video. Keeps the invariant that an id is an
opaque name: no id, whoever sends it, leads to a file outside of the folder.
"""

import re
from pathlib import Path

_VIDEO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class InvalidVideoId(ValueError):
    """A video id is 1 to 64 letters, digits, `-` or `_`. Anything else could be a path, and is refused."""


class MediaFolder:
    """`library/<videoId>.mp4` holds what was uploaded, `streams/<videoId>/` what was made of it."""

    def __init__(self, root: Path) -> None:
        """Use a folder; it is made when something is put into it."""
        self._library = root / "library"
        self._streams = root / "streams"

    def source(self, video_id: object) -> Path:
        """Return where the upload with this id is, or would be. It may not exist."""
        return self._library / f"{_checked(video_id)}.mp4"

    def streams(self, video_id: object) -> Path:
        """Return the folder for everything that is made of this video. It is there afterwards."""
        folder = self._streams / _checked(video_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def new_source(self, title: str) -> tuple[str, Path]:
        """Make an id that resembles a title; return it and the path that the upload must have."""
        self._library.mkdir(parents=True, exist_ok=True)
        video_id = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:64].strip("-") or "video"
        return video_id, self.source(video_id)


def _checked(video_id: object) -> str:
    if not isinstance(video_id, str) or _VIDEO_ID.fullmatch(video_id) is None:
        raise InvalidVideoId(f"{video_id!r} is not a video id: expected 1 to 64 letters, digits, '-' or '_', no path.")
    return video_id
