package id.betang.purse;

/** Status words (SPEC.md#status-words). */
final class Sw {
    static final short VERIFICATION_FAILED = (short) 0x63C0;
    static final short LENGTH = (short) 0x6700;
    static final short SECURITY = (short) 0x6982;
    static final short NO_TRIES = (short) 0x6983;
    static final short CONDITIONS = (short) 0x6985;
    static final short MESSAGING = (short) 0x6988;
    static final short DATA = (short) 0x6A80;
    static final short NO_SPACE = (short) 0x6A84;
    static final short P1P2 = (short) 0x6A86;
    static final short NOT_FOUND = (short) 0x6A88;
    static final short INS = (short) 0x6D00;
    static final short CLA = (short) 0x6E00;
    static final short BALANCE = (short) 0x9400;
    static final short WALLET = (short) 0x9401;
    static final short SEQUENCE = (short) 0x9402;
    static final short RING_FULL = (short) 0x9403;
    static final short CAP = (short) 0x9404;
    static final short INERT = (short) 0x9405;
    static final short BLOCKED = (short) 0x9406;
    static final short NO_BYPASS = (short) 0x9407;
    static final short DIFFERS = (short) 0x9408;
    static final short ACKNOWLEDGED = (short) 0x9409;
    static final short VOID = (short) 0x940A;
    static final short DATE = (short) 0x940B;
    static final short EXHAUSTED = (short) 0x940C;
    static final short PIN_SIMPLE = (short) 0x940D;
    static final short NOT_NEWER = (short) 0x940E;

    /** A second look found what the first did not: memory or the processor was disturbed. */
    static final short FAULT = (short) 0x6F00;

    private Sw() {
    }
}
