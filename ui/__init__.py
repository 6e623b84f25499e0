"""The look the three faces share."""
