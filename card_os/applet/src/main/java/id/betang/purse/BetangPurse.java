package id.betang.purse;

/** The applet class of the load file: the purse on a GlobalPlatform card. */
public final class BetangPurse extends Purse {
    private BetangPurse(byte[] a, short offset) {
        super(new Store(), new SecurityDomainGate(), a, offset);
    }

    /** Called by the card at INSTALL [for install]. */
    public static void install(byte[] a, short offset, byte length) {
        new BetangPurse(a, offset).register(a, (short) (offset + 1), a[offset]);
    }
}
