"""The command line as its user meets it: real commands, real signals, real sockets."""
