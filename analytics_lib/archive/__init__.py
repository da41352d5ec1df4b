"""Days of raw rows as Parquet files: written, read back, read again for a recompute. No database here.

`<archive>/<source>/day=2026-08-01/part-0.parquet`; rows that come late for a day become part 1, 2 …
"""
