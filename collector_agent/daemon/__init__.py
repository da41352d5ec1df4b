"""What the daemon `rpa-agent run` is made of, beside its parts: its threads, its report, its end."""
