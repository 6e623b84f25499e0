"""A software card with real non-volatile memory, security domain and purse (card_os/SPEC.md)."""
