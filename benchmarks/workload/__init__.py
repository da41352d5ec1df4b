"""Rows of a made-up fleet whose truth is known: what is planted, where, since when, how strong.

    python -m benchmarks.workload --store FOLDER --seed 1 --days 30 --steps 2000000 --truth truth.json

The same arguments give the same rows, in whatever portions they are written. Random numbers are drawn
by workflow and day, those of troubles apart: with troubles and without, all is equal until the first begins.

>>> from benchmarks.workload import Simulation, make_fleet
"""

from .fleet import Fleet, Step, Workflow, make_fleet
from .plan import plan_troubles
from .simulation import Simulation
from .troubles import Trouble, truth
from .writing import write_workload

__all__ = [
    "Fleet",
    "Simulation",
    "Step",
    "Trouble",
    "Workflow",
    "make_fleet",
    "plan_troubles",
    "truth",
    "write_workload",
]
