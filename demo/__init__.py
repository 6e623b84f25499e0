"""The story and the card tray: starts the real programs, holds no rule (README.md)."""
