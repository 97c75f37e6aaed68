"""A deterministic world for replicas: virtual time, a hostile network, disks that forget."""
