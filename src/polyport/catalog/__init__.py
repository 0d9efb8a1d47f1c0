"""The catalogue: which partners and operations there are, who sees which, how they are described, filtered and searched.

``Catalog`` holds them all; whoever looks does so through ``Catalog.seen_by(account)``. Partners come from sources (``sources.Source``).
"""

from polyport.catalog.catalog import Catalog, View
from polyport.catalog.listing import Operation, Page, Wanted, auth_types, icon_address
from polyport.catalog.opening import index_file, open_catalog
from polyport.catalog.sources import FolderSource, Offer, Source

__all__ = [
    "Catalog",
    "FolderSource",
    "Offer",
    "Operation",
    "Page",
    "Source",
    "View",
    "Wanted",
    "auth_types",
    "icon_address",
    "index_file",
    "open_catalog",
]
