"""The workflows of a made-up company as data: when they are due, how long they take, how they fail."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

WORKDAYS: Final = range(5)
WHOLE_WEEK: Final = range(7)
DAY_MIN: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Cadence:
    """Due by local wall clock every `every_min` from minute `first_min` of the day until before `until_min`.

    `runs` at once, one for each company code. Minutes are multiples of 15.
    """

    every_min: int
    first_min: int = 0
    until_min: int = DAY_MIN
    weekdays: range = WHOLE_WEEK
    only_month_end: bool = False
    runs: int = 1

    def is_due(self, local: datetime) -> bool:
        """
        >>> Cadence(DAY_MIN, 9 * 60, weekdays=range(1)).is_due(datetime(2026, 11, 23, 9, 0))  # a Monday
        True
        """
        minute = local.hour * 60 + local.minute
        return (
            local.weekday() in self.weekdays
            and self.first_min <= minute < self.until_min
            and (minute - self.first_min) % self.every_min == 0
            and (not self.only_month_end or _is_last_workday_of_month(local))
        )


def _is_last_workday_of_month(local: datetime) -> bool:
    next_workday = local.date() + timedelta(days=3 if local.weekday() == 4 else 1)
    return local.weekday() in WORKDAYS and next_workday.month != local.month


@dataclass(frozen=True, slots=True)
class Failure:
    """One way to fail, `weight` times as often as one of weight 1, after `waited_s` more in its step."""

    step_id: str
    kind: Literal["business", "application"]
    message: str  # {n}: a number that differs each time
    weight: int = 1
    waited_s: float = 0.0
    status: Literal["failed", "timed_out"] = "failed"


@dataclass(frozen=True, slots=True)
class SimulatedWorkflow:
    """Durations are log-normal: the median at a quiet hour, and the standard deviation of the logarithm."""

    workflow_id: str
    queue: str
    cadence: Cadence
    median_s: float
    spread: float
    failure_rate: float
    shares: dict[str, float]  # of the duration by step, in order; they add up to 1
    failures: tuple[Failure, ...]
    release_days: int = 0  # a release every so many days; 0: none
    version: str = "1.0"


def _office_hours(every_min: int, first_hour: int, until_hour: int) -> Cadence:
    return Cadence(every_min, first_hour * 60, until_hour * 60, WORKDAYS)


WORKFLOWS: Final = (
    SimulatedWorkflow(
        "invoice-intake",
        "finance",
        _office_hours(15, 7, 18),
        median_s=96,
        spread=0.22,
        failure_rate=0.05,
        shares={
            "open mailbox": 0.06,
            "download attachments": 0.11,
            "read invoice": 0.32,
            "match purchase order": 0.16,
            "post in ERP": 0.27,
            "file document": 0.08,
        },
        failures=(
            Failure(
                "match purchase order", "business", "BusinessException: invoice {n} has no purchase order", 4
            ),
            Failure(
                "match purchase order", "business", "BusinessException: invoice {n} exceeds its order", 2
            ),
            Failure(
                "post in ERP", "application", "SelectorNotFound: button 'Post' not found after 30 s", 2, 30
            ),
            Failure("open mailbox", "application", "ConnectionError: the mail server refused the connection"),
        ),
        version="3.4",
    ),
    SimulatedWorkflow(
        "mail-sorting",
        "service",
        _office_hours(15, 6, 20),
        median_s=41,
        spread=0.28,
        failure_rate=0.02,
        shares={
            "open mailbox": 0.14,
            "fetch mails": 0.24,
            "classify": 0.32,
            "move to folders": 0.20,
            "open tickets": 0.10,
        },
        failures=(
            Failure(
                "fetch mails", "application", "TimeoutError: no answer from the mail server in 60 s", 3, 60
            ),
            Failure("classify", "business", "BusinessException: mail {n} has no text", 2),
        ),
        release_days=21,
    ),
    SimulatedWorkflow(
        "order-entry",
        "sales",
        _office_hours(15, 8, 18),
        median_s=128,
        spread=0.25,
        failure_rate=0.03,
        shares={
            "read order": 0.10,
            "look up customer": 0.15,
            "check stock": 0.18,
            "enter order": 0.37,
            "confirm by mail": 0.20,
        },
        failures=(
            Failure("look up customer", "business", "BusinessException: customer {n} is blocked", 3),
            Failure("check stock", "business", "BusinessException: article {n} is discontinued", 2),
            Failure(
                "enter order", "application", "SelectorNotFound: field 'Quantity' not found after 30 s", 2, 30
            ),
        ),
        version="4.1",
    ),
    SimulatedWorkflow(
        "supplier-portal-download",
        "purchasing",
        _office_hours(30, 7, 19),
        median_s=187,
        spread=0.35,
        failure_rate=0.06,
        shares={
            "log in": 0.09,
            "open order list": 0.12,
            "filter new orders": 0.10,
            "download documents": 0.44,
            "log out": 0.04,
            "hand over files": 0.21,
        },
        failures=(
            Failure("log in", "application", "LoginFailed: the portal shows 'maintenance'", 2),
            Failure(
                "download documents",
                "application",
                "TimeoutError: no download within 120 s",
                3,
                120,
                "timed_out",
            ),
            Failure(
                "filter new orders", "application", "SelectorNotFound: link 'New' not found after 30 s", 1, 30
            ),
            Failure("hand over files", "business", "ValidationError: document {n} is no PDF", 2),
        ),
        release_days=35,
    ),
    SimulatedWorkflow(
        "stock-levels",
        "logistics",
        Cadence(60),
        median_s=64,
        spread=0.18,
        failure_rate=0.012,
        shares={
            "connect to warehouse": 0.12,
            "read levels": 0.46,
            "compare with ERP": 0.24,
            "write differences": 0.13,
            "disconnect": 0.05,
        },
        failures=(
            Failure(
                "connect to warehouse", "application", "ConnectionError: warehouse host did not answer", 3, 20
            ),
            Failure("compare with ERP", "business", "ValidationError: stock of article {n} is negative", 2),
        ),
        release_days=42,
    ),
    SimulatedWorkflow(
        "price-updates",
        "sales",
        Cadence(60, 6 * 60, 22 * 60),
        median_s=152,
        spread=0.20,
        failure_rate=0.015,
        shares={
            "fetch price list": 0.20,
            "validate prices": 0.22,
            "update shop": 0.41,
            "update ERP": 0.13,
            "send summary": 0.04,
        },
        failures=(
            Failure(
                "validate prices",
                "business",
                "ValidationError: price of article {n} rose by more than 50 %",
                3,
            ),
            Failure("update shop", "application", "HTTPError: 502 Bad Gateway", 2, 15),
        ),
    ),
    SimulatedWorkflow(
        "customer-master-sync",
        "sales",
        _office_hours(60, 7, 19),
        median_s=236,
        spread=0.24,
        failure_rate=0.03,
        shares={
            "export from CRM": 0.27,
            "normalize addresses": 0.15,
            "find duplicates": 0.23,
            "update ERP": 0.31,
            "report": 0.04,
        },
        failures=(
            Failure("find duplicates", "business", "BusinessException: customer {n} exists twice", 3),
            Failure(
                "update ERP", "application", "SelectorNotFound: window 'Customer' not found after 30 s", 1, 30
            ),
            Failure(
                "export from CRM",
                "application",
                "TimeoutError: export not ready within 300 s",
                1,
                300,
                "timed_out",
            ),
        ),
        release_days=28,
    ),
    SimulatedWorkflow(
        "bank-statement-load",
        "finance",
        Cadence(DAY_MIN, 5 * 60, runs=6),
        median_s=205,
        spread=0.26,
        failure_rate=0.035,
        shares={
            "log in to bank": 0.12,
            "download statement": 0.28,
            "parse statement": 0.10,
            "match payments": 0.36,
            "post payments": 0.14,
        },
        failures=(
            Failure("log in to bank", "application", "LoginFailed: the bank asks for a new PIN", 1),
            Failure("match payments", "business", "BusinessException: {n} payments have no open item", 4),
        ),
        release_days=56,
    ),
    SimulatedWorkflow(
        "dunning-letters",
        "finance",
        Cadence(DAY_MIN, 20 * 60 + 30, weekdays=WORKDAYS, runs=2),
        median_s=610,
        spread=0.20,
        failure_rate=0.04,
        shares={
            "log in to ERP": 0.12,
            "list open items": 0.14,
            "choose level": 0.08,
            "write letters": 0.47,
            "print queue": 0.19,
        },
        failures=(
            Failure("choose level", "business", "BusinessException: customer {n} has no address", 2),
            Failure(
                "print queue", "application", "TimeoutError: the print queue is stuck", 1, 180, "timed_out"
            ),
        ),
    ),
    SimulatedWorkflow(
        "ledger-reconciliation",
        "finance",
        Cadence(DAY_MIN, 23 * 60, runs=2),
        median_s=1340,
        spread=0.15,
        failure_rate=0.03,
        shares={
            "export ledger": 0.18,
            "export subledgers": 0.24,
            "compare balances": 0.21,
            "trace differences": 0.29,
            "write report": 0.08,
        },
        failures=(
            Failure("compare balances", "business", "BusinessException: {n} accounts do not balance", 2),
            Failure("export ledger", "application", "ConnectionError: the database closed the connection", 1),
        ),
        release_days=63,
    ),
    SimulatedWorkflow(
        "payroll-check",
        "people",
        Cadence(DAY_MIN, 9 * 60, weekdays=range(1), runs=3),
        median_s=845,
        spread=0.18,
        failure_rate=0.05,
        shares={
            "open payroll": 0.05,
            "export hours": 0.19,
            "export contracts": 0.16,
            "compare hours": 0.22,
            "check allowances": 0.14,
            "check absences": 0.12,
            "write findings": 0.08,
            "send to people team": 0.04,
        },
        failures=(
            Failure("compare hours", "business", "BusinessException: hours of {n} people are missing"),
        ),
    ),
    SimulatedWorkflow(
        "month-end-closing",
        "finance",
        Cadence(DAY_MIN, 18 * 60, weekdays=WORKDAYS, only_month_end=True, runs=8),
        median_s=1780,
        spread=0.16,
        failure_rate=0.06,
        shares={
            "lock period": 0.03,
            "post accruals": 0.17,
            "revalue currencies": 0.11,
            "depreciate assets": 0.14,
            "settle cost centres": 0.19,
            "reconcile companies": 0.16,
            "run balance sheet": 0.11,
            "file reports": 0.06,
            "open next period": 0.03,
        },
        failures=(
            Failure("reconcile companies", "business", "BusinessException: companies differ by {n} EUR", 2),
            Failure(
                "settle cost centres", "application", "LockError: the cost centres are locked by a user", 1
            ),
        ),
    ),
)
