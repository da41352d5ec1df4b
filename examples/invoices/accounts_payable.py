"""Keywords of the accounts payable robots: files, HTTP, and the rules that invoices must obey."""

import csv
import http.client
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = [
    "check_row",
    "fetch",
    "invoice_should_fit_its_order",
    "load",
    "posting_of",
    "read_rows",
    "refusal_of",
    "refusals_should_be_at_most",
    "save",
    "send",
    "statement_should_agree",
    "vendor_should_be_payable",
    "write_rows",
]  # what is not named here is no keyword

TOLERANCE: Final = Decimal("1.02")  # an invoice may exceed its order by 2 %
N_NAMED: Final = 3
HTTP_TIMEOUT_S: Final = 5.0

Row = dict[str, Any]


class BusinessException(Exception):  # noqa: N818  # the name by which its failures are recognized
    """The data is wrong, and trying again will not help: somebody has to look at it."""


class ServiceUnavailable(Exception):  # noqa: N818  # reads well in front of a message
    """The back office does not answer as it should: trying again may help."""


def read_rows(path: str, **wanted: object) -> list[Row]:
    """The rows of a CSV file that have these values, such as batch=2."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return [
            row
            for row in csv.DictReader(file)
            if all(row[name] == str(value) for name, value in wanted.items())
        ]


def write_rows(path: str, rows: Sequence[Row], *columns: str) -> None:
    """Writes these columns of the rows into a CSV file."""
    file = _place(path)
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def save(path: str, rows: Sequence[Row]) -> None:
    """Keeps rows for the next task."""
    _place(path).write_text(json.dumps(list(rows), indent=1), encoding="utf-8")


def load(path: str) -> list[Row]:
    """The rows that the task before kept."""
    rows: list[Row] = json.loads(Path(path).read_text(encoding="utf-8"))
    return rows


def fetch(url: str) -> Any:
    """What is found there; None for 404. Raises ServiceUnavailable."""
    return _request("GET", url)


def send(url: str, content: Row) -> Any:
    """Posts the content there. Raises ServiceUnavailable."""
    return _request("POST", url, json.dumps(content))


def check_row(row: Row, rates: dict[str, float], seen: list[str]) -> Row:
    """The invoice that the row stands for, in euro cents. Raises BusinessException."""
    number = row["number"]
    if number in seen:
        raise BusinessException(f"invoice number {number} comes twice")
    if row["currency"] not in rates:
        raise BusinessException(f"currency {row['currency']} is not known")
    try:
        amount = Decimal(row["amount"])
        date.fromisoformat(row["due"])
    except InvalidOperation:
        raise BusinessException(f"amount {row['amount']!r} is no number") from None
    except ValueError:
        raise BusinessException(f"due date {row['due']!r} is no date") from None
    if amount <= 0:
        raise BusinessException(f"amount {row['amount']} is not positive")
    seen.append(number)
    return {**row, "amount_eur_cents": round(amount * 100 * Decimal(str(rates[row["currency"]])))}


def vendor_should_be_payable(invoice: Row, vendor: Row | None) -> None:
    """Raises BusinessException where the vendor is unknown or blocked."""
    if vendor is None:
        raise BusinessException(f"vendor {invoice['vendor']} is not known")
    if vendor["blocked"]:
        raise BusinessException(f"vendor {invoice['vendor']} is blocked")


def invoice_should_fit_its_order(invoice: Row, order: Row | None) -> None:
    """Raises BusinessException where there is no order, or a smaller one."""
    if order is None:
        raise BusinessException(f"order {invoice['order']} is not known")
    if invoice["amount_eur_cents"] > order["amount_eur_cents"] * TOLERANCE:
        raise BusinessException(f"amount exceeds that of order {invoice['order']}")


def posting_of(invoice: Row) -> Row:
    """What goes into the ledger."""
    return {name: invoice[name] for name in ("number", "vendor", "order", "amount_eur_cents")}


def refusal_of(row: Row, why: str) -> Row:
    """The row with the reason, without the name of the exception."""
    return {**row, "why": why.partition(": ")[2]}


def refusals_should_be_at_most(limit: int, refused: Sequence[Row], rows: Sequence[Row]) -> None:
    """Raises BusinessException that names the first ones."""
    if len(refused) > limit:
        named = _named([f"{row['number']} ({row['why']})" for row in refused])
        raise BusinessException(f"{len(refused)} of {len(rows)} invoices refused: {named}")


def statement_should_agree(lines: Sequence[Row], postings: Sequence[Row]) -> None:
    """Every payment of the bank statement has a posting of that amount, else raises BusinessException."""
    posted = {(posting["number"], posting["amount_eur_cents"]) for posting in postings}
    paid = [(line["number"], round(Decimal(line["amount_eur"]) * 100)) for line in lines]
    missing = [number for number, cents in paid if (number, cents) not in posted]
    if missing:
        raise BusinessException(f"{len(missing)} of {len(lines)} payments have no posting: {_named(missing)}")


def _named(words: Sequence[str]) -> str:
    more = f" and {len(words) - N_NAMED} more" if len(words) > N_NAMED else ""
    return ", ".join(words[:N_NAMED]) + more


def _place(path: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _request(method: str, url: str, body: str | None = None) -> Any:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=HTTP_TIMEOUT_S)
    try:
        connection.request(method, parts.path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status == http.client.NOT_FOUND:
        return None
    if response.status >= 400:
        table = parts.path.split("/")[1]
        raise ServiceUnavailable(f"{method} /{table} was answered with {response.status} {response.reason}")
    return json.loads(content)
