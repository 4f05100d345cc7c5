"""What speaks OVSDB: sessions, snapshots, provisioning, the overlay database. Imports `flows`, never ryu."""
