"""Commands of `rpa-analytics` that are a group of their own: each module adds its group."""
