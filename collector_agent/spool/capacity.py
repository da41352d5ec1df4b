"""How much a spool folder holds, and what goes when it is too much; standard library only.

Counted are the segments of all sets; the quarantine has a limit of its own. Segments that are still
appended to stay, whatever they hold: writers keep them small where the cap is.
"""

from pathlib import Path

from collector_agent.spool.files import REAL, Files
from collector_agent.spool.reader import SetReader, open_set, sets_in
from collector_agent.spool.segments import Segments


def spool_bytes(folder: Path, files: Files = REAL) -> int:
    """The bytes of all segments, delivered ones that are not yet removed included. Raises OSError."""
    return sum(sum(segments.sizes.values()) for segments in _all_segments(folder, files))


def drop_oldest(folder: Path, max_bytes: int, files: Files = REAL) -> int:
    """Drops the oldest segments of whatever set until the rest fits; how many bytes are still too many.

    A set that somebody reads, or that we may not, is left alone. Rows that go are counted in their
    set's cursor. Raises OSError.
    """
    sets = _all_segments(folder, files)
    too_many = sum(sum(segments.sizes.values()) for segments in sets) - max_bytes
    if too_many <= 0:
        return 0
    oldest_first = sorted(
        (modified_ns, segments.folder.name, number)
        for segments in sets
        for number, modified_ns in segments.modified_ns.items()
    )
    readers: dict[str, SetReader | None] = {}
    try:
        for _, name, _ in oldest_first:
            if too_many <= 0:
                break
            if name not in readers:
                readers[name] = _opened(folder / name, files)
            reader = readers[name]
            if reader is not None:
                too_many -= reader.drop_oldest_segment()
    finally:
        for reader in readers.values():
            if reader is not None:
                reader.close()
    return max(0, too_many)


def _opened(folder: Path, files: Files) -> SetReader | None:
    try:
        return open_set(folder, files)
    except OSError:  # not ours to touch
        return None


def _all_segments(folder: Path, files: Files) -> list[Segments]:
    found = [Segments(path, files) for path in sets_in(folder, files)]
    for segments in found:
        try:
            segments.look()
        except OSError:  # not ours to see
            continue
    return found
