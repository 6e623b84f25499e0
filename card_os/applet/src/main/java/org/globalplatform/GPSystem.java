package org.globalplatform;

/**
 * Signature alone, of the card's own class (GlobalPlatform Card API, org.globalplatform 1.x): to
 * compile against. No part of the load file.
 */
public final class GPSystem {
    private GPSystem() {
    }

    /** The secure channel of the selected applet's security domain. */
    public static SecureChannel getSecureChannel() {
        return null;
    }
}
