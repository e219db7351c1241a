"""Microsoft.Network as far as virtual machines need it: virtual networks of the world file, and network interfaces."""
