"""`overlayctl`: the overlay database from the command line."""
