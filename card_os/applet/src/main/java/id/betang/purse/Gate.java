package id.betang.purse;

import javacard.framework.APDU;

/**
 * The security domain's secure channel (SCP03), the one thing of GlobalPlatform that the purse needs.
 * Another platform, or a test with the domain in front of the applet, puts another Gate here.
 */
public abstract class Gate {
    /** A command that belongs to the channel's opening: answer it, true; else false. */
    abstract boolean opens(APDU apdu);

    /** Whether this command comes through an open channel. */
    abstract boolean covers(byte[] buf);

    /** Check and decipher it in place; the length of its data. Throws ISOException. */
    abstract short unwrap(byte[] buf, short lc);

    /** Whether the channel has level 33: C-MAC, C-ENC, R-MAC, R-ENC. */
    abstract boolean full();

    /** Protect buf[0, n); the length. */
    abstract short wrap(byte[] buf, short n);

    /** Close the channel: SELECT and deselection. */
    abstract void reset();
}
