"""A Debian machine with systemd, a GPIO chip and a sound card, emulated by qemu. For `make vm-test`; needs root.

`image` makes its disk, `guest` runs it, `pole` is the agent in it, as the service that it is on a Pi.
"""
