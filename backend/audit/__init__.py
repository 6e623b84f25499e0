"""The auditor's verifier: files and a trust file, no database."""
