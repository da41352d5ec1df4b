"""A rendered report as a tagged, accessible PDF (PDF/UA-1), made in a process of its own.

A process of its own, with limits, because a page can make the layout eat any amount of time and memory,
and because WeasyPrint takes seconds to import, which the rest of the program should not. Nothing is
fetched: only `data:` addresses are followed. `python -m analytics_lib.report.pdf --check` says whether
PDFs can be made here.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Final, cast

from analytics_lib.errors import ReportError

MEMORY_LIMIT_BYTES: Final = 3 * 1024**3
_INSTALL: Final = (
    "PDFs need the library Pango, which is missing ({reason}). Install it: "
    "Debian, Ubuntu: apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0; "
    "macOS: brew install pango; Windows: see the installation page of WeasyPrint's documentation"
)


def render_pdf(
    html: str,
    target: Path,
    *,
    timeout_sec: float = 120,
    memory_limit_bytes: int | None = MEMORY_LIMIT_BYTES,
) -> None:
    """Writes the page as PDF: to a temporary name first, then renamed, so that `target` is always whole.

    The memory limit is one of address space and holds on Linux and macOS. Raises ReportError when Pango
    or WeasyPrint is missing, a limit is hit, or the folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise ReportError(
            f"the PDF cannot be written to {target.parent} ({error.strerror}): make the folder writable"
        ) from None
    unfinished = Path(name)
    try:
        _run(html, unfinished, target, timeout_sec, memory_limit_bytes)
        unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(target)
    except OSError as error:
        raise ReportError(
            f"the PDF {target} cannot be written ({error.strerror}): remove what is in its place"
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)


def _run(html: str, unfinished: Path, target: Path, timeout_sec: float, memory_limit: int | None) -> None:
    command = [sys.executable, "-m", "analytics_lib.report.pdf", "--output", str(unfinished)]
    if memory_limit is not None:
        command += ["--memory-limit", str(memory_limit)]
    try:
        # Our own interpreter and module; the page goes in as data, through stdin.
        done = subprocess.run(  # noqa: S603 - no shell, and nothing of it comes from the page
            command, input=html.encode(), capture_output=True, timeout=timeout_sec, check=False
        )
    except subprocess.TimeoutExpired:
        raise ReportError(
            f"the PDF {target.name} took longer than {timeout_sec:g} s and was given up: "
            "choose a shorter window, or allow more time"
        ) from None
    if done.returncode == 0:
        return
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == ReportError.exit_code:
        raise ReportError(said)
    raise ReportError(
        f"the PDF {target.name} cannot be made (exit status {done.returncode}; limit "
        f"{memory_limit or 'none'} bytes of memory): {said[-500:] or 'nothing was said'}"
    )


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write(html: bytes, output: Path) -> None:
    """The work itself, in the process of its own."""
    weasyprint = _import_weasyprint()
    fetcher = weasyprint.URLFetcher(allowed_protocols={"data"}, allow_redirects=False)
    page = weasyprint.HTML(string=html.decode(), encoding="utf-8", url_fetcher=fetcher)
    page.write_pdf(output, pdf_variant="pdf/ua-1")


def _import_weasyprint() -> ModuleType:
    try:
        import weasyprint
    except ModuleNotFoundError as error:
        if error.name != "weasyprint":
            raise
        raise ReportError("PDFs need the package weasyprint: pip install 'rpa-analytics[report]'") from None
    except OSError as error:
        if "cannot load library" not in str(error):
            raise
        raise ReportError(_INSTALL.format(reason=str(error).splitlines()[0][:200])) from None
    return cast(ModuleType, weasyprint)  # which has no types of its own


def _limit_memory(limit_bytes: int) -> None:
    if sys.platform == "win32":  # no such limit there
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    allowed = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


def main(arguments: list[str] | None = None) -> int:
    """HTML from stdin to the PDF `--output`; or `--check`, which says whether PDFs can be made."""
    parser = argparse.ArgumentParser(prog="python -m analytics_lib.report.pdf", description=main.__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", type=Path, metavar="FILE", help="where the PDF goes")
    what.add_argument("--check", action="store_true", help="say whether PDFs can be made here")
    parser.add_argument("--memory-limit", type=int, metavar="BYTES", help="most address space to use")
    given = parser.parse_args(arguments)
    try:
        if given.memory_limit:
            _limit_memory(given.memory_limit)
        if given.check:
            _import_weasyprint()
        else:
            _write(sys.stdin.buffer.read(), given.output)
    except ReportError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except MemoryError:
        sys.stderr.write(f"it needs more than the {given.memory_limit} bytes of memory that it may use\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
