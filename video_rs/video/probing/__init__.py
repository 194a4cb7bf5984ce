"""What there is to know of a file before training: its probe, its fingerprint, stills, and a cache of all probes."""
