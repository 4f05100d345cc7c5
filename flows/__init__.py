"""The pure core: an overlay in, flows out. No I/O, no clock, no logging; standard library and netaddr."""
