"""What `rpa-agent check` looks at."""
