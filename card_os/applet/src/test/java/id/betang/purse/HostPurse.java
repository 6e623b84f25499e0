package id.betang.purse;

/** The purse as jCardSim installs it: with the tests' Store and Gate. */
public final class HostPurse extends Purse {
    /** The instance installed last in this thread. */
    static final ThreadLocal<HostPurse> LAST = new ThreadLocal<>();

    final TearingStore testStore;
    final HostGate testGate;

    private HostPurse(TearingStore store, HostGate gate, byte[] a, short offset) {
        super(store, gate, a, offset);
        testStore = store;
        testGate = gate;
    }

    /** Called by jCardSim. */
    public static void install(byte[] a, short offset, byte length) {
        HostPurse made = new HostPurse(new TearingStore(), new HostGate(), a, offset);
        made.register(a, (short) (offset + 1), a[offset]);
        LAST.set(made);
    }
}
