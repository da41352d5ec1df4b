"""Which files an import of Robot Framework's results means: by name, in folders, by patterns."""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from analytics_lib.errors import ImportFileError

_SUFFIXES: Final = (".xml", ".json")
_HEAD_BYTES: Final = 2_048
_ROOT: Final = re.compile(rb"<robot[\s>]")
_GENERATOR: Final = re.compile(rb'"generator"\s*:\s*"(?:Robot|Rebot) ')
_REBOT: Final = re.compile(rb'\bgenerator(?:=|"\s*:\s*)"Rebot')
_OWN_NAME: Final = re.compile(r"output.*\.(?:xml|json)\Z", re.IGNORECASE)


def result_files(paths: Sequence[Path], refuse: Callable[[ImportFileError], None]) -> Iterator[Path]:
    """The files that the paths name, each once: a file stands for itself, a folder for all results of
    Robot Framework in it and below, and * ? [] ** are replaced where no shell has done it.

    `refuse` is told of what names nothing.
    """
    known: set[tuple[int, int] | str] = set()
    for path in paths:
        for file in _named(path, refuse):
            key = _identity(file)
            if key not in known:
                known.add(key)
                yield file


def _named(path: Path, refuse: Callable[[ImportFileError], None]) -> Iterator[Path]:
    if path.is_dir():
        places, what = [path], f"{path} holds no output.xml or output.json of Robot Framework"
    elif glob.has_magic(str(path)) and not path.exists():
        places = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        what = f"{path} fits no result of Robot Framework"
    else:
        yield path  # what is wrong with it is said when it is read
        return
    found = others = 0
    for place in places:
        for file, is_result in _below(place, refuse) if place.is_dir() else ((place, True),):
            found += is_result
            others += not is_result
            if is_result:
                yield file
    if not found:
        refuse(ImportFileError(what + (f" ({others:,} other XML or JSON files are there)" if others else "")))


def _below(folder: Path, refuse: Callable[[ImportFileError], None]) -> Iterator[tuple[Path, bool]]:
    """XML and JSON files in the folder and below, and whether they are Robot Framework's results."""

    def cannot_list(error: OSError) -> None:
        refuse(ImportFileError(f"{error.filename} cannot be listed ({error.strerror})"))

    for place, folders, names in os.walk(folder, onerror=cannot_list):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(_SUFFIXES):
                path = Path(place, name)
                yield path, bool(_OWN_NAME.match(name)) or _looks_like_results(path)


def is_of_robot(path: Path) -> bool:
    """Whether a robot has written it and not Rebot, which puts together what robots have written."""
    return _REBOT.search(_head(path)) is None


def _head(path: Path) -> bytes:
    """How the file begins, in one byte a character; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES).replace(b"\0", b"")  # UTF-16
    except OSError:
        return b""


def _looks_like_results(path: Path) -> bool:
    """Whether the file begins as Robot Framework or Rebot begins one, whatever it is called."""
    head = _head(path)
    if path.suffix.lower() == ".json":
        return bool(_GENERATOR.search(head))
    return bool(_ROOT.search(head))


def _identity(path: Path) -> tuple[int, int] | str:
    """What two names of one file have in common."""
    try:
        known = path.stat()
    except OSError:
        return str(path)
    return (known.st_dev, known.st_ino) if known.st_ino else os.path.realpath(path)
