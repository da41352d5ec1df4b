#!/usr/bin/env python3
"""Installs the agent from this folder: `python3 install.py --help`; README.md says the rest.

This file runs on any Python, to say which one is needed; the installer itself lies in installer/.
"""

from __future__ import print_function  # noqa: UP010  # for Python 2, which is to be told what it is

import os
import sys

SUPPORTED = ((3, 11), (3, 12), (3, 13))
EXIT_MACHINE = 3
REFUSAL = """\
rpa-agent: it needs Python 3.11, 3.12 or 3.13 for 64 bits; {} is Python {}{}.
Install one beside it, nothing has to be removed:
  Windows:        the 64-bit installer of python.org, option "Install for all users"
  Debian, Ubuntu: apt install python3.11   (or python3.12, python3.13)
  Red Hat, Alma:  dnf install python3.11   (or python3.12)
  openSUSE:       zypper install python311
Then run install.ps1 or install.sh again, or name it: python3.11 install.py ..."""


def refusal(version, executable, is_64_bit):
    """Why this Python cannot run the agent, and what to install; None where it can."""
    if tuple(version[:2]) in SUPPORTED and is_64_bit:
        return None
    found = ".".join(str(number) for number in version[:3])
    return REFUSAL.format(executable, found, "" if is_64_bit else " for 32 bits")


if __name__ == "__main__":
    reason = refusal(sys.version_info, sys.executable, sys.maxsize > 2**32)
    if reason:
        print(reason, file=sys.stderr)
        sys.exit(EXIT_MACHINE)
    sys.dont_write_bytecode = True  # the bundle may lie on a share or a disc, and is left as it was
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from installer.main import main

    sys.exit(main())
