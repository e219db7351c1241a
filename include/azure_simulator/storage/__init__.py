"""Microsoft.Storage as far as images need it: accounts with the VHDs that lie in them."""
