"""Azure Compute: virtual machines, disks, snapshots, managed images and galleries."""
