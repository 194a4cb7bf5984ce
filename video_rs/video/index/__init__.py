"""Which frames a video shows, and how to come to each of them: from its packets, or by decoding it once."""
