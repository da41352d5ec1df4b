"""The parts of `rollup_scale.py`: who is measured, on which stores, and how each is started."""
