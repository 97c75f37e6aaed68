"""Real processes, real QUIC, real disks. `just integration`."""
