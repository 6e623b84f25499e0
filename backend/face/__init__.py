"""The auditor's face (docs/audit.md#the-face): an export, read again in front of whoever asks."""
