"""The auditor's verifier (docs/audit.md): files and a trust file, no database."""
