"""The reader's side of card_os/SPEC.md and GlobalPlatform: links and typed sessions."""
