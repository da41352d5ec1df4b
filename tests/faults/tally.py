"""What a robot has done, told to its test out of band: memory that both see and no kill takes away."""

import mmap
import time
from pathlib import Path
from typing import Final

_WORDS: Final = 8  # of 64 bits each, before the moments
READY, GO, BEGUN, RETURNED, DROPPED, PENDING = range(6)
TIME_OUT_SEC: Final = 60.0


class Tally:
    """Counters of one robot, in a file that both processes have mapped.

    `BEGUN` calls and `RETURNED` ones differ by the one in flight; `moments` says of each row when its
    call had returned, in nanoseconds of the monotonic clock, which all processes of a machine share.
    """

    def __init__(self, path: Path, max_rows: int = 0) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(8 * (_WORDS + max_rows)))
        with path.open("r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        self.moments = self._words[_WORDS:]

    def __getitem__(self, at: int) -> int:
        return self._words[at]

    def __setitem__(self, at: int, value: int) -> None:
        self._words[at] = value

    def wait_for(self, at: int, at_least: int = 1, pause_sec: float = 0.001) -> None:
        """Returns when the counter has got so far. Raises TimeoutError when that takes a minute."""
        give_up_s = time.monotonic() + TIME_OUT_SEC
        while self._words[at] < at_least:
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"word {at} of {self.path} is {self._words[at]}, not {at_least}")
            time.sleep(pause_sec)
