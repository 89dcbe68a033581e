"""The Debian packages on a Debian 13 with a systemd of its own: `make package-test`, as root."""
