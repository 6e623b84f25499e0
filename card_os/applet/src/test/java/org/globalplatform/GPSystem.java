package org.globalplatform;

/** Takes the place of the stub in the tests: gives the channel of the card that runs in this thread. */
public final class GPSystem {
    /** Set by the card before it runs an applet. */
    public static final ThreadLocal<SecureChannel> CHANNEL = new ThreadLocal<>();

    private GPSystem() {
    }

    /** The secure channel of the selected applet's security domain. */
    public static SecureChannel getSecureChannel() {
        return CHANNEL.get();
    }
}
