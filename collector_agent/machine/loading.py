"""A lock for loading a module late, when others of the process may fork.

A child that is born while another thread loads a module can never load it: that thread, which holds the
module's lock, does not exist in the child. So a fork waits for such a load to end.

    with loading:
        from collector_agent.machine.activity import Activity
"""

import os
import threading
from typing import Final

loading: Final = threading.RLock()

if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(
        before=loading.acquire, after_in_parent=loading.release, after_in_child=loading.release
    )
