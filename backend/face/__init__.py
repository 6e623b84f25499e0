"""The auditor's face: an export, read again in front of whoever asks."""
