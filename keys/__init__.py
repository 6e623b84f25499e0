"""Trust: hierarchy, signers, certificates, secure channels, and the key service."""
