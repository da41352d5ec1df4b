"""What a suite teardown does to the results of the suite's tasks, in Robot Framework's own words."""

from typing import Final

_FAILED: Final = "Parent suite teardown failed:\n{}"
_FAILED_TOO: Final = "{}\n\nAlso parent suite teardown failed:\n{}"
_SKIPPED: Final = "Skipped in parent suite teardown:\n{}"
_SKIPPED_TOO: Final = "Skipped in parent suite teardown:\n{}\n\nEarlier message:\n{}"


def after_teardown(status: str, message: str, teardown_status: str, teardown_message: str) -> tuple[str, str]:
    """(status, message) of a task when the teardown has ended; both as they were where it passed.

    >>> after_teardown("completed", "", "FAIL", "no server")
    ('failed', 'Parent suite teardown failed:\\nno server')
    """
    if teardown_status == "FAIL":
        failed = status if status == "skipped" else "failed"
        if not message:
            return failed, _FAILED.format(teardown_message)
        return failed, _FAILED_TOO.format(message, teardown_message)
    if teardown_status == "SKIP":
        if not message:
            return "skipped", _SKIPPED.format(teardown_message)
        return "skipped", _SKIPPED_TOO.format(teardown_message, message)
    return status, message
