"""The backend: registry, funds, entitlements, ingest, ledger, settlement and its audit."""
