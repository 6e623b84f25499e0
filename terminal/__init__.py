"""The distribution point: redemption engine, journal, sync, printer, command line."""
