package id.betang.purse;

/** The purse as on a GlobalPlatform card, its real Gate in use; the tests' Store. */
public final class DomainPurse extends Purse {
    private DomainPurse(byte[] a, short offset) {
        super(new TearingStore(), new SecurityDomainGate(), a, offset);
    }

    /** Called by jCardSim. */
    public static void install(byte[] a, short offset, byte length) {
        new DomainPurse(a, offset).register(a, (short) (offset + 1), a[offset]);
    }
}
