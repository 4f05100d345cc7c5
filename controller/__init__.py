"""The shell: the only package that knows ryu, eventlet and time."""
