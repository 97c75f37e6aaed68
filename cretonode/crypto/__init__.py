"""Hashes, signatures, key encapsulation and keys. Pure but for the key store."""
