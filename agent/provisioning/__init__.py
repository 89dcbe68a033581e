"""From the boot partition to /etc/loa: what was put there, the folder that is exchanged whole, the result (ADR 32)."""
