package org.globalplatform;

import javacard.framework.APDU;
import javacard.framework.Shareable;

/**
 * Signatures alone, of the card's own interface (GlobalPlatform Card API, org.globalplatform 1.x):
 * to compile against. No part of the load file.
 */
public interface SecureChannel extends Shareable {
    byte NO_SECURITY_LEVEL = 0x00;
    byte C_MAC = 0x01;
    byte C_DECRYPTION = 0x02;
    byte R_MAC = 0x10;
    byte R_ENCRYPTION = 0x20;
    byte AUTHENTICATED = (byte) 0x80;

    short processSecurity(APDU apdu);

    short wrap(byte[] buffer, short offset, short length);

    short unwrap(byte[] buffer, short offset, short length);

    void resetSecurity();

    byte getSecurityLevel();
}
