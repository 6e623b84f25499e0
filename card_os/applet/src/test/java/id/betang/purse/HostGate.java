package id.betang.purse;

import javacard.framework.APDU;

/** The security domain stands in front: commands come unwrapped, beside them the channel's level. */
final class HostGate extends Gate {
    static final int NO_CHANNEL = 0xFF;
    private static final int FULL = 0x33;

    int level = NO_CHANNEL;

    @Override
    boolean opens(APDU apdu) {
        return false;
    }

    @Override
    boolean covers(byte[] buf) {
        return level != NO_CHANNEL;
    }

    @Override
    short unwrap(byte[] buf, short lc) {
        return lc;
    }

    @Override
    boolean full() {
        return level == FULL;
    }

    @Override
    short wrap(byte[] buf, short n) {
        return n;
    }

    @Override
    void reset() {
        // the domain in front does that
    }
}
