"""What `MetricsCollector` is made of: from a call of the robot to a record on its way."""
