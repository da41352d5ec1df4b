"""A loop that knows nothing of us, and is followed from outside: orders from a queue into a ledger.

    python examples/attached_loop.py --store FOLDER

`OrderLoop` stands for a runtime of your own: it tells callbacks what it does, by its own names.
`Followed` translates them in a few lines into what `collector.attach` listens to; warnings that the
loop logs become part of the step's message.
"""

import argparse
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from analytics_lib import TimeSeriesStore
from collector_agent import BusinessException, MetricsCollector, StepLogHandler
from collector_agent.hooks.attached_loop import LoopListener

ORDERS: Final[list[dict[str, Any]]] = [
    {"id": "O-1", "pieces": 3},
    {"id": "O-2", "pieces": 0},  # nothing is ordered
    {"id": "O-3", "pieces": 500},  # more than usual: a warning
    {"id": "O-4", "pieces": 7},  # the ledger is busy at first
]
_log = logging.getLogger("orders")


class OrderLoop:
    """Somebody's loop. `on_event(name, order_id, error)` is called when something begins or ends."""

    def __init__(self, orders: list[dict[str, Any]]) -> None:
        self.on_event: Callable[[str, str, Exception | None], None] = lambda name, order_id, error: None
        self._orders = orders
        self._was_busy = False

    def run(self) -> None:
        self.on_event("loop.begin", "", None)
        for order in self._orders:
            self._work_off(order)
        self.on_event("loop.end", "", None)

    def _work_off(self, order: dict[str, Any]) -> None:
        error: Exception | None = None
        self.on_event("order.begin", order["id"], None)
        try:
            self._check(order)
            self._post(order)
        except Exception as caught:  # noqa: BLE001  # the next order must not suffer from this one
            error = caught
        print(f"{order['id']}  {'posted' if error is None else error}")
        self.on_event("order.end", order["id"], error)

    def _check(self, order: dict[str, Any]) -> None:
        if not order["pieces"]:
            raise BusinessException("an order of nothing")
        if order["pieces"] > 100:
            _log.warning("%s is unusually large", order["id"])

    def _post(self, order: dict[str, Any]) -> None:
        if order["id"] == "O-4" and not self._was_busy:
            self._was_busy = True
            self.on_event("order.again", order["id"], None)


class Followed:
    """An OrderLoop as `attach` wants to see it."""

    def __init__(self, loop: OrderLoop) -> None:
        self._loop = loop

    def add_listener(self, listener: LoopListener) -> None:
        def tell(name: str, order_id: str, error: Exception | None) -> None:
            match name:
                case "loop.begin":
                    listener.execution_started("loop", "order-intake", queue="orders")
                case "loop.end":
                    listener.execution_ended("loop", error)
                case "order.begin":
                    listener.transaction_started("loop", order_id, order_id, queue="orders")
                case "order.again":
                    listener.step_retried("loop", order_id)
                case "order.end":
                    listener.step_ended("loop", order_id, error)

        self._loop.on_event = tell

    def remove_listener(self, listener: LoopListener) -> None:
        self._loop.on_event = lambda name, order_id, error: None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", required=True, metavar="FOLDER", help="where the rows go")
    store = TimeSeriesStore(parser.parse_args().store)
    began = datetime.now(UTC)
    _log.addHandler(StepLogHandler())
    loop = OrderLoop(ORDERS)
    with store, MetricsCollector(store.write_metrics, environment="example") as collector:
        with collector.attach(Followed(loop)):
            loop.run()
        collector.flush()
        found = store.query_range(began, datetime.now(UTC) + timedelta(seconds=1))
    print(f"stored in {store.location}: {len(found['execution'])} execution, {len(found['step'])} steps")


if __name__ == "__main__":
    main()
