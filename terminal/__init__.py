"""The distribution point (PROTOCOL.md §4): engine, journal, sync, printer, faces."""
