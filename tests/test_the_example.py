"""The example that the README and the first users copy, as it stands."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = """
from datetime import datetime, timedelta
from pathlib import Path
from analytics_lib import TimeSeriesStore
from collector_agent import MetricsCollector, ResourceCollector

store = TimeSeriesStore(Path('data/analytics'))
metrics_collector = MetricsCollector(storage_callback=store.write_metrics, buffer_size=1000, flush_interval_sec=5.0)
resource_collector = ResourceCollector(storage_callback=store.write_metrics, sample_interval_sec=1.0)
metrics_collector.start()
resource_collector.start()
metrics_collector.record_execution_start('exec_123', 'workflow_abc')
resource_collector.set_context('workflow_abc', 'exec_123')
# ... the workflow executes ...
metrics_collector.record_execution_complete('exec_123', status='completed', steps_total=10, steps_completed=10, steps_failed=0)
metrics_collector.stop(); resource_collector.stop()
end_time = datetime.now()
start_time = end_time - timedelta(hours=1)
metrics = store.query_range(start_time=start_time, end_time=end_time, workflow_id='workflow_abc')
print(len(metrics['execution']), len(metrics['step']), len(metrics['resource']))
avg_duration = store.aggregate(metric='duration_ms', aggregation='avg', group_by=['workflow_id'], start_time=start_time, end_time=end_time)
"""  # noqa: E501  # quoted to the letter


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    code = EXAMPLE + "\nprint(avg_duration)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    counts, averages = done.stdout.splitlines()
    executions, steps, resources = map(int, counts.split())
    assert (executions, steps) == (1, 0)
    assert resources >= 2  # at least one sample of the host and one of the process
    assert "'workflow_id': 'workflow_abc'" in averages
    assert "'n': 1" in averages
    assert (tmp_path / "data" / "analytics" / "rpa.sqlite").is_file()
