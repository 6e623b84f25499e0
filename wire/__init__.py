"""What crosses a boundary: bytes in, values out.

Pure. No input or output, clock, randomness or key lives here. Every layout is fixed by
``docs/wire.md`` (objects) and ``card_os/SPEC.md`` (commands).
"""
