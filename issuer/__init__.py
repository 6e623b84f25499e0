"""The desk: personalisation, stock, hand-over."""
