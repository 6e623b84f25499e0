"""Cards that are not ours, for tests and the demo: foreign, mute in two ways, and an echo."""

from __future__ import annotations

from card_os.icc import ATR_T1, build_atr

__all__ = ["DroppingCard", "EchoCard", "ForeignCard", "UnfitCard"]


class _Powered:
    """Power and an ATR; the commands are a subclass's."""

    def __init__(self, atr: bytes) -> None:
        self._atr = atr
        self.powered = False

    def power_on(self) -> bytes:
        """Power up or reset; return the ATR."""
        self.powered = True
        return self._atr

    def power_off(self) -> None:
        """Take the supply away."""
        self.powered = False

    def transmit(self, command: bytes, /) -> bytes:
        """Answer nothing when unpowered, else what `_answer` says."""
        return self._answer(command) if self.powered else b""

    def _answer(self, command: bytes) -> bytes:
        raise NotImplementedError


class EchoCard(_Powered):
    """Answers the command's own bytes and 9000 (61 exchanges of a link test need no card OS)."""

    def __init__(self, atr: bytes = ATR_T1) -> None:
        super().__init__(atr)

    def _answer(self, command: bytes) -> bytes:
        return command[:254] + b"\x90\x00"


class ForeignCard(_Powered):
    """A working card without our applet: every SELECT is 6A82, all else 6D00."""

    def __init__(self, atr: bytes | None = None) -> None:
        super().__init__(build_atr(bytes.fromhex("81 31 FE 45"), b"BANSOS") if atr is None else atr)

    def _answer(self, command: bytes) -> bytes:
        return b"\x6a\x82" if command[1:2] == b"\xa4" else b"\x6d\x00"


class UnfitCard(_Powered):
    """A card whose ATR offers only T=2, which no reader of ours speaks (ISO 7816-3: reserved)."""

    def __init__(self) -> None:
        super().__init__(build_atr(b"\x02", b"LAMA"))

    def _answer(self, command: bytes) -> bytes:  # noqa: ARG002 - it never answers
        return b""


class DroppingCard(_Powered):
    """A card with a good ATR that drops the line at the first command."""

    def __init__(self) -> None:
        super().__init__(ATR_T1)

    def _answer(self, command: bytes) -> bytes:  # noqa: ARG002 - it never answers
        self.powered = False
        return b""
