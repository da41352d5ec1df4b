"""Programs in examples/ import each other by name, as they do when one of them is started."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "invoices")]
