"""Names that cost little to make: `uuid` and `socket` load what a robot may never need."""

import os


def new_uuid() -> str:
    """A random UUID (version 4), as `uuid.uuid4` makes them."""
    number = int.from_bytes(os.urandom(16), "big") & ~(0xF << 76 | 0x3 << 62)
    digits = f"{number | 0x4 << 76 | 0x2 << 62:032x}"  # the version and the variant
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def host_name() -> str:
    """This machine's name, as `socket.gethostname` gives it."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket  # on Windows

    return socket.gethostname()
