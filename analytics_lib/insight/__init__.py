"""What the findings mean: which workflow is in trouble, since when, what it costs, what to do next.

`generation` puts it together: every rule of `rules.RULES` looks at the rows of the last weeks
(`inputs`), `lifecycle` makes one lasting insight of what is found day after day, `rank` orders them.
Pure: no clock, settings, files or database.
"""
