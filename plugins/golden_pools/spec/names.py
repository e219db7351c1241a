"""What Azure takes as a name, as patterns and in words.

Source: "Naming rules and restrictions for Azure resources"; for Batch accounts and pools the Batch REST reference.
"""

from __future__ import annotations

POOL_NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?$"
"""Batch allows 1 to 64 letters, digits, ``-`` and ``_``; snapshots and images, which carry the pool's name, may not
begin with a sign nor end with a dash."""

LONGEST_STEM = 80 - len("-20261122T041500-data-63")
"""What the longest name that a run composes leaves of Azure's 80 characters for a snapshot's name."""

RESOURCE_GROUP = r"^[\w().-]{0,89}[\w()-]$"
VM_NAME = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?$"
REGION = r"^[A-Za-z][A-Za-z0-9 ]*$"
IMAGE_STEM = rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_STEM - 1}}}$"
GALLERY = r"^[A-Za-z0-9]([A-Za-z0-9_.]{0,78}[A-Za-z0-9])?$"
DEFINITION = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$"
PUBLISHER = r"^[A-Za-z0-9_.-]{1,128}$"
BATCH_ACCOUNT = r"^[a-z0-9]{3,24}$"
SUBSCRIPTION = r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
VM_SIZE = r"^[A-Za-z]+_[A-Za-z0-9_-]+$"
NODE_AGENT = r"^batch\.node\.[a-z]+ [a-z0-9.]+$"
# Azure itself writes the fixed segments of an id in different cases: the portal resourceGroups, others resourcegroups.
SUBNET_ID = (
    r"^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/[Mm]icrosoft\.[Nn]etwork"
    r"/virtual[Nn]etworks/[^/]+/subnets/[^/]+$"
)
IDENTITY_ID = (
    r"^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/[Mm]icrosoft\.[Mm]anaged[Ii]dentity"
    r"/user[Aa]ssigned[Ii]dentities/[^/]+$"
)
BATCH_ACCOUNT_ID = (
    r"^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/[Mm]icrosoft\.[Bb]atch/batch[Aa]ccounts/[^/]+$"
)
VERSION_OR_DEFINITION_ID = (
    r"^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/[Mm]icrosoft\.[Cc]ompute"
    r"/galleries/[^/]+/images/[^/]+(/versions/[0-9]{1,10}\.[0-9]{1,10}\.[0-9]{1,10})?$"
)
# A signature in the query would be a secret, so none is taken.
VHD_URI = r"^https://[a-z0-9]{3,24}\.blob\.[a-z0-9.-]+/[^?#\s]+\.vhd$"
# The same goes for a store's, and for a password; a relative path would mean another folder on each worker.
STORE = r"^(/[^?#\s]*|[a-z][a-z0-9+.-]*://([^/?#\s:@]*@)?[^/?#\s@]*(/[^?#\s]*)?)$"
CURRENCY = r"^[A-Z]{3}$"
CONNECTION = r"^[A-Za-z0-9_.-]+$"
ALERT_TAG = r"^[A-Za-z0-9_-]+$"
CLOCK_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
PROBE = r"^[A-Za-z0-9_-]{1,56}$"

PATTERN_IN_WORDS = {
    POOL_NAME_PATTERN: (
        "1 to 64 letters, digits, dashes and underscores, beginning with a letter or digit, not ending with a dash"
    ),
    RESOURCE_GROUP: "1 to 90 letters, digits, _ . - ( and ), not ending with a period",
    VM_NAME: "1 to 64 letters, digits, _ . and -, beginning with a letter or digit, not ending with . or -",
    REGION: "a region's name, such as westeurope",
    IMAGE_STEM: f"1 to {LONGEST_STEM} letters, digits, dashes and underscores, beginning with a letter or digit",
    GALLERY: "1 to 80 letters, digits, _ and . (no dash), beginning and ending with a letter or digit",
    DEFINITION: "1 to 80 letters, digits, _ . and -, beginning with a letter or digit, not ending with . or -",
    PUBLISHER: "1 to 128 letters, digits, _ . and -",
    BATCH_ACCOUNT: "3 to 24 lower-case letters and digits",
    SUBSCRIPTION: "a subscription id, such as 11111111-1111-1111-1111-111111111111",
    VM_SIZE: "a VM size, such as Standard_D4s_v5",
    NODE_AGENT: "a node agent SKU, such as batch.node.ubuntu 22.04",
    SUBNET_ID: (
        "/subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Network/virtualNetworks/<network>/subnets/<subnet>"
    ),
    IDENTITY_ID: (
        "/subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>"
    ),
    BATCH_ACCOUNT_ID: ("/subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Batch/batchAccounts/<account>"),
    VERSION_OR_DEFINITION_ID: (
        "/subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Compute/galleries/<gallery>/images/<definition>"
        ", with /versions/<Major.Minor.Patch> or without"
    ),
    VHD_URI: (
        "the address of a page blob without a signature, such as "
        "https://goldenvhds.blob.core.windows.net/vhds/golden.vhd"
    ),
    STORE: "an absolute path, or a URL without password and query, such as abfs://passports@teamstorage/pools",
    CURRENCY: "three capital letters, such as EUR",
    CONNECTION: "letters, digits, _ . and -",
    ALERT_TAG: "letters, digits, dashes and underscores",
    CLOCK_TIME: "a time of day from 00:00 to 23:59, such as 06:00",
    PROBE: "1 to 56 letters, digits, dashes and underscores",
}
"""What each pattern of the spec means, for people: faults and the table of fields say this, never the pattern."""
