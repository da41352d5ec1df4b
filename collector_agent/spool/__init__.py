"""The agent's durable queue on local disk: what is recorded is here until the store has it.

Standard library only, on POSIX and on Windows. `writer.SpoolWriter` appends, `reader.SetReader` ships,
`capacity` keeps the whole within its cap, `quarantine` keeps what cannot be delivered. In a spool folder:

    20261124T130512-4711-3b5c6f30/       a set: what one process has recorded (began, process id, chance)
        00000001.seg 00000002.seg …      segments: appended to by that process only, one after the other
        cursor.json cursor-recent.json   how far it is delivered, and what became of its rows
        reader.lock                      locked by whoever ships or drops
    20261124T130512-4711-3b5c6f30.lock   locked by that process while it lives; also a copy of the header
    quarantine/                          one JSON file per row or stretch of bytes, with the reason

A segment is a series of frames: the bytes FF FE, the payload's length and its checksum (4 bytes each,
little-endian), the payload (JSON). The first one is the header, an object: format, who wrote it, and
the names of the values of each kind of record. All others are rows, arrays: `[kind, *values]`. The
names make an agent of another version understand them.

Promises: a row is with the operating system when `append` returns, so that the end of the process,
however it comes, does not lose it; it survives a power cut once `sync` has returned True; each row is
delivered at least once, and nothing is removed before that, except for drops, which are counted; no
content of a file makes a reader raise, wait for ever or take a wrong row for a right one.
The folder has to be on a local disk: the locks of network drives cannot be relied on.
"""
