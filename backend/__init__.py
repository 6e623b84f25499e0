"""The backend: registry, funds, entitlements, ingest, ledger, settlement and its audit.

PROTOCOL.md §5 to §7; how it decides: docs/ledger.md, docs/import.md, docs/audit.md.
"""
