package id.betang.purse;

/** Power failed before a persistent write; no code of the applet may catch it. */
final class TearException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    TearException() {
        super("power failed", null, false, false);
    }
}
