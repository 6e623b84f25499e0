package com.licel.jcardsim.crypto;

import java.security.SecureRandom;

/**
 * Takes the place of jCardSim's class of this name, whose generator repeats at every start of the
 * JVM: keys, ephemeral keys and signatures of the tests' cards would all be the same.
 */
class SecureRandomNullProvider extends SecureRandom {
    private static final long serialVersionUID = 1L;
}
