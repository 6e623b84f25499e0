"""Trust (PROTOCOL.md §3): hierarchy, signers, certificates, secure channels, the key service."""
