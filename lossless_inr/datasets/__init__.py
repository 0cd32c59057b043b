"""From the dataset table to prepared signals: fetching, archives, and the catalog.

Nothing here touches the network while a plan is made; only `store.Store.obtain` does.
"""
