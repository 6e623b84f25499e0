"""The card: its specification, two cards that obey it, and the reader's side."""
