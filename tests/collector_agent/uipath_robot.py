"""A UiPath robot's log lines as shared/data/README.md describes them, for tests that need no robot."""

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

START = datetime(2024, 3, 1, 8, 0, tzinfo=timezone(timedelta(hours=1)))
_SHORT = {"Information": "Info", "Error": "Error", "Verbose": "Trace", "Warning": "Warn"}


def guid(number: int) -> str:
    return str(UUID(int=0x1000 + number))


class Robot:
    """Writes lines; its clock goes on by a tenth of a second with each."""

    def __init__(self, process: str = "Invoices", *, moment: datetime = START, old: bool = False) -> None:
        self.moment = moment
        self.process = process
        self.job = ""
        self._old = old
        self._lines = 0
        self._begun = moment

    def line(self, message: str, level: str = "Information", log_type: str = "Default", **more: Any) -> str:
        self.moment += timedelta(milliseconds=100)
        self._lines += 1
        stamp = self.moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0" + self.moment.strftime("%z")
        event = {
            "message": message,
            "level": level,
            "logType": log_type,
            "timeStamp": f"{stamp[:-2]}:{stamp[-2:]}",
            "fingerprint": f"{self.moment:%H%M%S%f}-{self._lines}",
            "windowsIdentity": "CORP\\ada",
            "machineName": "RPA-01",
            "fileName": "Main",
        }
        if not self._old:
            event |= {
                "processName": self.process,
                "processVersion": "1.2.3",
                "jobId": self.job,
                "robotName": "robot-7",
                "machineId": 4,
                "organizationUnitId": 2,
            }
        prefix = f"{self.moment:%H:%M:%S}.{self.moment.microsecond // 100:04} {_SHORT[level]} "
        return prefix + json.dumps(event | more, ensure_ascii=False, separators=(",", ":"))

    def start(self, job: str = "", message: str = "{} execution started") -> str:
        self.job = job
        line = self.line(message.format(self.process))
        self._begun = self.moment
        return line

    def end(self, message: str = "{} execution ended") -> str:
        seconds = int((self.moment - self._begun).total_seconds())
        return self.line(
            message.format(self.process),
            totalExecutionTimeInSeconds=seconds,
            totalExecutionTime=str(timedelta(seconds=seconds)),
        )

    def user(self, message: str = "reading", level: str = "Information") -> str:
        return self.line(message, level, "User")

    def activity(self, name: str, state: str, kind: str = "UiPath.Core.Activities.Click") -> str:
        info = {"DisplayName": name, "State": state, "Activity": kind, "Arguments": {"password": "hunter2"}}
        return self.line(f"{name} {state}", "Verbose", activityInfo=info)

    def transaction(self, number: int, status: str = "", kind: str = "", reason: str = "") -> str:
        more: dict[str, Any] = {
            "queueName": "Invoices to pay",
            "transactionID": guid(0x900000 + number),
            "transactionState": "Ended" if status else "Started",
            "queueItemPriority": "Normal",
        }
        if status:
            more |= {
                "transactionStatus": status,
                "transactionExecutionTime": 1,
                "processingExceptionType": kind,
                "processingExceptionReason": reason,
                "queueItemReviewStatus": "None",
            }
        return self.line(f"Transaction {more['transactionState']}", **more)


def job_lines(robot: Robot, number: int, dice: random.Random) -> Iterator[str]:
    """One job with transactions, activities and messages; some fail, and some never end."""
    fails, ends = dice.random() < 0.2, dice.random() < 0.9
    yield robot.start(guid(number))
    for item in range(dice.randrange(4)):
        yield robot.transaction(number * 100 + item)
        yield robot.activity("Pay invoice", "Executing")
        yield robot.activity("Click „Bezahlen“", "Executing")
        yield robot.user(f"invoice {item}")
        broken = dice.random() < 0.2
        yield robot.activity("Click „Bezahlen“", "Faulted" if broken else "Closed")
        yield robot.activity("Pay invoice", "Faulted" if broken else "Closed")
        if broken:
            yield robot.transaction(number * 100 + item, "Failed", "Business", "no supplier")
        else:
            yield robot.transaction(number * 100 + item, "Successful")
    if fails:
        yield robot.line("Throw: the ledger is closed", "Error")
    if ends:
        yield robot.end()
    robot.moment += timedelta(minutes=dice.randrange(1, 30))


def day_lines(jobs: int, seed: int = 1, moment: datetime = START) -> list[str]:
    """The lines of so many jobs, one after the other."""
    dice, robot = random.Random(seed), Robot(moment=moment)  # noqa: S311  # no secrets: data to read
    return [line for number in range(jobs) for line in job_lines(robot, number, dice)]
