"""Existing results of robots, read into records: for what ran before, or without, the listener."""
