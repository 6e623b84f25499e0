"""The village hall's face in a browser: routes, templates and style over the counter's screens.

How it looks, moves and is guarded: docs/ui.md.
"""
