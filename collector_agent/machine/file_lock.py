"""The operating system's lock on an open file: it ends with the process, however that ends.

Standard library only. Closing the descriptor gives the lock up, but a forked child has a copy of the
descriptor and keeps the lock with it: whoever gives a lock up says `unlock` first, and a child closes
its copies without it (`unlock` there would end its parent's lock).
"""

import os
import sys
from typing import Final

_OFFSET: Final = 1 << 20  # Windows: locked bytes cannot be read, so lock one far behind the content

if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int, *, for_itself: bool = True) -> bool:
        """Whether the lock could be had at once. Windows knows no shared ones (`for_itself=False`)."""
        try:
            os.lseek(descriptor, _OFFSET, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Gives the lock up. Raises OSError where there is none."""
        os.lseek(descriptor, _OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(descriptor: int, *, for_itself: bool = True) -> bool:
        """Whether the lock could be had at once; any number may have it who take it not `for_itself`."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if for_itself else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Gives the lock up."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)
