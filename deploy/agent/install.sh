#!/bin/sh
# Finds a Python that the agent runs on and lets it run install.py with the same arguments.
# PYTHON=/path/to/python3.12 sh install.sh ... names one.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 3
any=
for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
  [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
  if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
    exec "$candidate" "$here/install.py" "$@"
  fi
  any=${any:-$candidate}
done
[ -n "$any" ] && exec "$any" "$here/install.py" "$@"  # says what to install, and ends with 3
echo "No Python was found. The agent needs Python 3.11, 3.12 or 3.13:" >&2
echo "Debian, Ubuntu: apt install python3.11; Red Hat, Alma: dnf install python3.11" >&2
exit 3
