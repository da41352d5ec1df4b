"""What masking a message costs, in CPU, and whether it stays linear.

    python benchmarks/redaction.py [--times 200]

1. A message of 1 KB: that triggers nothing; as robots write them (times, paths); full of secrets of all
   kinds; full of one kind each. Beside it one `re.sub` for each kind over the whole text, which is how
   redacting filters for `logging` are usually written, and detect-secrets (Yelp), where it is installed: it
   finds tokens and keys, and neither persons nor numbers (pip install detect-secrets).
2. Text made to be slow, piece by piece: four times as much of it may take four times as long. The worst
   ratio is shown, with the piece that made it.

CPU time, the best of several runs; a ratio beside the peer is what should be compared between machines.
"""

import argparse
import re
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from collector_agent.redaction import mask

KB = 1024
_OPEN = ExitStack()
PLAIN = "the reader could not open the folder because the share was away and nobody answered; "
USUAL = (
    "2026-03-02 02:39:45 INFO opened /home/robot/Invoices2026/in/reader_v2/list.xlsx, 125 rows in 12.5 s. "
)
SECRETS = {
    "mail": "ada@example.org ",
    "password": "password=hunter2 ",
    "card": "4111 1111 1111 1111 ",
    "iban": "DE89370400440532013000 ",
    "phone": "+49 170 1234567 ",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0 ",
    "url": "https://rpa:geheim@db.example/ ",
    "aws key": "AKIAIOSFODNN7EXAMPLE ",
    "bearer": "Bearer abc123def456 ",
    "random": "kQ8vXz3JmP0aLw7RtY2uBn5CdE6fGh1I ",
    "ssn": "512-45-6789 ",
}
ONE_BY_ONE = [
    (re.compile(pattern), label)
    for pattern, label in (
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "<mail>"),
        (r"(?i)(password|passwd|pwd|secret|token|api[_-]?key)\s*[=:]\s*\S+", r"\1=<hidden>"),
        (r"\b(?:\d[ -]?){13,16}\b", "<card>"),
        (r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b", "<iban>"),
        (r"\+\d{1,3}[ -]?\(?\d{1,4}\)?[ -]?\d{3,4}[ -]?\d{3,4}", "<phone>"),
        (r"eyJ[\w-]+\.[\w-]+\.[\w-]*", "<hidden>"),
        (r"(?<=://)[^\s/@]+:[^\s/@]+(?=@)", "<hidden>"),
        (r"\bA[KS]IA[0-9A-Z]{16}\b", "<hidden>"),
        (r"(?i)bearer\s+[\w.~+/=-]+", "bearer <hidden>"),
        (r"\b[A-Za-z0-9+/]{32,}={0,2}", "<hidden>"),
        (r"\b\d{3}-\d{2}-\d{4}\b", "<id>"),
    )
]
PIECES = (
    *(
        "a",
        "1",
        "@",
        "a@",
        "a@a.",
        "%40",
        "a%40a",
        "://",
        "://a:b",
        "password",
        "password=",
        "eyJ",
        "eyJaaaaa.",
    ),
    *(
        "bearer a",
        "sk-",
        "ghp_",
        "AKIA",
        "1-",
        "1 ",
        "1234 ",
        "123-",
        "1.",
        "+1",
        "(030)",
        "AB12",
        "DE89 ",
        "aB3",
    ),
    *(
        "-----BEGIN PRIVATE KEY-----",
        '"',
        'password="',
        "12345678-1234-",
        "0 00 00 ",
        "AB123456",
        "AAAAAA00A00A",
    ),
)


def one_by_one(text: str) -> str:
    for pattern, label in ONE_BY_ONE:
        text = pattern.sub(label, text)
    return text


def cpu_us(call: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(7):
        begun_ns = time.process_time_ns()
        for _ in range(times):
            call()
        best = min(best, (time.process_time_ns() - begun_ns) / times / 1e3)
    return best


def of_a_kilobyte(text: str) -> str:
    return (text * (KB // len(text) + 1))[:KB]


def detect_secrets() -> Callable[[str], object] | None:
    with suppress(ImportError):
        from detect_secrets.core.scan import scan_line
        from detect_secrets.settings import default_settings

        def scan(text: str) -> object:
            return list(scan_line(text))

        _OPEN.enter_context(default_settings())
        return scan
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=200, metavar="N")
    times = parser.parse_args().times
    peer = detect_secrets()
    messages = {"triggers nothing": PLAIN, "as robots write": USUAL, "all kinds": "".join(SECRETS.values())}
    messages |= {f"only {kind}": text for kind, text in SECRETS.items()}
    print(f"{'1 KB that is':<20}{'ours':>10}{'re.sub':>10}{'ratio':>8}   detect-secrets   [µs of CPU]")
    for name, text in messages.items():
        message = of_a_kilobyte(text)
        ours = cpu_us(lambda message=message: mask(message), times)
        theirs = cpu_us(lambda message=message: one_by_one(message), max(1, times // 4))
        further = f"{cpu_us(lambda message=message: peer(message), 2):>14.0f}" if peer else ""
        print(f"{name:<20}{ours:>10.1f}{theirs:>10.1f}{ours / theirs:>8.2f}   {further}")
    worst, piece = max((growth(piece), piece) for piece in PIECES)
    print(f"four times the text, made to be slow: at worst {worst:.1f} times the CPU ({piece!r} repeated)")


def growth(piece: str) -> float:
    """How many times the CPU of 16 KB of it 64 KB take."""
    short, long = ((piece * (size // len(piece) + 1))[:size] + "!" for size in (16 * KB, 64 * KB))
    return cpu_us(lambda: mask(long), 1) / max(1.0, cpu_us(lambda: mask(short), 1))


if __name__ == "__main__":
    with _OPEN:
        main()
